import hashlib

from workflow_scripts.core.seeds import derive_seed


def test_equals_the_digest_of_its_parts():
    number = int(hashlib.sha256(b"0\x1fcrops\x1f17").hexdigest()[:16], 16)
    assert derive_seed(0, "crops", 17) == number // 2


def test_streams_do_not_meet():
    parts = [(1, 23), (12, 3), (123,), (1, 2, 3), ("a", "b"), ("ab",), ("b", "a")]
    parts += [(seed, purpose, step) for seed in range(5) for purpose in ("crops", "epoch") for step in range(100)]
    seeds = [derive_seed(*p) for p in parts]
    assert len(set(seeds)) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)
