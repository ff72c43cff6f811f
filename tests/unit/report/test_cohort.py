from workflow_scripts.report.cohort import (
    choose_slides,
    cohort_summary,
    encoding_speed,
    excluded_first,
)


def _slide(name, reason="", regions=40, patient=None):
    status = "excluded" if reason else "ok"
    row = {"slide_id": name, "patient_id": patient or name, "status": status, "reason": reason, "mpp_source": "aperio"}
    return row | {"n_regions": None if reason else regions, "tissue_mm2": None if reason else 2.0}


def test_counts_leave_excluded_slides_out():
    slides = [
        _slide("a"),
        _slide("b", patient="a"),
        _slide("c", regions=31),
        _slide("d", "no_mpp"),
        _slide("e", "no_mpp", patient="a"),
    ]
    summary = cohort_summary(slides, 32)
    assert (summary["used"], summary["excluded"], summary["patients"], summary["regions"]) == (3, 2, 2, 111)
    assert summary["patients_lost"] == 1 and summary["few_regions"] == 1 and summary["tissue_mm2"] == 6
    assert summary["reasons"] == [("no_mpp", "no scale (µm/px) is recorded", 2)]


def test_a_cohort_without_a_usable_slide_has_a_summary():
    summary = cohort_summary([_slide("a", "no_mpp")], None)
    assert summary["used"] == summary["regions"] == 0 and summary["regions_range"] is None


def test_encoding_speed_is_of_the_slides_that_were_measured():
    rows = [
        {"n_patches": n, "patches_per_s": rate, "wait_share": wait}
        for n, rate, wait in ((10, 5.0, 0.1), (20, 8.0, 0.3), (0, None, None), (70, 50.0, 0.2))
    ]
    found = encoding_speed(rows)
    assert (found["slides"], found["patches"], found["rate"]) == (3, 100, 8.0)
    assert abs(found["wait_share"] - 0.2) < 1e-12
    assert encoding_speed([{"n_patches": 4}]) is None  # imported features


def test_excluded_slides_come_first():
    assert [s["slide_id"] for s in excluded_first([_slide("a"), _slide("c", "no_tissue"), _slide("b", "no_mpp")])] == [
        "b",
        "c",
        "a",
    ]


def test_few_slides_are_all_shown_and_many_are_spread():
    few = [_slide(f"{i:03d}", "no_mpp" if i % 3 == 0 else "") for i in range(60)]
    assert len(choose_slides(few, 60)) == 60
    many = [_slide(f"{i:03d}", "no_mpp" if i < 5 else "") for i in range(500)]
    shown = choose_slides(many, 60)
    assert len(shown) == 60 and [s["slide_id"] for s in shown[:5]] == ["000", "001", "002", "003", "004"]
    assert len({s["slide_id"] for s in shown}) == 60 and shown[-1]["slide_id"] > "490"
    mostly_bad = [_slide(f"{i:03d}", "no_mpp" if i < 490 else "") for i in range(500)]
    assert sum(s["status"] == "ok" for s in choose_slides(mostly_bad, 60)) == 10
