import numpy as np

from workflow_scripts.core.colours import group_colour, group_name
from workflow_scripts.report.atlas import CROPS, draw_atlas, shown_regions, stability_rows, wanted_crops
from workflow_scripts.report.page import Planned
from workflow_scripts.report.prototypes import Rectangle
from workflow_scripts.report.slide_pages import slide_layers


def _region(slide, number, x=0):
    place = {"x": x, "y": 0, "size_x": 50, "size_y": 40} if x is not None else dict.fromkeys(("x", "y"))
    return {"slide_id": slide, "region_id": f"{slide}_{number}", "prototype": 0, **place}


def _class(name, group, group_of, whole):
    return {"task": "t", "class": name, "n_regions": group, "group_regions": group_of, "class_regions": whole} | {
        "n_slides": 1,
        "class_slides": 2,
    }


def _atlas():
    near = [_region("a", n, 50 * n) for n in range(CROPS + 2)]
    classes = [_class("x", 6, 8, 6), _class("y", 2, 8, 10), _class("z", 0, 8, 0)]
    facts = {"n_prototypes": 3, "n_slides": 2, "similarity": 0.9}
    return [
        {"group": 0, "n_regions": 9, "nearest": near, "classes": classes, **facts},
        {"group": 1, "n_regions": 3, "nearest": [_region("b", 0, None), _region("b", 1, 7)], "classes": [], **facts},
    ]


def test_shares_have_their_denominators_and_add_up():
    first, second = draw_atlas(_atlas(), {}, {})["groups"]
    assert [one["of_group"] for one in first["classes"]] == [6 / 8, 2 / 8, 0]
    assert [one["of_class"] for one in first["classes"]] == [1.0, 0.2, None]  # no region is of class z
    assert (first["share"], second["share"]) == (0.75, 0.25)


def test_regions_whose_place_is_known_are_read_once_and_shown_up_to_a_number():
    atlas = _atlas()
    assert len(shown_regions(atlas[0])) == CROPS and [r["region_id"] for r in shown_regions(atlas[1])] == ["b_1"]
    wanted = wanted_crops(atlas)
    assert len(wanted["a"]) == CROPS and wanted["b"] == [Rectangle(7, 0, 50, 40, 160, 160)]
    whole = Rectangle(0, 0, 900, 400, 640, 284)
    example = {"slide": {"slide_id": "b"}, "thumbnail": whole, "prototypes": []}
    assert Planned([example], atlas, {}).wanted() == wanted | {"b": [whole, *wanted["b"]]}
    crops = draw_atlas(atlas, {}, {("b", wanted["b"][0]): np.zeros((160, 160, 3), np.uint8)})["groups"]
    assert crops[1]["crops"][0]["picture"].startswith("data:image/jpeg") and crops[0]["crops"][0]["picture"] is None


def test_names_and_colours_are_those_of_every_other_map():
    drawn = draw_atlas(_atlas(), {}, {})["groups"]
    assert [(g["name"], g["colour"]) for g in drawn] == [(group_name(n), group_colour(n)) for n in range(2)]
    (layer,) = [layer for layer in slide_layers(2, (0, 1)) if layer["key"] == "group"]
    assert layer["names"] == [g["name"] for g in drawn]


def test_stability_is_told_of_the_round_before_of_other_seeds_and_of_other_runs():
    meta = {"before": {"round": 2, "ari": 0.7, "n_regions": 11}, "other_seeds": [0.9, None], "n_regions": 12}
    meta["other_runs"] = [{"run": "slpd-seed1", "ari": 0.4, "n_regions": 10}]
    rows = stability_rows(meta)
    assert [(row["ari"], row["n_regions"]) for row in rows] == [(0.7, 11), (0.9, 12), (None, 12), (0.4, 10)]
    assert "round 2" in rows[0]["text"] and "slpd-seed1" in rows[-1]["text"]
    assert stability_rows({"before": None, "other_seeds": [], "other_runs": []}) == []


def test_without_groups_there_is_no_atlas():
    assert draw_atlas([], {}, {}) is None
