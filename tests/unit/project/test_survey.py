import numpy as np
import pytest

from tests.unit.project.made import counts, row, survey
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.status import SlideError
from workflow_scripts.project.survey import Survey, expected_total, look_at_slides, take_sample


def _slides(*paths: str) -> list[SlideRow]:
    return [SlideRow(f"s{number}", path, "p", None, {}) for number, path in enumerate(paths)]


def test_a_sample_keeps_the_order_and_is_the_same_each_time():
    items = list(range(1000))
    sample = take_sample(items, 50)
    assert sample == take_sample(items, 50) and sample == sorted(set(sample)) and len(sample) == 50
    assert take_sample(items, 50, seed=1) != sample and take_sample(items, 1000) == items
    assert 350 < np.mean(sample) < 650  # not the first ones


def test_the_total_of_a_whole_population_is_its_sum():
    assert expected_total([3, 4, 5], 3) == (12, 12) and expected_total([], 5) == (0, 0)


def test_one_slide_tells_little():
    assert expected_total([10], 20) == (100, 400)


def test_the_range_of_a_total_holds_the_true_one():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        population = rng.gamma(4, 10, 60).astype(int)
        low, high = expected_total(rng.choice(population, 12, replace=False).tolist(), 60)
        held += low <= population.sum() <= high
    assert 0.88 <= held / 300 <= 0.98  # two standard errors of twelve values: t, 11 degrees, 0.93


def test_the_standard_error_shrinks_with_the_part_of_the_population_that_is_known():
    values = [10, 20, 30, 40]
    low, high = expected_total(values, 8)
    error = np.std(values, ddof=1) / 2 * np.sqrt(1 - 4 / 8) * 8
    assert (low, high) == pytest.approx((200 - 2 * error, 200 + 2 * error))


def test_slides_that_are_lost_lower_what_is_expected():
    rows = [row("a"), row("b"), row("c", status="excluded", reason="no_mpp"), row("d")]
    found = Survey(40, rows, [counts(30), counts(50)], [row("d", status="excluded", reason="no_tissue")])
    assert found.expected_slides == pytest.approx(40 * 3 / 4 * 2 / 3)
    regions, patches = found.expected(16)
    assert regions.low < 20 * 40 < regions.high and patches.low < 20 * 8000 < patches.high
    assert {r["slide_id"] for r in found.excluded} == {"c", "d"} and not found.complete
    assert survey(3, [1, 2, 3]).complete


def test_px_are_counted_as_if_every_slide_had_the_same_scale():
    found = Survey(1, [row("a", width=1000, height=500, mpp_x=0.5, mpp_y=0.25)], [], [])
    assert found.mean_px == 1000 * 500 * 2


def test_a_bad_slide_costs_itself_only():
    def check(slide):
        bad = {"status": "excluded", "reason": "unreadable_file"} if slide.slide_id == "s1" else {}
        return row(slide.slide_id, **bad)

    def count(found):
        if found["slide_id"] == "s2":
            raise SlideError("no_tissue", "nothing")
        if found["slide_id"] == "s3":
            raise ValueError("decoder")
        return counts(10)

    found = look_at_slides(_slides("a", "b", "c", "d", "https://x/e"), 300, check, count)
    reasons = {r["slide_id"]: r["reason"] for r in found.excluded}
    assert reasons == {"s1": "unreadable_file", "s2": "no_tissue", "s3": "read_error"}
    assert (found.listed, len(found.rows), found.remote, len(found.counts)) == (5, 4, 1, 1)


def test_of_a_large_cohort_a_sample_is_opened_and_a_handful_segmented():
    opened, segmented = [], []

    def check(slide):
        opened.append(slide.slide_id)
        return row(slide.slide_id)

    def count(found):
        segmented.append(found["slide_id"])
        return counts(10)

    look_at_slides(_slides(*map(str, range(100))), 40, check, count)
    assert len(opened) == 40 and len(segmented) == 12 and set(segmented) < set(opened)


def test_only_slides_that_cannot_be_read_end_it():
    bad = {"status": "excluded", "reason": "unreadable_file", "detail": "empty"}
    with pytest.raises(UserError, match=r"none of the 2 slides .* /slides/s0.svs \(unreadable_file: empty\)"):
        look_at_slides(_slides("a", "b"), 300, lambda slide: row(slide.slide_id, **bad), counts)
    no_scale = {"status": "excluded", "reason": "no_mpp"}
    assert look_at_slides(_slides("a"), 300, lambda slide: row("a", **no_scale), counts).usable == []
