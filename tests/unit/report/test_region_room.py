"""The room that the page has for regions, told in bytes of what is really written."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tests.unit.report.results_folder import config_json
from workflow_scripts.report import region_room as room
from workflow_scripts.report import shown_slides
from workflow_scripts.report.inputs import Results
from workflow_scripts.report.settings import ReportSettings
from workflow_scripts.report.slide_pages import plan_pages


def _slides(counts):
    return [{"slide_id": f"s{i:04d}", "status": "ok", "reason": "", "n_regions": n} for i, n in enumerate(counts)]


@pytest.mark.parametrize("slides, each, limit", [(10, 200_000, 20e6), (200, 2000, 20e6), (1000, 1000, 60e6)])
def test_pages_of_slides_with_very_many_regions_stay_within_what_the_file_may_have(slides, each, limit):
    random = np.random.default_rng(0)
    rows = _slides(random.integers(each // 5, 2 * each, slides).tolist())
    plan = plan_pages(rows)
    left = room.region_room(plan)
    tasks = min(3, room.most_tasks(rows, left))
    out = room.without_room(rows, left, tasks)
    kept = sum(row["n_regions"] for row in rows if row["slide_id"] not in out)
    values = random.integers(100_000, 999_999, (3000, 2))
    page = {"x": values[:, 0].tolist(), "y": values[:, 1].tolist(), "times": {}}
    page["layers"] = {"prototype": [3] * 3000, "group": [7] * 3000, "similarity": (values[:, 0] % 1000 / 1000).tolist()}
    for task in range(tasks):
        page["layers"][f"attention_{task}"] = (values[:, 1] % 100 / 100).tolist()
        page["times"][f"attention_{task}"] = (values[:, 1] % 1000 / 100).tolist()
    of_region = len(json.dumps(page, separators=(",", ":"))) / 3000
    assert 0 < len(out) < slides
    assert kept * of_region + len(plan.slides) * plan.most_bytes * 4 / 3 < 0.9 * limit


def test_slides_with_the_most_regions_go_without_and_no_more_than_must():
    rows = [*_slides([50, 1, 30, 0, 30, 20]), {"slide_id": "bad", "status": "excluded", "n_regions": 9}]
    for regions, out in (
        (131, set()),
        (130, {"s0000"}),
        (81, {"s0000"}),
        (80, {"s0000", "s0004"}),
        (0, {0, 1, 2, 4, 5}),
    ):
        expected = {name if isinstance(name, str) else f"s{name:04d}" for name in out}
        assert room.without_room(rows, regions * room.REGION, 0) == expected
        assert room.without_room(rows, regions * (room.REGION + 2 * room.HEAD), 2) == expected


def test_as_many_tasks_have_layers_as_leave_room_for_all_regions():
    rows, of_all = _slides([60, 40]), 100 * room.REGION
    for tasks in (1, 2, 3):
        assert room.most_tasks(rows, of_all + 100 * room.HEAD * tasks) == tasks
    assert room.most_tasks(rows, of_all + 100 * room.HEAD * 3 - 1) == 2 and room.most_tasks(rows, 0) == 1
    assert room.most_tasks([], 100) >= 1


def test_the_page_of_a_slide_without_room_says_so_and_keeps_the_rest(results_folder, monkeypatch):
    inputs, settings = Results(results_folder), ReportSettings.model_validate_json(config_json())
    told = lambda: shown_slides.paged_slides(inputs, settings, inputs.slides(), [], "files")  # noqa: E731
    whole = told()
    counts = {row["slide_id"]: row["n_regions"] or 0 for row in inputs.slides()}
    largest = max(counts, key=lambda name: (counts[name], name))
    monkeypatch.setattr(
        shown_slides, "region_room", lambda plan: (sum(counts.values()) - 1) * (room.REGION + room.HEAD)
    )
    fewer = told()
    assert (whole.facts["without_regions"], fewer.facts["without_regions"]) == (0, 1)
    for name, before, after in zip(whole.data["pages"], whole.pages, fewer.pages, strict=True):
        before, after = (SimpleNamespace(**json.loads(str(page))) for page in (before, after))
        if name != largest:
            assert before == after
        else:
            kept = {key: value for key, value in vars(before).items() if key in vars(after)}
            assert vars(after) == kept | {"no_room": True}
            assert set(vars(before)) - set(kept) >= {"x", "y", "w", "h", "layers"}
