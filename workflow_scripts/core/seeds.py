"""Seeds derived from names, so that no random stream depends on what ran before it."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """Stable 63-bit seed of a purpose, e.g. `derive_seed(seed, "crops", step)`; equal on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
