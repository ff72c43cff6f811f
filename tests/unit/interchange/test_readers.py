"""Files of every layout and version, and what is wrong with them."""

import json
import pickle
import zipfile

import h5py
import numpy as np
import pytest
import torch

from tests.unit.interchange import layouts
from workflow_scripts.config import Source
from workflow_scripts.core.status import SlideError
from workflow_scripts.interchange.places import find_files
from workflow_scripts.interchange.read import read_source

COORDS = layouts.lattice(0)
VALUES = layouts.features(0, len(COORDS))


def read(kind, folder, **settings):
    source = Source(kind=kind, folder=str(folder), **settings)
    return read_source(source, find_files(source, "a", "a.svs"))


def refused(kind, folder, reason="bad_features", **settings):
    with pytest.raises(SlideError) as caught:
        read(kind, folder, **settings)
    assert caught.value.reason == reason
    assert "\n" not in caught.value.detail
    return caught.value.detail


def same(patches, coords=COORDS, values=VALUES):
    np.testing.assert_array_equal(patches.coords, coords)
    np.testing.assert_array_equal(patches.features, values)
    assert patches.coords.dtype == np.float64


def test_trident(tmp_path):
    layouts.trident(tmp_path / "a.h5", COORDS, VALUES)
    patches = read("trident", tmp_path)
    same(patches)
    assert (patches.unit, patches.size_px, patches.size_um, patches.mpp) == ("px", 512, None, None)
    assert (patches.magnification, patches.extent, patches.encoder) == (40, (9000, 8000), "uni_v1")


def test_trident_with_a_batch_of_one_and_without_the_size_at_level_0(tmp_path):
    layouts.trident(tmp_path / "a.h5", COORDS, VALUES[None], patch_size_level0=None, target_magnification=10)
    patches = read("trident", tmp_path)
    same(patches)
    assert patches.size_px == 1024


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_trident_pt_is_an_array_and_takes_coordinates_from_the_patching_step(tmp_path, dtype):
    torch.save(VALUES.astype(dtype), tmp_path / "a.pt")
    assert "source.coords_folder" in refused("trident", tmp_path)
    layouts.trident(tmp_path / "patches/a_patches.h5", COORDS, VALUES)
    patches = read("trident", tmp_path)
    same(patches, values=VALUES.astype(dtype))
    assert patches.size_px == 512


def test_an_array_that_numpy_1_pickled(tmp_path):
    layouts.trident(tmp_path / "patches/a_patches.h5", COORDS, VALUES)
    torch.save(VALUES, tmp_path / "new.pt")
    with zipfile.ZipFile(tmp_path / "new.pt") as new, zipfile.ZipFile(tmp_path / "a.pt", "w") as old:
        for name in new.namelist():
            old.writestr(name, new.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    same(read("trident", tmp_path))


@pytest.mark.parametrize("form", ["h5", "pt"])
def test_clam(tmp_path, form):
    layouts.clam(tmp_path, "a", COORDS, VALUES)
    if form == "pt":
        (tmp_path / "h5_files/a.h5").unlink()
    patches = read("clam", tmp_path)
    same(patches)
    assert patches.size_px == 512  # 128 px of level 1; CLAM cuts 4.0003 to 4
    (tmp_path / "patches/a.h5").unlink()
    if form == "h5":
        assert read("clam", tmp_path).size_px is None
    else:
        assert "no coordinates" in refused("clam", tmp_path)


def test_clam_of_a_level_whose_distance_is_not_told(tmp_path):
    data, told = {"features": VALUES, "coords": COORDS}, {"patch_size": 256, "patch_level": 1}
    layouts.write_h5(tmp_path / "a.h5", data, {"coords": told})
    assert read("clam", tmp_path).size_px is None
    layouts.write_h5(tmp_path / "a.h5", data, {"coords": {**told, "patch_level": 0}})
    assert read("clam", tmp_path).size_px == 256


@pytest.mark.parametrize("halved", [1, 2])
def test_first_clam_counts_in_px_of_the_level(tmp_path, halved):
    small = COORDS // (4 * halved)
    layouts.write_h5(tmp_path / "h5_files/a.h5", {"features": VALUES, "coords": small})
    told = {"patch_level": 1, "downsample": (4.0, 4.0), "level_dim": (2250, 2000), "wsi_name": "a"}
    told["downsampled_level_dim"] = (2250 // halved, 2000 // halved)
    pictures = np.zeros((len(COORDS), 64, 64, 3), np.uint8)
    layouts.write_h5(tmp_path / "patches/a.h5", {"imgs": pictures, "coords": small}, {"imgs": told})
    patches = read("clam", tmp_path)
    same(patches)
    assert patches.size_px == 64 * 4 * halved


def test_coordinates_of_another_extraction(tmp_path):
    layouts.clam(tmp_path, "a", COORDS, VALUES)
    layouts.write_h5(tmp_path / "patches/a.h5", {"coords": COORDS + 1}, {"coords": {"patch_size": 512}})
    assert "one extraction" in refused("clam", tmp_path)


@pytest.mark.parametrize(("version", "unit_um"), [("2.4.0", 256), ("2.0.0", 256), ("1", 224)])
def test_stamp(tmp_path, version, unit_um):
    layouts.stamp(tmp_path / "a.h5", (COORDS / 512 * unit_um).astype(np.float32), VALUES, version)
    patches = read("stamp", tmp_path)
    np.testing.assert_array_equal(patches.features, VALUES.astype(np.float16))
    np.testing.assert_allclose(patches.coords, COORDS / 2, rtol=1e-6)
    assert (patches.unit, patches.size_um, patches.size_px) == ("um", 256, None)
    assert patches.encoder == ("" if version == "1" else "uni")


def test_stamp_of_no_known_unit(tmp_path):
    layouts.stamp(tmp_path / "a.h5", COORDS / 512 * 100, VALUES, "1")
    assert "unit" in refused("stamp", tmp_path)


def test_each_tools_file_is_told_from_the_others(tmp_path):
    layouts.stamp(tmp_path / "one/a.h5", COORDS, VALUES)
    layouts.trident(tmp_path / "two/a.h5", COORDS, VALUES)
    assert "source.kind to stamp" in refused("trident", tmp_path / "one")
    assert "source.kind" in refused("stamp", tmp_path / "two")


@pytest.mark.parametrize("suffix", ["pt", "npz"])
def test_slide2vec(tmp_path, suffix):
    layouts.slide2vec(tmp_path, "a", COORDS, VALUES, suffix=suffix)
    patches = read("slide2vec", tmp_path)
    same(patches, COORDS if suffix == "pt" else COORDS[::-1])  # the npz numbers its tiles backwards
    assert (patches.size_px, patches.size_um, patches.mpp, patches.extent) == (512, 128, 0.25, (9000, 8000))
    assert patches.encoder == "prost40m"


def test_slide2vec_regions_are_taken_apart_row_by_row(tmp_path):
    corners = np.array([[0, 0], [1536, 0], [0, 4608]])
    values = layouts.features(1, 3 * 9).reshape(3, 9, 6)
    layouts.slide2vec(tmp_path, "a", corners, values, size=1536, multiple=3, kind="hierarchical_embeddings")
    patches = read("slide2vec", tmp_path)
    for region, (x, y) in enumerate(corners):
        for tile in range(9):
            at = region * 9 + tile
            assert tuple(patches.coords[at]) == (x + tile % 3 * 512, y + tile // 3 * 512)
            np.testing.assert_array_equal(patches.features[at], values[region, tile])
    assert (patches.size_px, patches.size_um) == (512, 128)
    layouts.slide2vec(tmp_path, "a", corners, values[:, :8], size=1536, kind="hierarchical_embeddings")
    assert "square" in refused("slide2vec", tmp_path)


def test_old_slide2vec(tmp_path):
    layouts.old_slide2vec(tmp_path, "a", COORDS, VALUES)
    patches = read("slide2vec", tmp_path)
    same(patches)
    assert (patches.size_px, patches.size_um, patches.mpp) == (512, 128, None)  # 512 / 2.0 px of 0.5 um/px


@pytest.mark.parametrize(
    "notes",
    [
        {"tiling": [1]},
        {"slide": "a"},
        {"tiling": {"tile_size_lv0": "256"}},
        {"tiling": {"requested_tile_size_px": True, "requested_spacing_um": 0.5}},
        {"tiling": {"overlap": "none"}},
        {"tiling": {"tile_size_lv0": -512}},
        {"tiling": {"tile_size_lv0": 512}, "slide": {"base_spacing_um": float("nan")}},
        {"slide": {"dimensions": 5}},
        {"slide": {"dimensions": [9000]}},
        {"slide": {"dimensions": ["wide", 8000]}},
    ],
)
def test_slide2vec_notes_of_another_form(tmp_path, notes):
    layouts.slide2vec(tmp_path, "a", COORDS, VALUES)
    (tmp_path / "tiles/a.coordinates.meta.json").write_text(json.dumps(notes))
    assert "a.coordinates.meta.json is not as slide2vec writes it" in refused("slide2vec", tmp_path)


def test_slide2vec_notes_that_leave_things_open(tmp_path):
    layouts.slide2vec(tmp_path, "a", COORDS, VALUES)
    notes = {"tiling": {"tile_size_lv0": 512, "overlap": None, "tolerance": "0.1"}, "slide": None, "version": [2]}
    (tmp_path / "tiles/a.coordinates.meta.json").write_text(json.dumps(notes))
    patches = read("slide2vec", tmp_path)
    assert (patches.size_px, patches.size_um, patches.mpp, patches.extent) == (512, None, None, None)


def test_slide2vec_files_that_do_not_belong_together(tmp_path):
    layouts.slide2vec(tmp_path, "a", COORDS, VALUES[:-1])
    assert "one run" in refused("slide2vec", tmp_path)
    (tmp_path / "tiles/a.coordinates.npz").unlink()
    assert "source.coords_folder" in refused("slide2vec", tmp_path)


def test_overlap_that_is_recorded(tmp_path):
    layouts.trident(tmp_path / "a.h5", COORDS, VALUES, overlap=32)
    assert "32 px" in refused("trident", tmp_path, "irregular_grid")
    layouts.slide2vec(tmp_path, "a", COORDS, VALUES)
    notes = tmp_path / "tiles/a.coordinates.meta.json"
    notes.write_text(json.dumps({"tiling": {"overlap": 0.25, "tile_size_lv0": 512}}))
    assert "0.25" in refused("slide2vec", tmp_path, "irregular_grid")


def test_no_file_names_the_path(tmp_path):
    assert str(tmp_path / "a.h5") in refused("trident", tmp_path, "no_features")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 7e4])
def test_values_that_are_no_numbers_in_half_precision(tmp_path, value):
    values = VALUES.copy()
    values[[3, 5], 2] = value
    layouts.trident(tmp_path / "a.h5", COORDS, values)
    assert f"2 of {len(values)} patches" in refused("trident", tmp_path)


@pytest.mark.parametrize(
    ("coords", "values", "word"),
    [
        (COORDS, VALUES[:-1], "one extraction"),
        (COORDS[:, :1], VALUES, "one extraction"),
        (COORDS, VALUES[0], "not of the slide"),
        (COORDS, VALUES.astype(np.int32), "floating"),
        (np.concatenate([COORDS[:-2], COORDS[:2]]), VALUES, "2 patches at places of others"),
        (np.where(COORDS < 600, np.nan, COORDS), VALUES, "not finite"),
    ],
)
def test_shapes_and_places(tmp_path, coords, values, word):
    layouts.trident(tmp_path / "a.h5", coords, values)
    assert word in refused("trident", tmp_path)


def test_a_slide_without_a_patch(tmp_path):
    layouts.trident(tmp_path / "a.h5", COORDS[:0], VALUES[:0])
    assert "no tissue" in refused("trident", tmp_path, "no_tissue")


def test_a_batch_of_one_and_an_attribute_without_a_value(tmp_path):
    told = {"patch_size": 256, "patch_size_level0": 512}
    data = {"features": VALUES[None], "coords": COORDS[None]}
    layouts.write_h5(tmp_path / "a.h5", data, {"features": {"encoder": h5py.Empty("S1")}, "coords": told})
    patches = read("trident", tmp_path)
    same(patches)
    assert (patches.encoder, patches.size_px) == ("", 512)


class Harmful:
    """Would make a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickles_are_refused_and_not_executed(tmp_path):
    (tmp_path / "tiles").mkdir()
    layouts.slide2vec(tmp_path, "a", COORDS, VALUES)
    harm = tmp_path / "harm"
    with (tmp_path / "tile_embeddings/a.pt").open("wb") as file:
        pickle.dump(Harmful(harm), file, protocol=2)
    assert "no plain tensor" in refused("slide2vec", tmp_path)
    torch.save(np.array([Harmful(harm)], dtype=object), tmp_path / "tile_embeddings/a.pt")
    assert "no plain tensor" in refused("slide2vec", tmp_path)
    torch.save({"features": torch.from_numpy(VALUES)}, tmp_path / "tile_embeddings/a.pt")
    assert "not one tensor" in refused("slide2vec", tmp_path)
    torch.save(torch.from_numpy(VALUES), tmp_path / "tile_embeddings/a.pt")
    objects = np.array([Harmful(harm)], dtype=object)
    np.savez(tmp_path / "tiles/a.coordinates.npz", x=objects, y=objects)
    assert "NumPy file" in refused("slide2vec", tmp_path)
    assert not harm.exists()


@pytest.mark.parametrize("kind", ["trident", "clam", "stamp"])
def test_files_that_are_cut_off_or_something_else(tmp_path, kind):
    path = layouts.trident(tmp_path / "a.h5", COORDS, VALUES)
    path.write_bytes(path.read_bytes()[:700])
    assert "HDF5" in refused(kind, tmp_path)
    layouts.write_h5(path, {"something": VALUES})
    assert "no data set" in refused(kind, tmp_path)


def test_bfloat16_tensors(tmp_path):
    layouts.slide2vec(tmp_path, "a", COORDS, VALUES)
    torch.save(torch.from_numpy(VALUES).bfloat16(), tmp_path / "tile_embeddings/a.pt")
    patches = read("slide2vec", tmp_path)
    np.testing.assert_allclose(patches.features, VALUES, rtol=2**-8)
