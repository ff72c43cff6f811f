import itertools
import math

import pytest

from workflow_scripts.core import schemas
from workflow_scripts.core.tables import write_table
from workflow_scripts.report.explained import explained_section
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.palette import PROTOTYPES, line_styles, prototype_colour, stable_order, text_on
from workflow_scripts.report.prototypes import (
    Rectangle,
    plan_examples,
    run_summary,
    texture_section,
    texture_sections,
    texture_summary,
    wanted_pixels,
)

SLIDES = [
    {"slide_id": name, "patient_id": patient, "width": 2000, "height": 1000}
    for name, patient in (("a", "p"), ("b", "p"), ("c", "q"))
]


@pytest.fixture
def results(tmp_path):
    """Slides a and b with two prototypes each, c with too few regions; region r5 of a sticks out at the left."""
    folder = tmp_path / "pretrain/slpd/round_02"
    prototypes = [{"slide_id": s, "prototype": k, "n_regions": 3 + 2 * k} for s in "ab" for k in range(2)]
    assigned = [
        {"slide_id": s, "region_id": f"r{i}", "prototype": i % 2 if s != "c" else -1, "similarity": 0.1 * i}
        for s in "abc"
        for i in range(12)
    ]
    neighbours = [
        {"slide_id": "a", "rank": 2, "neighbour_id": "c", "similarity": 0.5, "matching": [0, 1]},
        {"slide_id": "a", "rank": 1, "neighbour_id": "b", "similarity": 1.8, "matching": [1, 0]},
        {"slide_id": "b", "rank": 1, "neighbour_id": None, "similarity": 0.0, "matching": [-1, -1]},
    ]
    write_table(folder / "prototypes.parquet", prototypes, schemas.PROTOTYPES)
    write_table(folder / "assignments.parquet", assigned, schemas.ASSIGNMENTS)
    write_table(folder / "neighbours.parquet", neighbours, schemas.NEIGHBOURS)
    for s in "abc":
        rows = [
            {"slide_id": s, "region_id": f"r{i}", "x": 100 * i - 550, "y": 0, "size_x": 100, "size_y": 100}
            for i in range(12)
        ]
        write_table(tmp_path / f"regions/{s}.parquet", rows, schemas.REGIONS)
    return Results(tmp_path)


def test_each_prototype_shows_its_most_similar_regions_and_its_match(results):
    first, second = plan_examples(results, "slpd", 2, SLIDES, 4, {})
    assert [e["slide"]["slide_id"] for e in (first, second)] == ["a", "b"]  # c has no prototypes
    assert first["neighbour"]["neighbour_id"] == "b" and second["neighbour"] is None
    zero = first["prototypes"][0]
    assert [r["region_id"] for r in zero["nearest"]] == ["r10", "r8", "r6", "r4"]
    assert zero["match"] == 1 and [r["region_id"] for r in zero["match_nearest"]] == ["r11", "r9"]
    assert {r["slide_id"] for r in zero["match_nearest"]} == {"b"}
    assert second["prototypes"][0]["match"] is None and second["prototypes"][0]["match_nearest"] == []


def test_examples_are_chosen_over_the_classes(results):
    for classes, wanted in (({"a": "z", "b": "y"}, "a"), ({"a": "y", "b": "z"}, "b"), ({"a": "z"}, "b")):
        (chosen,) = plan_examples(results, "slpd", 2, SLIDES, 1, classes)
        assert chosen["slide"]["slide_id"] == wanted


def test_the_wanted_rectangles_are_the_slide_and_the_regions(results):
    wanted = wanted_pixels(plan_examples(results, "slpd", 2, SLIDES, 1, {}))
    (slide_id,) = [s for s, places in wanted.items() if Rectangle(0, 0, 2000, 1000, 640, 320) in places]
    assert Rectangle(450, 0, 100, 100, 160, 160) in wanted[slide_id]  # r10
    assert len(wanted[slide_id]) == len(set(wanted[slide_id]))


def test_a_run_is_summed_up(results):
    patients = {s["slide_id"]: s["patient_id"] for s in SLIDES}
    summary = run_summary(results, "slpd", 2, patients)
    assert (summary["slides"], summary["with_neighbour"], summary["same_patient"]) == (2, 1, 1)
    assert summary["similarity"] == pytest.approx(0.9)  # rank 1, over two prototypes
    assert summary["largest_share"] == pytest.approx(5 / 8)


def test_prototypes_of_the_whole_cohort_are_told_apart_and_shown_by_slide(results):
    folder = results.root / "pretrain/global/round_01"
    assigned = [
        {"slide_id": s, "region_id": f"r{i}", "prototype": i % 3 if s == "a" else 3, "similarity": 0.1 * i}
        for s in "abc"
        for i in range(12)
    ]
    counts = [4, 4, 4, 24]
    rows = [{"slide_id": "", "prototype": number, "n_regions": count} for number, count in enumerate(counts)]
    write_table(folder / "prototypes.parquet", rows, schemas.PROTOTYPES)
    write_table(folder / "assignments.parquet", assigned, schemas.ASSIGNMENTS)
    write_table(folder / "neighbours.parquet", [], schemas.NEIGHBOURS)
    summary = run_summary(results, "global", 1, {})
    assert (summary["of_cohort"], summary["of_slide"], summary["slides"]) == (4, None, 3)
    assert summary["similarity"] is None and summary["largest_share"] == pytest.approx(24 / 36)
    first, second, _ = plan_examples(results, "global", 1, SLIDES, 4, {})
    assert {line["prototype"]: line["n_regions"] for line in first["prototypes"]} == {0: 4, 1: 4, 2: 4}
    assert {line["prototype"]: line["n_regions"] for line in second["prototypes"]} == {3: 12}
    assert first["neighbour"] is None
    assert [region["region_id"] for region in first["prototypes"][0]["nearest"]] == ["r9", "r6", "r3", "r0"]
    assert run_summary(results, "slpd", 2, {})["of_slide"] == 2


def test_agreement_with_true_classes_is_the_mean_over_the_trainings_of_a_run():
    def scored(run, ari):
        cohort = {"n_regions": 9, "n_slides": 1, "n_classes": 2, "n_groups": 3, "ari": ari + 0.1, "ari_random": 0.0}
        cohort["ari_random_prototypes"] = 0.0
        return (
            run,
            [{"slide_id": "a", "n_regions": 9, "n_classes": 2, "ari": ari, "ari_random": 0.0}],
            {"cohort": cohort},
        )

    tables = [scored("slpd", 0.2), scored("other", 0.9), scored("slpd-seed1", 0.6)]
    first, second = texture_sections(tables, {"slpd": ["slpd", "slpd-seed1"]})
    assert (first["run"], first["trainings"], second["run"], second["trainings"]) == ("slpd", 2, "other", 1)
    assert first["within"] == pytest.approx({"mean": 0.4, "sd": math.sqrt(0.08), "count": 2})
    assert first["whole"] == pytest.approx({"mean": 0.5, "sd": math.sqrt(0.08), "count": 2})
    assert first["slides"]["median"] == 0.2 and second["whole"] is second["within"] is None


def test_slides_of_one_texture_tell_nothing_of_agreement():
    rows = [
        {"slide_id": "a", "n_regions": 9, "n_classes": 1, "ari": 1.0, "ari_random": 1.0},
        {"slide_id": "b", "n_regions": 9, "n_classes": 3, "ari": 0.4, "ari_random": 0.1},
        {"slide_id": "c", "n_regions": 9, "n_classes": 3, "ari": 0.0, "ari_random": 0.2},
    ]
    summary = texture_summary(rows)
    assert (summary["slides"], summary["left_out"], summary["above"]) == (2, 1, 1)
    assert summary["median"] == pytest.approx(0.2) and summary["random"] == pytest.approx(0.15)
    assert texture_summary(rows[:1]) is None and texture_summary([]) is None


def test_colours_differ_and_text_can_be_read_on_them():
    assert len(set(PROTOTYPES)) == 16
    styles = line_styles(["mean", "colour", *"abcdef"])
    pairs = {(s["colour"], s["dash"]) for s in styles.values()}
    assert len(pairs) == 8
    for colour in [*PROTOTYPES, prototype_colour(-1)]:
        lights = []
        for code in (colour, text_on(colour)):
            channels = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
            red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
            lights.append(0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
        assert max(lights) / min(lights) >= 4.5, colour


def test_the_same_name_has_the_same_colour_whatever_stands_before_it():
    for names in itertools.permutations(["mean", "colour"]):
        assert line_styles([*names, "slpd"])["slpd"]["colour"] == line_styles(["slpd"])["slpd"]["colour"]


def test_what_is_added_changes_no_style_of_what_was_there():
    runs, before = ["slpd", "dino", "clean-fold0"], ["mean", "colour", "slpd", "dino", "clean"]
    old = line_styles(stable_order(before, runs))
    for after in (
        ["mean", "colour", "titan", "slpd", "dino", "clean"],  # a table stands before the runs
        ["mean", "max", "colour", "patches", "titan", "slpd", "dino", "clean", "slpd-prototypes"],
    ):
        new = line_styles(stable_order(after, runs))
        assert {name: new[name] for name in before} == old
        assert len({(style["colour"], style["marker"]) for style in new.values()}) == len(after)
    assert stable_order(["titan", "patches", "slpd-prototypes", "slpd"], ["slpd"]) == [
        "slpd", "slpd-prototypes", "patches", "titan",
    ]  # fmt: skip


def test_the_whole_cohort_is_told_where_its_index_is_known_if_no_slide_has_two_textures():
    cohort = {"n_slides": 1, "n_regions": 9, "n_classes": 2, "n_groups": 3}
    cohort |= {"ari": 0.5, "ari_random": 0.0, "ari_random_prototypes": 0.1}
    one = {"slide_id": "a", "n_regions": 9, "n_classes": 1, "ari": 0.0, "ari_random": 0.0}
    assert texture_section("slpd", [one], {"cohort": cohort}) == {"run": "slpd", "slides": None, "cohort": cohort}
    unknown = [{}, {"cohort": cohort | {"n_regions": 0}}, {"cohort": cohort | {"ari": math.nan}}]
    assert [texture_section("slpd", [one], meta)["cohort"] for meta in unknown] == [None] * 3


def test_what_prototypes_follow_is_told_beside_chance_and_controls():
    shares = {"share": 0.567, "chance": 0.1, "adjusted": 0.52}
    unknown = dict.fromkeys(shares)
    own = {"run": "slpd", "clustering": "prototypes", "tissue": shares, "colour": unknown, "rim": None}
    own |= {"truth": 0.4, "truth_slides": 7, "truth_tissue_slides": 6}
    control = own | {"clustering": "mean", "truth_slides": 8, "truth_tissue_slides": None}
    section = explained_section([own, control], ["slpd"])
    assert section is not None
    assert [row["name"] for row in section["rows"]] == ["prototypes", "k-means of mean"]
    assert section["rows"][0]["shares"] == ["0.57 (0.10)", "–", "–"]
    assert section["truth"] and (section["truth_slides"], section["truth_tissue_slides"]) == (8, 6)
    told = explained_section([own | {"truth": None}], ["slpd"])
    assert told is not None and not told["truth"] and explained_section([], ["slpd"]) is None


def test_what_prototypes_follow_is_told_in_the_order_of_the_runs():
    shares = dict.fromkeys(("share", "chance", "adjusted"))
    row = {"tissue": shares, "colour": shares, "rim": shares, "truth": None, "truth_slides": 0}
    row |= {"truth_tissue_slides": 0}
    rows = [row | {"run": run, "clustering": name} for run in ("a", "b", "dropped") for name in ("prototypes", "mean")]
    section = explained_section(rows, ["b", "a"])
    assert section is not None
    told = [(one["run"], one["clustering"]) for one in section["rows"]]
    assert told == [("b", "prototypes"), ("b", "mean"), ("a", "prototypes"), ("a", "mean")]
