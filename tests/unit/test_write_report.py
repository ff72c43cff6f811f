"""The report from command line to HTML: self-contained, complete, escaped, and true to the tables."""

import json
import re
import shutil
import statistics
from html.parser import HTMLParser

import pytest

from tests.unit.report.results_folder import (
    EXCLUDED,
    FAILURE,
    HEADS,
    PERMUTED,
    REPRESENTATIONS,
    config_json,
    with_a_clear_best,
    write_benchmark,
)
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.kept import TAKEN_BACK
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.mil.predictions import PREDICTIONS
from workflow_scripts.write_report import main

HOSTILE = "x<script>alert(1)<&"


class Page(HTMLParser):
    """Attributes that can load something, scripts, the text of table rows and keyed cells, and rows of the slides."""

    def __init__(self, html):
        super().__init__()
        self.links, self.scripts, self.policy, self.rows, self.cells, self.ids, self.text = [], 0, "", [], {}, [], ""
        self.pairs, self.figures = {}, []
        self._key, self._pair, self._skip = None, None, False
        self.feed(html)
        told = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', html, re.DOTALL)
        self.data = json.loads(told[1]) if told else {}
        table = self.data["table"]
        self.slides = [
            dict(zip([column["key"] for column in table["columns"]], row, strict=True)) for row in table["rows"]
        ]

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [
            v for k, v in attrs.items() if k in ("src", "href", "xlink:href", "data", "srcset", "action", "poster")
        ]
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.scripts += tag == "script" and attrs.get("type") != "application/json"
        self._skip = tag in ("script", "style")
        if attrs.get("http-equiv") == "Content-Security-Policy":
            self.policy = attrs["content"]
        self.figures += [attrs["alt"]] if tag == "img" and "alt" in attrs else []
        if tag == "tr":
            self.rows.append("")
            self._pair = attrs.get("data-pair")
        if tag in ("td", "th", "tr"):
            self._key = attrs.get("data-key")
        if tag == "td" and self._pair:
            self.pairs[self._pair] = f"{self.pairs.get(self._pair, '')} "

    def handle_data(self, data):
        if self._skip:
            return
        self.text += data
        if self.rows:
            self.rows[-1] += data + " "
        if self._pair:
            self.pairs[self._pair] = self.pairs.get(self._pair, "") + data
        if self._key:
            self.cells[self._key] = self.cells.get(self._key, "") + data

    def handle_endtag(self, tag):
        self._skip = False
        self._key = None if tag == "td" else self._key


@pytest.fixture(scope="module")
def folder(results_folder):
    return results_folder


def _benchmark(root):
    """Rows of results.parquet and of comparisons.parquet."""
    return [read_table(root / f"benchmark/{name}.parquet").to_pylist() for name in ("results", "comparisons")]


def _write(root, output, **changes):
    main(["--config", config_json(**changes), "--results", str(root), "--output", str(output)])
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(folder, tmp_path_factory):
    return _write(folder, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture
def altered(folder, tmp_path):
    """A copy without the slides' files, whose tables may be changed."""
    return shutil.copytree(folder, tmp_path / "demo", ignore=shutil.ignore_patterns("source", "*.html"))


def _change_slides(root, change):
    rows = read_table(root / "slides.parquet").to_pylist()
    change(rows)
    write_table(root / "slides.parquet", rows, schemas.SLIDES)


def test_nothing_is_loaded_from_outside(html, page):
    assert page.links and all(link.startswith(("data:image/", "#")) for link in page.links)
    assert "default-src 'none'" in page.policy and "http" not in page.policy
    # The names of SVG's vocabulary look like an address, and are never asked for.
    assert not re.search(r"@import|url\(|https?:", html.replace("http://www.w3.org/2000/svg", ""))
    assert page.scripts == 1


def test_anchors_lead_somewhere_and_ids_are_unique(page):
    assert len(page.ids) == len(set(page.ids))
    anchors = {link[1:] for link in page.links if link.startswith("#")}
    slides = {anchor for anchor in anchors if anchor.startswith("slide/")}  # pages, which the script shows
    assert anchors - slides <= set(page.ids)
    assert slides and {anchor.removeprefix("slide/") for anchor in slides} <= {row["slide_id"] for row in page.slides}


def test_every_excluded_slide_is_told_with_its_reason_and_detail(page):
    for slide_id, (reason, detail) in EXCLUDED.items():
        (row,) = [row for row in page.slides if row["slide_id"] == slide_id]
        assert (row["status"], row["reason"], row["detail"]) == ("excluded", reason, detail)


def test_excluded_slides_of_the_test_cohort_are_told_as_those_of_the_first(altered, tmp_path):
    words = "the mask their_s03.png has another shape than the slide; draw it again"
    rows = read_table(altered / "slides.parquet").to_pylist()
    used = [row for row in rows if row["status"] == "ok"][:5]
    theirs = [
        row | {"slide_id": f"their_{row['slide_id']}", "patient_id": f"their_{row['patient_id']}"} for row in used
    ]
    theirs[3] |= {"status": "excluded", "reason": "bad_mask", "detail": words, "n_regions": None}
    write_table(altered / "test_slides.parquet", theirs, schemas.SLIDES)
    alone = Page(_write(altered, tmp_path / "report.html"))
    assert "Test cohort" not in alone.text  # an earlier run's, if no longer named
    assert len(alone.slides) == len(rows) and "cohort" not in alone.slides[0]
    page = Page(_write(altered, tmp_path / "report.html", test_cohort=True))
    text = " ".join(page.text.split())
    patients = len({row["patient_id"] for row in theirs if row["status"] == "ok"})
    assert f"4 of 5 slides are used, of {patients} patients, to test and never to pretrain on" in text
    assert "1 of 5 slides is excluded" in text and f"{len(EXCLUDED)} of {len(rows)} slides are excluded" in text
    assert any(" ".join(row.split()).startswith("bad_mask the given tissue mask cannot be used 1") for row in page.rows)
    told = [row for row in page.slides if row["slide_id"].startswith("their_")]
    assert len(told) == 5 and told[0]["slide_id"] == theirs[3]["slide_id"]
    assert (told[0]["status"], told[0]["reason"], told[0]["detail"]) == ("excluded", "bad_mask", words)
    assert [row["cohort"] for row in page.slides] == ["first"] * len(rows) + ["test"] * 5


def test_slides_with_too_few_regions_are_told_where_there_are_some(altered, page, tmp_path):
    assert "so no prototypes" not in page.text
    _change_slides(altered, lambda rows: rows[0].update(n_regions=2))
    text = Page(_write(altered, tmp_path / "r.html", tasks={}, report={"example_slides": 0})).text
    assert re.search(r"1 used slide has fewer than \d+ regions and so no prototypes", text)


def test_every_slide_has_a_row_with_its_numbers(folder, page):
    rows = {row["slide_id"]: row for row in read_table(folder / "slides.parquet").to_pylist()}
    assert sorted(row["slide_id"] for row in page.slides) == sorted(rows)
    assert [row["slide_id"] for row in page.slides][: len(EXCLUDED)] == sorted(EXCLUDED, key=lambda s: EXCLUDED[s][0])
    for told in page.slides:
        row = rows[told["slide_id"]]
        for name in ("patient_id", "mpp_x", "mpp_source", "tissue_mm2", "n_regions", "width", "height", "vendor"):
            assert told[name] == row[name]
        share = row["unreadable_fraction"]
        assert told["unreadable"] == (None if share is None else pytest.approx(100 * share, abs=1e-4))


def _keyed(rows):
    keys = ("task", "representation", "head", "budget", "metric")
    return {"|".join(row[key] for key in keys): row for row in rows}


def _numbers(text):
    return [float(number) for number in re.findall(r"[-+]?\d+\.\d+", text.replace("−", "-"))]


def test_the_numbers_of_the_tables_are_those_of_the_results(folder, page):
    rows = {key: row for key, row in _keyed(_benchmark(folder)[0]).items() if row["budget"] == "all" or row["headline"]}
    assert set(page.cells) == set(rows)
    for key, row in rows.items():
        shown = page.cells[key].replace("best", "")
        if row["failure"]:
            assert shown.strip() == f"failed: {FAILURE}"
            continue
        repeated = 2 if row["budget"] == "all" and row["headline"] and row["task"] == "grade" else 1  # also by budget
        known = [row[key] for key in ("value", "ci_low", "ci_high") if row[key] == row[key]]
        assert _numbers(shown) == pytest.approx(known * repeated, abs=0.00051)
        assert ("no interval" in shown) == (len(known) == 1)


def test_the_numbers_of_the_pairs_are_those_of_the_comparisons(folder, page):
    rows = [row for row in _benchmark(folder)[1] if row["headline"] and row["budget"] == "all"]
    assert len(page.pairs) == len(rows)
    for row in rows:
        shown = page.pairs["|".join(row[key] for key in ("task", "head", "first", "second"))]
        wanted = [row[key] for key in ("difference", "low", "high", "p_holm")]
        known = [value for value in wanted if value == value and (value < 0 or value >= 0.001)]
        assert _numbers(shown.replace("<\u00a00.001", "")) == pytest.approx(known, abs=0.00051)
        assert (row["verdict"] in shown) == row["primary"]  # of other heads nothing is claimed


def test_claims_follow_the_corrected_verdicts_of_the_primary_head(folder, page):
    said = " ".join(page.text.split()).split("Brackets are")[0]
    pairs = [row for row in _benchmark(folder)[1] if row["headline"] and row["budget"] == "all"]
    told = [row for row in pairs if row["primary"] and row["task"] != PERMUTED]
    assert {row["verdict"] for row in told} == {"better", "not shown"}  # the generator gives both
    for row in told:
        claim = f"{row['first']} is {row['verdict']} than {row['second']}"
        assert (claim in said) == (row["verdict"] == "better")
    assert said.count(" is better than ") == sum(row["verdict"] == "better" for row in told)
    assert said.count("o difference shown between") == sum(row["verdict"] == "not shown" for row in told)


SET_KEYS = ("task", "first", "head", "budget")


def _planted_sets():
    """Results and comparisons of sets of slpd in task subtype, with two heads, one of them of two budgets."""
    rows, sets = [], []
    for head, other, budget, values, verdict in (
        ("matching_knn", "knn", "all", (0.84, 0.71), "better"),
        ("matching_knn", "knn", "2/class", (0.66, 0.64), "not shown"),
        ("retrieval_matching", "retrieval_cosine", "all", (0.5, 0.625), "worse"),
    ):
        metric = "mean_average_precision" if head.startswith("retrieval") else "auc"
        for name, own, value in (("slpd-prototypes", head, values[0]), ("slpd", other, values[1])):
            rows.append({"representation": name, "head": own, "budget": budget, "metric": metric, "value": value})
        sets.append({"first": "slpd-prototypes", "second": "slpd", "head": head, "other": other, "budget": budget})
        sets[-1] |= {"metric": metric, "difference": values[0] - values[1], "low": -0.031, "high": 0.217, "p": 0.02}
        sets[-1] |= {"p_holm": 0.0123, "comparisons": 1 if head.startswith("ret") else 2, "verdict": verdict}
        sets[-1] |= {"task": "subtype", "family": "histology"}
    return rows, sets


def test_what_sets_add_stands_beside_both_values_with_its_verdict(altered, page, tmp_path):
    rows, pairs = _benchmark(altered)
    planted, sets = _planted_sets()
    like = next(row for row in rows if row["task"] == "subtype" and row["headline"] and not row["failure"])
    rows += [like | row | {"primary": False} for row in planted]
    write_benchmark(altered, rows, pairs, sets)
    html = _write(altered, tmp_path / "r.html", representations=[*REPRESENTATIONS, "slpd-prototypes"])
    lines = re.findall(r'data-set="([^"]+)">(.*?)</tr>', html)
    assert [key for key, _ in lines] == [
        "subtype|slpd-prototypes|matching_knn|2/class",
        "subtype|slpd-prototypes|matching_knn|all",
        "subtype|slpd-prototypes|retrieval_matching|all",
    ]
    told = {tuple(key.split("|")): re.sub("<[^>]+>", " ", text).split() for key, text in lines}
    for row in sets:
        values = {(one["head"], one["budget"]): one["value"] for one in planted}
        words = told[tuple(row[key] for key in SET_KEYS)]
        assert words[0] == "slpd" and words[1:3] == [row["head"], row["other"]]
        both = [values[row["head"], row["budget"]], values[row["other"], row["budget"]], row["difference"]]
        assert _numbers(" ".join(words[-10:])) == pytest.approx([*both, -0.031, 0.217, 0.0123], abs=0.00051)
        assert " ".join(words).endswith(row["verdict"])
    assert "2 comparisons of heads, and apart from them 1 comparison of retrieval" in html
    assert "not compared: slpd has no result" not in html  # of heads on sets pairs of others are not told
    assert "Sets of prototypes against slide vectors" not in page.text  # where there are none


def test_a_secondary_head_is_never_claimed_of(altered, tmp_path):
    rows, pairs = _benchmark(altered)
    for pair in pairs:
        if pair["verdict"]:
            pair["verdict"] = "better" if pair["head"] == "abmil" else "not shown"
    assert any(pair["verdict"] == "better" for pair in pairs)
    write_benchmark(altered, rows, pairs)
    page = Page(_write(altered, tmp_path / "r.html"))
    assert " is better than " not in page.text
    assert not any("better" in text for text in page.pairs.values())


def test_the_best_is_marked_with_the_head_of_claims_alone(altered, tmp_path):
    rows, pairs = _benchmark(altered)
    with_a_clear_best(rows, pairs)
    write_benchmark(altered, rows, pairs)
    html = _write(altered, tmp_path / "r.html")
    assert re.findall(r'class="best" data-key="([^"]+)"', html) == ["subtype|slpd|logistic|all|auc"]


def test_a_head_on_one_representation_alone_leaves_the_others_empty(altered, tmp_path):
    rows, pairs = _benchmark(altered)
    kept = [row for row in rows if row["head"] != "abmil" or row["representation"] == "slpd"]
    write_benchmark(altered, kept, [pair for pair in pairs if pair["head"] != "abmil"])
    page = Page(_write(altered, tmp_path / "r.html"))
    assert set(page.cells) == {key for key, row in _keyed(kept).items() if row["budget"] == "all" or row["headline"]}
    assert "Head abmil: no pair could be compared" in page.text


def test_a_failed_cell_is_told_with_its_reason_and_the_others_stand(page):
    assert f"colour with abmil failed: {FAILURE}" in page.text
    assert f"not compared: colour failed: {FAILURE}" in page.text
    assert _numbers(page.cells["subtype|mean|abmil|all|auc"])


def test_curves_are_by_slide_where_labels_are(altered, html, tmp_path):
    """Patients of two slides weigh twice there."""
    for path in (altered / "benchmark/subtype").glob("*/vectors/predictions.parquet"):
        write_table(path, read_table(path), PREDICTIONS, read_meta(path) | {"level": "slide"})
    by_slide, by_patient = (
        re.findall(r'src="([^"]+)" alt="ROC[^"]+ of task (subtype\S*) ', text)
        for text in (_write(altered, tmp_path / "r.html"), html)
    )
    changed = [one[1] for one, other in zip(by_slide, by_patient, strict=True) if one != other]
    assert len(by_slide) == 2 and changed == ["subtype"]


def test_denominators_and_the_reach_of_the_interval_stand_beside_the_numbers(page):
    text = " ".join(page.text.split())
    assert text.count("4 slides: no label 1, not usable 3") == len(HEADS)
    assert text.count("Test slides that pretraining saw") == len(HEADS)
    for words in ("not of these fitted models", "does not cover patients of other hospitals", "docs/benchmark.md"):
        assert words in text
    assert "Family of the correction (Holm 1979): 8 pairs of representations with head logistic" in text


def test_the_control_is_told_apart_from_the_findings(folder, page):
    text = " ".join(page.text.split())
    rows = [r for k, r in _keyed(_benchmark(folder)[0]).items() if k.startswith(PERMUTED) and r["headline"]]
    holding = sum(row["ci_low"] <= 0.5 <= row["ci_high"] for row in rows)
    assert text.count(f"holds chance (0.5) in {holding} of 4 cells") == 2  # in the headline and in the results
    assert f"{PERMUTED} (classification, AUC" not in text


def test_figures_are_of_the_primary_head_and_say_which_training(html, page):
    assert page.figures.count("By test part: AUC of task subtype with head logistic") == 1
    assert not any("with head abmil" in alt for alt in page.figures)
    assert "By the patients trained on: quadratic kappa of task grade with head logistic" in page.figures
    assert not any("trained on" in alt and "task subtype" in alt for alt in page.figures)  # of one size only
    for metric, told in {
        "AUC": "is not their mean: it takes the predictions of all test parts of a repeat together",
        "C-index": "may differ from their mean, for each test part counts there by its cases or pairs of them",
    }.items():
        assert f"The {metric} in the tables {told}." in page.text
    assert "Positive class squamous: sensitivity, average precision and AUC are of it" in page.text
    for shows in ("ROC", "Confusion matrices", "Kaplan-Meier curves"):
        assert any(alt.startswith(shows) for alt in page.figures)
    # subtype and its control have one such figure, grade has two, survival one
    assert page.text.count("Of several trainings one is drawn: slpd (the first of 2).") == 5


def test_pretrained_on_and_the_caveats_are_stated(page):
    assert "this cohort, without labels" in page.text and "ImageNet-1k" in page.text
    for words in ("transductive", "2307.10696", "2206.02647", "MICCAI 2023", "CVPR 2022"):
        assert words in page.text


def test_pictures_come_from_the_slides_and_from_the_overlay_where_one_is_gone(html, page):
    assert page.text.count("The slide could not be read for the report") == 1  # s03
    assert page.text.count("not read") == 16 and html.count("<image ") == 3  # 4 prototypes x 4 regions of s03


def test_each_group_has_its_counts_and_the_shares_of_the_classes(folder, page):
    (row, *others) = read_table(folder / "pretrain/slpd/atlas.parquet").to_pylist()
    text = " ".join(page.text.split())
    count = f"{row['n_regions']:,}".replace(",", " ")
    assert f"{count} regions of {row['n_slides']} slides, {row['n_prototypes']} prototypes" in text
    assert len(others) == 2 and all(f"Group {other['group']}" in text for other in others)
    lines = [" ".join(line.split()) for line in page.rows]
    for one in row["classes"]:
        share = 100 * one["n_regions"] / one["group_regions"]
        (told,) = [line for line in lines if line.startswith(f"subtype {one['class']} ")][:1]
        assert told.startswith(f"subtype {one['class']} {share:.1f} % {one['n_regions']} of {one['group_regions']} ")
        assert f" % {one['n_regions']} of {one['class_regions']} {one['n_slides']} of {one['class_slides']}" in told
    stable = [line for line in lines if "clustering of round 3" in line or "another seed" in line]
    assert [_numbers(line)[0] for line in stable] == [0.713, 0.914, 0.875]


def test_prototypes_are_scored_against_the_textures_of_each_run(folder, page):
    rows = read_table(folder / "benchmark/textures_slpd.parquet").to_pylist()
    median = statistics.median(row["ari"] for row in rows)
    assert "true tissue classes, run slpd" in page.text and f"median of {median:.3f}" in page.text
    (told,) = re.findall(r"Over all 1.644 regions of (\d+) slides, .*?regions ([\d.]+)\.", page.text)
    assert told == (str(len(rows)), "0.001")
    assert "between their 3 groups and the 4 true tissue classes is 0.371; with the groups dealt by chance" in page.text
    assert "to the slides' prototypes 0.023, and to the regions 0.001." in page.text


def test_what_prototypes_follow_is_told_beside_chance_and_k_means(page):
    lines = [" ".join(line.split()) for line in page.rows]
    told = [line for line in lines if "0.81 (0.07)" in line]
    assert [line.split(" 20 ")[0] for line in told] == ["slpd prototypes", "slpd k-means of mean", "slpd true classes"]
    assert told[0].endswith("0.81 (0.07) – – – 0.457 –") and "two or more of them (20, and 0 among" in page.text


def test_the_same_tables_give_the_same_bytes(folder, html, tmp_path):
    assert _write(folder, tmp_path / "again.html") == html


def test_data_cannot_become_markup(altered, tmp_path):
    def change(rows):
        rows[0]["slide_id"], rows[0]["patient_id"] = HOSTILE, '"><img src=x onerror=alert(1)>'
        rows[0] |= {"status": "excluded", "reason": "read_error", "detail": "</script><script>alert(2)</script>"}

    _change_slides(altered, change)
    tasks = json.loads(config_json())["tasks"]
    text = _write(
        altered, tmp_path / "r.html", report={"title": "<script>t</script>", "example_slides": 2}, tasks=tasks
    )
    page = Page(text)
    assert page.scripts == 1 and "<script>alert" not in text and "<img src=x" not in text
    (row,) = [row for row in page.slides if row["slide_id"] == HOSTILE]
    assert row["detail"] == "</script><script>alert(2)</script>" and HOSTILE in page.data["pages"]


def test_a_folder_with_the_bare_tables_gives_a_report(altered, tmp_path):
    for name in (
        "pretrain",
        "tissue",
        "regions",
        "embeddings",
        "benchmark/textures_slpd.parquet",
        *[f"benchmark/{task}" for task in HEADS],
    ):
        path = altered / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    _change_slides(altered, lambda rows: [row.update(status="excluded", reason="no_mpp") for row in rows])
    page = Page(_write(altered, tmp_path / "r.html"))
    for words in (
        "No metrics were found",
        "24 of 24 slides are excluded",
    ):
        assert words in page.text
    drawn = {alt.partition(":")[0] for alt in page.figures if " with head " in alt}
    assert drawn == {"By test part", "By the patients trained on"}  # what the results alone tell


def test_without_a_task_the_report_says_how_to_add_one(altered, tmp_path):
    write_benchmark(altered, [], [])
    page = Page(_write(altered, tmp_path / "r.html", tasks={}))
    assert page.text.count("No task is named") == 2 and "benchmark.tasks" in page.text
    assert "kind: classification" in page.text and not page.cells
    assert "The benchmark has no results" in Page(_write(altered, tmp_path / "r.html")).text


@pytest.mark.parametrize("name", ["results", "comparisons"])
def test_a_folder_without_results_is_told_in_one_sentence(altered, tmp_path, name):
    (altered / f"benchmark/{name}.parquet").unlink()
    with pytest.raises(UserError, match=rf"{name}\.parquet does not exist"):
        _write(altered, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_undefined_numbers_are_dashes_with_their_reason(altered, tmp_path):
    nan = float("nan")
    rows, pairs = _benchmark(altered)
    for row in rows:
        row |= {key: nan for key in ("value", "ci_low", "ci_high", "error", "sd_folds", "sd_repeats")}
        row |= {"folds": [nan] * 10, "n_defined": 0} if not row["failure"] else {}
    for pair in pairs:
        pair |= {key: nan for key in ("difference", "low", "high", "p", "p_holm")} | {"verdict": "not shown"}
    write_benchmark(altered, rows, pairs)
    page = Page(_write(altered, tmp_path / "r.html"))
    assert not re.search(r"\bnan\b", page.text) and " is better than " not in page.text
    undefined = {key: text for key, text in page.cells.items() if "failed" not in text}
    assert len(undefined) == len(page.cells) - 1 > 50
    assert all(text.startswith("–not defined in any of 2 repeats") for text in undefined.values())
    assert "holds chance" not in page.text


def test_without_pretraining_nothing_is_said_of_it(altered, tmp_path):
    page = Page(
        _write(altered, tmp_path / "r.html", runs={}, run_rounds={}, warm_ups={}, representations=REPRESENTATIONS[:2])
    )
    assert "No run was pretrained" in page.text and "transductive" not in page.text
    assert (altered / "benchmark/explained.parquet").is_file()  # of runs that were dropped since
    assert "What the prototypes follow" not in page.text


def test_cost_of_jobs_and_speed_of_trainings_stand_in_tables(altered, tmp_path):
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    files = {
        "cost/distill_round/pretrain/slpd/distill_01.tsv": f"{head}90.5\t0:01:30\t2048.0\t-\t-\t-\t0\t0\t180.0\t163\n",
        "logs/pretrain/slpd/distill_01.log": "12:00:00 GPUs of this job: 2\n",
    }
    for name, text in files.items():
        (altered / name).parent.mkdir(parents=True)
        (altered / name).write_text(text)
    (altered / "logs/pretrain/slpd/distill_02.log").touch()
    (altered / "cost/warm_up/pretrain").mkdir(parents=True)
    (altered / "cost/warm_up/pretrain/w.tsv").write_text(f"{head}2.2\t0:00:02\tNA\t-\t-\t-\t0\t0\tNA\t-\n")
    (altered / "logs/pretrain/w.log").write_text(f"12:00:00 all inputs {TAKEN_BACK}; more\n")
    facts = {"steps": 78, "regions_per_s": 5159.2, "tflop_per_s": 84.0, "peak_share": 0.085, "peak_memory": 2**34}
    facts |= {
        "loading_s": 5.0,
        "preparing_s": 21.32,
        "steps_s": 7.74,
        "waiting_s": 0.2,
        "saving_s": 0.31,
        "processes": 1,
        "batch": 512,
    }
    facts |= {"device": "NVIDIA H100 80GB HBM3", "arithmetic": "bfloat16"}
    (altered / "pretrain/slpd/round_02/speed.json").write_text(json.dumps(facts))
    (altered / "pretrain/slpd/round_03/speed.json").write_text("{cut off")
    page = Page(_write(altered, tmp_path / "r.html"))
    rows = [" ".join(row.split()) for row in page.rows]
    assert any("pretrain distill_round 1 90.5 181.0 2.00 180" in row for row in rows)
    assert any("pretrain all of pretrain 2 92.7 181.0 2.00 180" in row for row in rows)
    assert "Jobs that took their last result back (1 of warm_up) count what that took" in page.text
    assert (
        "Of 1 job there is a log and no time: it ran before" in page.text and "(pretrain/slpd/distill_02)" in page.text
    )
    assert any("slpd round 2 78 5159 84.0 8.5 16.00 5.0 21.3 7.7 0.2 0.3 1 × NVIDIA" in row for row in rows)
    assert not any("round 3 78" in row for row in rows)


def test_without_recorded_times_the_report_says_so(altered, tmp_path):
    shutil.rmtree(altered / "cost", ignore_errors=True)
    page = Page(_write(altered, tmp_path / "r.html"))
    assert "No time of a job is recorded" in page.text and "Speed of each training job" not in page.text
