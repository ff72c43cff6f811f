"""Chunks: the slides that one job of a short stage takes, one after another. Standard library only.

A chunk is told by the slide's name, as a shard of the features is, and lies within one of these.
"""

from workflow_scripts.core.manifest import shard_of

# Slides of a job: few, until there are jobs for all cores of a machine; then more, for a large cohort to have few jobs.
_FEW, _JOBS, _MANY = 4, 64, 64


def chunk_count(slides: int, shards: int, per_job: int | None = None) -> int:
    """Chunks of a cohort: a multiple of the shards, so that a slide that changes touches one shard.

    Args:
        slides: of the cohort.
        shards: of its features.
        per_job: slides of a chunk, about; None chooses 4 to 64.
    """
    wanted = slides / per_job if per_job else max(min(slides / _FEW, _JOBS), slides / _MANY)
    count = shards
    while count < wanted:
        count *= 2
    return count


def chunk_of(slide_id: str, chunks: int) -> str:
    """Name of a slide's chunk: its number."""
    return f"{shard_of(slide_id, chunks):0{len(str(chunks - 1))}d}"
