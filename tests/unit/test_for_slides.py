"""Many slides in one job: each has its own files, which are kept while they hold, and its own failure."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from workflow_scripts import segment_tissue
from workflow_scripts.core.chunks import chunk_of
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.slide_work import SlideWork, make_slide, start_stage
from workflow_scripts.core.tables import read_meta, read_status, read_table, write_table
from workflow_scripts.core.worker import Worker
from workflow_scripts.for_slides import main, run_chunk
from workflow_scripts.tissue import files

STAGES = {"check_slide": "check", "segment_tissue": "tissue", "tile_regions": "regions"}
TISSUE = '{"min_area_um2": 1000, "min_hole_um2": 1000}'
REGIONS = '{"grid": 2, "patch_px": 64, "min_tissue_fraction": 0.1}'


def write_slide(path: Path, shade: int = 90) -> None:
    """A stained square on glass, 0.5 um/px."""
    pixels = np.full((512, 512, 3), 244, np.uint8)
    pixels[100:400, 100:400] = (185, shade, 150)
    pixels[::2, ::3] -= 9
    options = {"photometric": "rgb", "tile": (256, 256), "resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, pixels, metadata=None, **options)


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two slides, one file that is no slide, and one that is not there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "masks").mkdir()
    lines = ["slide_id,path"]
    for name in ("a", "b", "broken", "gone"):
        lines.append(f"{name},{name}.tif")
    write_slide(tmp_path / "a.tif")
    write_slide(tmp_path / "b.tif", 80)
    (tmp_path / "broken.tif").write_bytes(b"no slide")
    (tmp_path / "slides.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def run(stage: str, settings: str = "", code: str = "", chunks: int = 1, chunk: str = "0") -> list[dict[str, Any]]:
    default = {"check_slide": "{}", "segment_tissue": TISSUE, "tile_regions": REGIONS}[stage]
    output = Path(f"results/c/{STAGES[stage]}/chunks/{chunk}.parquet")
    own = ["--manifest", "slides.csv", "--chunk", chunk, "--chunks", str(chunks), "--cohort", "c", "--code", code]
    main([stage, *own, "--masks", "masks", "--output", str(output), "--", "--config", settings or default])
    return read_table(output).to_pylist()


def run_all() -> None:
    for stage in STAGES:
        run(stage)


def times(folder: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path(f"results/c/{folder}").glob("*.*")}


def made_anew(folder: str, stage: str, **options: str) -> set[str]:
    """Slides whose files another run has written."""
    before = times(folder)
    run(stage, **options)
    return {name.split(".")[0] for name, when in times(folder).items() if before.get(name) != when}


def test_each_slide_has_its_files_and_its_reason(cohort: Path) -> None:
    reasons = {"a": "", "b": "", "broken": "unreadable_file", "gone": "missing_file"}
    for stage, folder in STAGES.items():
        rows = run(stage)
        assert {row["slide_id"]: row["reason"] for row in rows} == reasons and list(reasons) == [
            r["slide_id"] for r in rows
        ]
        assert {name: read_status(f"results/c/{folder}/{name}.parquet").reason for name in reasons} == reasons
    assert len(read_table("results/c/regions/a.parquet")) > 0 and Path("results/c/tissue/gone.png").is_file()


def test_what_holds_is_kept_and_what_does_not_is_made_anew(cohort: Path) -> None:
    run_all()
    everything = {"a", "b", "broken", "gone"}
    for stage, folder in STAGES.items():
        assert made_anew(folder, stage) == (
            {"broken"} if stage == "check_slide" else set()
        )  # that may be a disk's fault
        assert made_anew(folder, stage, code="another") == everything
    assert made_anew("check", "check_slide", settings='{"mpp_max": 4}') == everything
    assert made_anew("tissue", "segment_tissue", code="another") == set()  # the checks came out the same
    os.utime(cohort / "a.tif")
    assert made_anew("check", "check_slide", settings='{"mpp_max": 4}') == {"broken"}
    write_slide(cohort / "a.tif", 100)
    before = read_table("results/c/check/a.parquet")
    assert made_anew("check", "check_slide", settings='{"mpp_max": 4}') == {"a", "broken"}
    assert read_table("results/c/check/a.parquet").equals(before)
    assert made_anew("tissue", "segment_tissue", code="another") == {"a"}  # whose pixels differ, if not its check


def test_a_new_mask_and_an_edited_one_make_their_slide_anew(cohort: Path) -> None:
    run_all()
    (cohort / "masks/b.geojson").write_bytes(Path("results/c/tissue/b.geojson").read_bytes())
    assert made_anew("tissue", "segment_tissue") == {"b"}
    assert read_meta("results/c/tissue/b.parquet")["mask"] == "masks/b.geojson"
    (cohort / "masks/b.geojson").write_text("{")
    assert made_anew("tissue", "segment_tissue") == {"b"}
    assert read_status("results/c/tissue/b.parquet").reason == "bad_mask"
    (cohort / "masks/b.geojson").unlink()
    assert made_anew("tissue", "segment_tissue") == {"b"}


def test_an_edited_function_of_the_users_own_segments_all_slides_anew(cohort: Path) -> None:
    run("check_slide")
    source = "import numpy as np\n\ndef find(rgb, um_per_px):\n    return np.ones(rgb.shape[:2], bool)\n"
    (cohort / "own_of_slides.py").write_text(source)
    settings = TISSUE.replace("{", '{"method": "own_of_slides:find", ')
    assert made_anew("tissue", "segment_tissue", settings=settings) == {"a", "b", "broken", "gone"}
    assert read_meta("results/c/tissue/a.parquet")["tissue_mm2"] == pytest.approx(0.256**2, rel=0.01)
    assert made_anew("tissue", "segment_tissue", settings=settings) == set()
    (cohort / "own_of_slides.py").write_text(source.replace("ones", "zeros"))
    assert made_anew("tissue", "segment_tissue", settings=settings) == {"a", "b", "broken", "gone"}
    assert read_status("results/c/tissue/a.parquet").reason == "no_tissue"


@pytest.mark.parametrize("harm", ["removed", "cut"])
def test_a_file_that_is_gone_or_cut_is_made_anew(cohort: Path, harm: str) -> None:
    run_all()
    for name in ("a.png", "b.parquet") if harm == "removed" else ("b.parquet",):
        file = Path("results/c/tissue") / name
        if harm == "removed":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:100])
        assert made_anew("tissue", "segment_tissue") == {name[0]}
    Path("results/c/check/a.parquet").unlink()
    with pytest.raises(
        UserError, match="run the same command again, and if this comes back, delete the folder check/chunks before"
    ):
        run("segment_tissue")


def test_what_could_not_be_read_is_tried_again(cohort: Path) -> None:
    """A disk or a share may have been the matter, which no digest tells."""
    run_all()
    table = read_table("results/c/tissue/a.parquet")
    for reason in ("read_error", "changed_file"):
        meta = read_meta("results/c/tissue/a.parquet")
        meta["status"] |= {"status": "excluded", "reason": reason}
        write_table("results/c/tissue/a.parquet", table.slice(0, 0), table.schema.remove_metadata(), meta)
        assert made_anew("tissue", "segment_tissue") == {"a"}
        assert read_status("results/c/tissue/a.parquet").ok


def test_files_under_an_old_table_are_never_taken_for_what_it_says(
    cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job of other settings that dies after the pictures leaves no table that would vouch for them."""
    run_all()
    before = Path("results/c/tissue/a.geojson").read_bytes()
    (job,) = jobs_of("segment_tissue", "a")
    other = [part.replace('"min_area_um2": 1000', '"min_area_um2": 1001, "smooth_um": 0') for part in job.arguments]
    with monkeypatch.context() as patched, pytest.raises(OSError, match="full"):
        patched.setattr(files, "write_table", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full", "t")))
        make_slide(segment_tissue, job._replace(arguments=other), "")
    assert not Path("results/c/tissue/a.parquet").exists()
    make_slide(segment_tissue, job, "")
    assert Path("results/c/tissue/a.geojson").read_bytes() == before


def test_lists_of_another_number_of_chunks_go_where_their_slides_are_dealt_anew(cohort: Path) -> None:
    """Else they would be right to their rule once their number comes back, and the slides of other settings."""
    used = sorted({chunk_of(name, 4) for name in ("a", "b", "broken", "gone")})
    for chunk in used:
        run("check_slide", chunks=4, chunk=chunk)
    folder = Path("results/c/check/chunks")
    (folder / "apart.parquet").write_bytes(b"of no slide")
    kept = run("check_slide", settings='{"mpp_max": 4}')
    assert {file.name for file in folder.iterdir()} == {"0.parquet", "apart.parquet"} and len(used) > 1
    for chunk in used:
        rows = run("check_slide", chunks=4, chunk=chunk)
        assert {row["made_of"] for row in rows}.isdisjoint(row["made_of"] for row in kept)


def test_chunks_share_the_slides_among_them(cohort: Path) -> None:
    names = [chunk_of(name, 3) for name in ("a", "b", "broken", "gone")]
    found = [row["slide_id"] for chunk in sorted(set(names)) for row in run("check_slide", chunks=3, chunk=chunk)]
    assert sorted(found) == ["a", "b", "broken", "gone"] and len(set(names)) > 1


def start_fragile(stage: str) -> Callable[[SlideWork], dict[str, Any]]:
    """A stage whose process falls over some slides, as a decoder in C may."""
    work = start_stage(stage, "", None)

    def fragile(job: SlideWork) -> dict[str, Any]:
        if job.slide_id == "a" and not job.ended:
            os.kill(os.getpid(), signal.SIGSEGV)
        if job.slide_id == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if job.slide_id == "hangs":
            time.sleep(600)
        return work(job)

    return fragile


def jobs_of(stage: str, *slides: str) -> list[SlideWork]:
    jobs = []
    for name in slides:
        row = json.dumps({"slide_id": name, "path": f"{name}.tif", "mpp": None})
        check, start = f"results/c/check/{name}.parquet", f"results/c/tissue/{name}"
        outputs = ["--tissue", f"{start}.parquet", "--geojson", f"{start}.geojson", "--overlay", f"{start}.png"]
        options = {
            "check_slide": ["--config", "{}", "--row", row, "--output", check],
            "segment_tissue": ["--config", TISSUE, "--check", check, *outputs],
        }
        jobs.append(SlideWork(name, options[stage]))
    return jobs


@pytest.mark.parametrize(("stage", "reason"), [("check_slide", "unreadable_file"), ("segment_tissue", "read_error")])
def test_a_slide_that_crashes_its_reader_is_excluded_and_the_others_go_on(
    cohort: Path, stage: str, reason: str
) -> None:
    if stage == "segment_tissue":
        run("check_slide")
    worker = Worker(start_fragile, stage)
    rows = {row["slide_id"]: row for row in run_chunk(jobs_of(stage, "a", "b"), worker, 60)}
    assert rows["a"]["reason"] == reason and "ended by signal SIGSEGV" in rows["a"]["detail"]
    assert rows["b"]["status"] == "ok"
    assert read_status(f"results/c/{STAGES[stage]}/a.parquet").reason == reason
    assert run_chunk(jobs_of(stage, "a"), Worker(start_stage, stage, "", None), 60)[0]["reason"] == ""  # tried again


def test_slides_that_are_killed_or_hang_are_named_and_the_others_are_done(cohort: Path) -> None:
    jobs = jobs_of("check_slide", "killed", "b", "hangs", "broken")
    with pytest.raises(UserError) as told:
        run_chunk(jobs, Worker(start_fragile, "check_slide"), 8)
    text = str(told.value)
    assert text.startswith("2 of 4 slides of this job have no result, the others are done: slide killed: ")
    assert "SIGKILL, perhaps for want of memory; slide hangs has not answered for 8 s (slides.give_up_s)" in text
    assert set(times("check")) == {"b.parquet", "broken.parquet"}
