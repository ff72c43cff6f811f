"""Which files a slide's features are looked for in."""

import pytest

from workflow_scripts.config import Source
from workflow_scripts.core.claims import names_of_slides
from workflow_scripts.core.status import SlideError
from workflow_scripts.interchange.places import find_files
from workflow_scripts.interchange.read import read_source


def _touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("kind", "folder", "features", "coords", "notes"),
    [
        ("trident", "job/features_uni", "job/features_uni/a.h5", "job/patches/a_patches.h5", []),
        ("clam", "feat", "feat/h5_files/a.h5", None, []),
        ("clam", "feat", "feat/pt_files/a.pt", "feat/patches/a.h5", []),
        ("slide2vec", "run", "run/tile_embeddings/a.pt", "run/tiles/a.coordinates.npz", ["run/tiles/a.coordinates"]),
        ("slide2vec", "run/tile_embeddings", "run/tile_embeddings/a.npz", "run/tiles/a.coordinates.npz", []),
        ("slide2vec", "old", "old/features/a.pt", "old/coordinates/a.npy", []),
        ("stamp", "uni", "uni/a.h5", None, []),
    ],
)
def test_the_tools_own_folders(tmp_path, kind, folder, features, coords, notes):
    _touch(tmp_path, features, *filter(None, [coords]), *[f"{name}.meta.json" for name in notes])
    found = find_files(Source(kind=kind, folder=str(tmp_path / folder)), "a", "elsewhere/a.svs")
    assert found.features == tmp_path / features
    assert found.coords == (tmp_path / coords if coords else None)
    expected = [features, *filter(None, [coords]), *[f"{name}.meta.json" for name in notes]]
    assert found.inputs() == [str(tmp_path / name) for name in expected]


def test_a_folder_of_coordinates_is_looked_in_alone(tmp_path):
    _touch(tmp_path, "feat/h5_files/a.h5", "feat/patches/a.h5", "one/patches/a.h5", "two/a.h5")
    for name, place in (("one", "one/patches/a.h5"), ("two", "two/a.h5")):
        source = Source(kind="clam", folder=str(tmp_path / "feat"), coords_folder=str(tmp_path / name))
        assert find_files(source, "a", "a.svs").coords == tmp_path / place


def test_the_slides_own_name_comes_after_the_slide_id(tmp_path):
    source = Source(kind="stamp", folder=str(tmp_path))
    _touch(tmp_path, "TCGA-1.h5")
    assert find_files(source, "a", "raw/TCGA-1.svs").features == tmp_path / "TCGA-1.h5"
    _touch(tmp_path, "a.h5")
    assert find_files(source, "a", "raw/TCGA-1.svs").features == tmp_path / "a.h5"


def test_one_file_is_never_that_of_two_slides(tmp_path):
    """Two slides of one file name in two folders, and the one plain.h5 that a tool wrote for them."""
    source = Source(kind="trident", folder=str(tmp_path))
    _touch(tmp_path, "plain.h5", "patches/plain_patches.h5")
    slides = [("plain", "f1/plain.svs"), ("plain_2", "f2/plain.svs"), ("other", "f3/other.svs")]
    names = names_of_slides(slides)
    first, twin, other = (find_files(source, *slide, names[slide[0]]) for slide in slides)
    assert first.features == tmp_path / "plain.h5" and first.coords == tmp_path / "patches/plain_patches.h5"
    assert (twin.features, twin.coords, twin.shared) == (None, None, [str(tmp_path / "plain.h5")])
    assert (other.features, other.shared) == (None, [])
    with pytest.raises(SlideError, match=r"plain\.h5 has the name of more than one slide.*name each.*by its slide_id"):
        read_source(source, twin)
    unnamed = [("s1", "f1/plain.svs"), ("s2", "f2/plain.svs")]
    names = names_of_slides(unnamed)
    assert [find_files(source, *slide, names[slide[0]]).features for slide in unnamed] == [None, None]
    _touch(tmp_path, "plain_2.h5")
    assert find_files(source, *slides[1], ["plain_2"]).features == tmp_path / "plain_2.h5"


def test_no_file(tmp_path):
    found = find_files(Source(kind="trident", folder=str(tmp_path / "{x}")), "a", "b.svs")
    assert (found.features, found.coords, found.inputs()) == (None, None, [])
    assert found.looked == [str(tmp_path / "{x}" / name) for name in ("a.h5", "a.pt", "b.h5", "b.pt")]
