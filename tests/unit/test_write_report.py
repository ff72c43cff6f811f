"""The report from command line to HTML: self-contained, complete, escaped, and true to the tables."""

import json
import re
import shutil
import statistics
from html.parser import HTMLParser

import pytest

from tests.unit.report.results_folder import EXCLUDED, REPRESENTATIONS, config_json, make_results
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.write_report import main

HOSTILE = "x<script>alert(1)<&"


class Page(HTMLParser):
    """Attributes that can load something, scripts, and the text of table rows and of keyed cells."""

    def __init__(self, html):
        super().__init__()
        self.links, self.scripts, self.policy, self.rows, self.cells, self.ids, self.text = [], 0, "", [], {}, [], ""
        self._key, self._skip = None, False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [
            v for k, v in attrs.items() if k in ("src", "href", "xlink:href", "data", "srcset", "action", "poster")
        ]
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.scripts += tag == "script"
        self._skip = tag in ("script", "style")
        if attrs.get("http-equiv") == "Content-Security-Policy":
            self.policy = attrs["content"]
        if tag == "tr":
            self.rows.append("")
        if tag in ("td", "th", "tr"):
            self._key = attrs.get("data-key")

    def handle_data(self, data):
        if self._skip:
            return
        self.text += data
        if self.rows:
            self.rows[-1] += data + " "
        if self._key:
            self.cells[self._key] = self.cells.get(self._key, "") + data

    def handle_endtag(self, tag):
        self._skip = False
        self._key = None if tag == "td" else self._key


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort") / "demo"
    make_results(root)
    return root


def _write(root, output, **changes):
    main(["--config", config_json(**changes), "--results", str(root), "--output", str(output)])
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(folder):
    return _write(folder, folder / "report.html")


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
    assert not re.search(r"@import|url\(|https?:", html)
    assert page.scripts == 1


def test_anchors_lead_somewhere_and_ids_are_unique(page):
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_every_excluded_slide_is_told_with_its_reason_and_detail(page):
    for slide_id, (reason, detail) in EXCLUDED.items():
        (row,) = [row for row in page.rows if row.split()[:2] == [slide_id, "excluded"]]
        assert reason in row and detail in row


def test_every_slide_has_a_row(folder, page):
    told = [row.split()[0] for row in page.rows if re.match(r"\s*s\d\d\s+(used|excluded)", row)]
    assert sorted(told) == sorted(read_table(folder / "slides.parquet")["slide_id"].to_pylist())
    assert told[: len(EXCLUDED)] == sorted(EXCLUDED, key=lambda s: EXCLUDED[s][0])


def test_the_numbers_of_the_table_are_those_of_the_results(folder, page):
    rows = read_table(folder / "benchmark/results.parquet").to_pylist()
    assert len(page.cells) == len(rows)
    for row in rows:
        cell = page.cells["|".join(row[k] for k in ("task", "representation", "head", "metric"))]
        found = [float(text) for text in re.findall(r"[-+]?\d+\.\d+", cell.replace("−", "-"))]
        wanted = [row[k] for k in ("pooled", "ci_low", "ci_high", "mean", "sd")]
        if row["baseline"]:
            wanted += [row[k] for k in ("difference", "difference_low", "difference_high")]
        assert found == pytest.approx(wanted, abs=0.00051)


def test_claims_follow_the_intervals(folder, page):
    text = " ".join(page.text.split())
    headline = {"subtype": "auc", "grade": "quadratic_kappa", "survival": "c_index"}
    rows = read_table(folder / "benchmark/results.parquet").to_pylist()
    told = [r for r in rows if r["representation"] in ("slpd", "dino") and r["metric"] == headline[r["task"]]]
    better = sum(r["difference_low"] > 0 for r in told)
    unclear = sum(r["difference_low"] <= 0 <= r["difference_high"] for r in told)
    assert better and unclear  # the generator gives both
    assert len(re.findall(r"(slpd|dino) is better", text)) == better
    assert text.split("Brackets are")[0].count("no difference shown") == unclear


def test_pretrained_on_and_the_caveats_are_stated(page):
    assert "this cohort, without labels" in page.text and "ImageNet-1k" in page.text
    for words in ("transductive", "2307.10696", "2206.02647", "MICCAI 2023", "CVPR 2022"):
        assert words in page.text


def test_pictures_come_from_the_slides_and_from_the_overlay_where_one_is_gone(html, page):
    assert page.text.count("The slide could not be read for the report") == 1  # s03
    assert page.text.count("not read") == 16 and html.count("<image ") == 3  # 4 prototypes x 4 regions of s03


def test_prototypes_are_scored_against_the_textures_of_each_run(folder, page):
    rows = read_table(folder / "benchmark/textures_slpd.parquet").to_pylist()
    median = statistics.median(row["ari"] for row in rows)
    assert "textures, run slpd" in page.text and f"median of {median:.3f}" in page.text


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
    assert HOSTILE in page.text and "</script><script>alert(2)</script>" in page.text


def test_a_folder_with_the_bare_tables_gives_a_report(altered, tmp_path):
    for name in (
        "pretrain",
        "tissue",
        "regions",
        "embeddings",
        "benchmark/textures_slpd.parquet",
        *[f"benchmark/{t}" for t in ("subtype", "grade", "survival")],
    ):
        path = altered / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    _change_slides(altered, lambda rows: [row.update(status="excluded", reason="no_mpp") for row in rows])
    page = Page(_write(altered, tmp_path / "r.html"))
    for words in (
        "No metrics were found",
        "No overlay was found",
        "No predictions were found",
        "24 of 24 slides are excluded",
    ):
        assert words in page.text


def test_without_a_task_the_report_says_how_to_add_one(altered, tmp_path):
    write_table(altered / "benchmark/results.parquet", [], schemas.RESULTS)
    page = Page(_write(altered, tmp_path / "r.html", tasks={}))
    assert page.text.count("No task is named") == 2 and "benchmark.tasks" in page.text
    assert "kind: classification" in page.text and not page.cells
    assert "The benchmark has no results" in Page(_write(altered, tmp_path / "r.html")).text


def test_a_folder_without_results_is_told_in_one_sentence(altered, tmp_path):
    (altered / "benchmark/results.parquet").unlink()
    with pytest.raises(UserError, match=r"results\.parquet does not exist"):
        _write(altered, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_undefined_numbers_are_dashes(altered, tmp_path):
    rows = read_table(altered / "benchmark/results.parquet").to_pylist()
    for row in rows:
        row |= {
            k: float("nan") for k in ("pooled", "ci_low", "ci_high", "mean", "sd", "difference_low", "difference_high")
        }
    write_table(altered / "benchmark/results.parquet", rows, schemas.RESULTS)
    page = Page(_write(altered, tmp_path / "r.html"))
    assert not re.search(r"\bnan\b", page.text) and not re.search("(slpd|dino) is better", page.text)
    assert len(page.cells) == len(rows) and all("–" in cell for cell in page.cells.values())


def test_without_pretraining_nothing_is_said_of_it(altered, tmp_path):
    page = Page(
        _write(altered, tmp_path / "r.html", runs={}, run_rounds={}, warm_ups={}, representations=REPRESENTATIONS[:2])
    )
    assert "No run was pretrained" in page.text and "transductive" not in page.text
