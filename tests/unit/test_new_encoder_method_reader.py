"""An encoder, a tissue method and a reader are added as CONTRIBUTING shows, to a copy of the package, and used.

A slide of a made-up format goes from its file to features: the new reader opens it, the new method finds its tissue,
the new encoder encodes its patches.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from workflow_scripts.core.feature_store import feature_facts, load_features
from workflow_scripts.core.tables import read_meta, read_table

ROOT = Path(__file__).resolve().parents[2]
SIDE, PX, GRID, MPP = 512, 64, 2, 0.5
SCALES = np.array([1.0, -2.0, 3.0], np.float32)

# One file and one line of READERS.
READER = """\
import numpy as np

from workflow_scripts.wsi.backend import Backend, NotMine

MAGIC = b"RAWSLIDE"


class RawBackend:
    vendor = "raw"

    def __init__(self, pixels):
        self._pixels = pixels
        self.properties = {"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.5"}
        self.dimensions, self.downsamples, self.tile_rows = [pixels.shape[1::-1]], [1.0], [1]

    def read(self, level, x, y, w, h, out=None):
        pixels = self._pixels[y : y + h, x : x + w]
        if out is None:
            return pixels.copy()
        out[...] = pixels
        return out

    def close(self):
        pass


def open_file(path: str, head: bytes, threads: int = 1) -> Backend:
    if not head.startswith(MAGIC):
        raise NotMine
    height, width = (int(size) for size in head.split(b"\\n")[1].split())
    return RawBackend(np.fromfile(path, np.uint8)[-height * width * 3 :].reshape(height, width, 3))
"""
READER_LINE = '    "raw": ".raw",\n'

# One file; the configuration finds it by its name.
METHOD = """\
import numpy as np

FULL_SCALE = 1.0


def score(rgb, width_px):
    return 255 - rgb.min(axis=2)
"""

# One file and one entry of ENCODERS, and one entry alone where timm's arguments say all.
ENCODER = """\
import torch

from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.encoders.recipe import Recipe


class MeanColour(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(3))

    def forward(self, pixels):
        return self.scale * pixels.mean((2, 3))


def recipe(name):
    return Recipe(create=lambda input_px: MeanColour(), facts=ENCODERS[name])
"""
ENCODER_LINES = (
    '    "mean_colour": EncoderFacts("six pictures", "mine", HALF, dim=3, mpps=(0.5,), module="mean_colour"),\n'
    '    "tiny": EncoderFacts("none", "mine", HALF, token_px=16, timm="test_vit", options={"init_values": 0.5}),\n'
)


def insert(path: Path, before: str, text: str) -> None:
    old = path.read_text()
    assert old.count(before) == 1, f"{path} has no place for it: {before}"
    path.write_text(old.replace(before, text + before))


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """Folder with a copy of the package that knows all three."""
    folder = tmp_path_factory.mktemp("package")
    copy = folder / "workflow_scripts"
    shutil.copytree(ROOT / "workflow_scripts", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "wsi/reader_raw.py").write_text(READER)
    insert(copy / "wsi/readers.py", '    "plain_image": ', READER_LINE)
    (copy / "tissue/method_darkness.py").write_text(METHOD)
    (copy / "encoders/mean_colour.py").write_text(ENCODER)
    insert(copy / "config/encoders.py", '    "efficientnet_lite0": EncoderFacts(', ENCODER_LINES)
    return folder


def run(package: Path, *words: object) -> str:
    """A command of the copied package."""
    environment = {**os.environ, "PYTHONPATH": str(package), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(
        command, cwd=package, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def pixels() -> np.ndarray:
    """White glass with a dark square of tissue, 128..384 px."""
    rgb = np.full((SIDE, SIDE, 3), 250, np.uint8)
    rgb[128:384, 128:384] = np.random.default_rng(0).integers(60, 120, (256, 256, 3))
    return rgb


@pytest.fixture(scope="module")
def checked(package, tmp_path_factory) -> Path:
    """Folder with the slide, and its row of check_slide."""
    folder = tmp_path_factory.mktemp("cohort")
    (folder / "s.raw").write_bytes(b"RAWSLIDE\n%d %d\n" % (SIDE, SIDE) + pixels().tobytes())
    row = json.dumps({"slide_id": "s", "path": str(folder / "s.raw"), "mpp": None})
    output = folder / "check/s.parquet"
    run(package, "-m", "workflow_scripts.check_slide", "--config", "{}", "--row", row, "--output", output)
    return folder


@pytest.fixture(scope="module")
def segmented(package, checked) -> Path:
    """The same with its tissue and regions."""
    files = {name: checked / f"tissue/s.{end}" for name, end in (("tissue", "parquet"), ("geojson", "geojson"))}
    outputs = [word for name, file in files.items() for word in (f"--{name}", file)]
    settings = json.dumps({"method": "darkness", "mpp": 2.0, "smooth_um": 0, "closing_um": 0, "min_area_um2": 0})
    segment = ["-m", "workflow_scripts.segment_tissue", "--config", settings, "--check", checked / "check/s.parquet"]
    run(package, *segment, *outputs, "--overlay", checked / "tissue/s.png")
    tile = ["-m", "workflow_scripts.tile_regions", "--config", regions(), "--check", checked / "check/s.parquet"]
    run(package, *tile, "--tissue", files["tissue"], "--output", checked / "regions/s.parquet")
    return checked


def regions() -> str:
    return json.dumps({"mpp": MPP, "patch_px": PX, "grid": GRID, "min_tissue_fraction": 0.5})


def extract(package: Path, folder: Path, model: str, **settings: object) -> None:
    (folder / "slides.csv").write_text(f"slide_id,path\ns,{folder / 's.raw'}\n")
    features = json.dumps({"encoder": "mine", "model": model, "shards": 1, "precision": "float32"} | settings)
    scales = ["--regions-config", regions(), "--manifest", folder / "slides.csv", "--shard", 0]
    tables = ["--check-folder", folder / "check", "--regions-folder", folder / "regions"]
    output = ["--output", folder / model.partition(":")[0] / "shard_0.parquet"]
    run(package, "-m", "workflow_scripts.extract_features", "--config", features, *scales, *tables, *output)


def test_the_reader_opens_the_slide(package, checked):
    (row,) = read_table(checked / "check/s.parquet").to_pylist()
    assert (row["status"], row["vendor"], row["width"], row["height"]) == ("ok", "raw", SIDE, SIDE)
    assert (row["mpp_x"], row["mpp_source"]) == (MPP, "vendor")
    code = "import sys; from workflow_scripts.wsi.slide_files import find_slides; print(*find_slides(sys.argv[1])[0])"
    assert run(package, "-c", code, checked).split() == [str(checked / "s.raw")]


def test_the_method_finds_the_tissue(segmented):
    assert read_meta(segmented / "tissue/s.parquet")["tissue_mm2"] == pytest.approx((256 * MPP / 1000) ** 2, rel=0.05)


def test_the_encoder_encodes_the_patches(package, segmented):
    save_file({"scale": torch.from_numpy(SCALES)}, segmented / "w.safetensors")
    extract(package, segmented, "mean_colour", weights=str(segmented / "w.safetensors"))
    store = load_features(segmented / "mean_colour", ["s"])
    places = read_table(segmented / "regions/s.parquet").to_pylist()
    assert len(store.tokens) == len(places) == 4  # 2 x 2 regions cover the tissue, and no glass
    for tokens, place in zip(store.tokens, places, strict=True):
        for row, col in np.ndindex(GRID, GRID):
            left, top = place["x"] + col * PX, place["y"] + row * PX
            colour = pixels()[top : top + PX, left : left + PX].mean((0, 1)) / 255
            np.testing.assert_allclose(tokens[row, col], (colour - 0.5) / 0.5 * SCALES, atol=4e-3)
    assert feature_facts(segmented / "mean_colour", "s")["encoder"]["licence"] == "mine"


def test_an_entry_alone_does_for_a_model_of_timm(package, segmented):
    extract(package, segmented, "tiny:random")
    assert load_features(segmented / "tiny", ["s"]).tokens.shape == (4, GRID, GRID, 64)


def test_the_configuration_knows_them(package):
    code = (
        "from workflow_scripts.config import load_config\n"
        "from workflow_scripts.core.errors import UserError\n"
        "load_config({'tissue': {'method': 'darkness'}, 'features': {'model': 'mean_colour'}})\n"
        "for section in ({'tissue': {'method': 'dark'}},\n"
        "                {'features': {'model': 'mean_colour'}, 'regions': {'mpp': 2.0}}):\n"
        "    try:\n        load_config(section)\n"
        "    except UserError as error:\n        print(error)\n"
    )
    told = run(package, "-c", code)
    assert "dark is none of clam, darkness, optical_density, saturation" in told
    assert "mean_colour was trained at 0.5 um/px" in told


@pytest.mark.parametrize(
    ("file", "again"),
    [
        ("wsi/reader_raw.py", ["check_slide", "segment_tissue", "extract_features"]),
        ("tissue/method_darkness.py", ["segment_tissue"]),
        ("encoders/mean_colour.py", ["extract_features"]),
    ],
)
def test_an_edit_of_each_runs_what_it_may_change(package, file, again):
    code = "import sys; from workflow_scripts.core.digest import code_digest as d; print(*map(d, sys.argv[1:]))"
    names = ["check_slide", "segment_tissue", "tile_regions", "extract_features", "warm_up"]
    modules = [f"workflow_scripts.{name}" for name in names]
    before = run(package, "-c", code, *modules).split()
    path = package / "workflow_scripts" / file
    text = path.read_text()
    path.write_text(text + "\nNEW = 1\n")
    after = run(package, "-c", code, *modules).split()
    path.write_text(text)
    assert [name for name, one, two in zip(names, before, after, strict=True) if one != two] == again
