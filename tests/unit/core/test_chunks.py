import pytest

from workflow_scripts.core.chunks import chunk_count, chunk_of
from workflow_scripts.core.manifest import shard_of


@pytest.mark.parametrize(
    ("slides", "shards", "per_job", "count"),
    [
        (8, 2, None, 2),
        (24, 4, None, 8),
        (200, 4, None, 64),
        (4096, 16, None, 64),
        (10_000, 16, None, 256),
        (30_000, 16, None, 512),
        (10, 100, None, 100),
        (100, 3, 10, 12),
        (100, 4, 1, 128),
        (0, 4, None, 4),
    ],
)
def test_jobs_are_many_enough_for_cores_and_few_for_a_large_cohort(slides, shards, per_job, count):
    assert chunk_count(slides, shards, per_job) == count


def test_a_chunk_lies_within_a_shard():
    chunks = chunk_count(1000, 6)
    for number in range(1000):
        chunk = chunk_of(f"slide_{number}", chunks)
        assert int(chunk) % 6 == shard_of(f"slide_{number}", 6) and len(chunk) == len(str(chunks - 1))
    assert len({chunk_of(f"slide_{number}", chunks) for number in range(1000)}) == chunks
