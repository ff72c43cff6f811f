"""Slides that change or go while a run is on cost themselves only, and are taken in once they are back."""

import os
from pathlib import Path

from tests.workflow.tiny import CONFIG, changed, make_project, snakemake, write_config
from workflow_scripts.core.tables import read_table


def _statuses(project: Path) -> dict[str, tuple[str, str]]:
    rows = read_table(project / "results/tiny/slides.parquet").to_pylist()
    return {row["slide_id"]: (row["reason"], row["detail"]) for row in rows}


def _append(slide: Path, more: bytes) -> None:
    """Change a slide and set its time back, as `cp -p` does: Snakemake sees nothing of it."""
    before = slide.stat()
    slide.write_bytes(slide.read_bytes() + more)
    os.utime(slide, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_slide_that_changes_between_two_stages(tmp_path: Path) -> None:
    project = make_project(tmp_path / "tiny", slides=4)
    write_config(project, changed(CONFIG, "cohort.max_failed_fraction", 0.7))
    slides = sorted((project / "slides").iterdir())
    early, late, *others = slides
    for target, change in (("cohort", early), ("regions", late), ("features", None)):
        result = snakemake(project, target)
        assert result.returncode == 0, result.stdout[-3000:]
        if change:
            _append(change, b"another scan")
    found = _statuses(project)
    for slide in (early, late):
        reason, detail = found[slide.stem]
        size = slide.stat().st_size
        assert reason == "changed_file"
        assert detail.endswith(
            f"slides/{slide.name} has changed since it was checked ({size - 12} bytes then, {size} now); wait until it "
            "is whole, `touch` it, and run the same command again"
        )
    assert all(found[slide.stem][0] == "" for slide in others)
    assert found["gone"][0] == "missing_file"
    for slide in (early, late):
        slide.touch()
    assert snakemake(project, "features").returncode == 0
    assert {reason for name, (reason, _) in _statuses(project).items() if name != "gone"} == {""}
