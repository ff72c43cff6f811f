"""How fast patches are encoded: the encoder alone, the stage from slide to features, and a loop as others have it.

A made-up slide (JPEG tiles, a pyramid, 0.25 um/px) is read at 0.5 um/px in regions of 16 x 16 patches of 256 px and
encoded by a ViT-S/16 with random weights, whose speed is that of trained ones. Printed are
- the encoder alone, fed from memory, by precision and batch size, and compiled;
- the stage (`extract_features`' own code, files included) against the encoder alone, both in turns, with one number of
  reader threads after another (`--readers`);
- a loop as CLAM and HIPT have it: a data set that reads each patch through OpenSlide, workers, batches, float32;
- the stage with glass patches encoded one by one, and whether anything but their tokens changes;
- bfloat16's features against float32's.

    python -m tests.benchmarks.encoding [--regions 4] [--model vit_small_patch16_224:random] [--repeats 3]
    python -m tests.benchmarks.encoding --rows 128 --readers 1 2 4 8 16 --model vit_large_patch16_224:random  # on a GPU

The slide takes long to make, so `--rows` of its regions are read that lie on one another: each is decoded anew.
"""

import argparse
import json
import logging
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import openslide
import torch
from torch.utils.data import DataLoader, Dataset

from tests.benchmarks.encoder_alone import alone
from workflow_scripts.config import Features
from workflow_scripts.core import schemas
from workflow_scripts.core.status import SlideStatus
from workflow_scripts.core.tables import read_table, status_meta, write_table
from workflow_scripts.core.tensors import from_column
from workflow_scripts.demo.plan import cohort_plan
from workflow_scripts.demo.slide import make_slide
from workflow_scripts.encoders.device import choose_batch_size, compiled, to_device
from workflow_scripts.encoders.registry import Encoder, build_encoder
from workflow_scripts.extract_features import main as extract
from workflow_scripts.wsi.pixels import read_region
from workflow_scripts.wsi.slide import open_slide

GRID, PX, MPP = 16, 256, 0.5
SIDE = GRID * PX  # px at 0.5 um/px


def make_cohort(folder: Path, regions: int, rows: int = 0, grid: int = GRID) -> Path:
    """One slide with so many regions side by side, and the tables of the stages before; a quarter of each is glass.

    Args:
        folder: where all of it goes.
        regions: of the slide.
        rows: of the table of regions, which go over the slide again and again; as many as `regions` by default.
        grid: patches along each side of a region.
    """
    plan = next(plan for plan in cohort_plan(7) if plan.kind == "normal" and plan.suffix == "svs" and plan.mpp == 0.25)
    path, width = folder / "slide.svs", grid * PX * regions
    make_slide(plan._replace(size_px=(width, grid * PX)), 7, path)
    with open_slide(path) as slide:
        row = {"slide_id": "slide", "path": str(path), "status": "ok", "reason": "", "detail": ""}
        row |= {"width": slide.width, "height": slide.height}
    tissue = np.ones((grid, grid), np.float32)
    tissue[-(grid // 4) :] = 0  # a quarter is glass
    side = round(grid * PX * MPP / 0.25)
    table = [
        {"slide_id": "slide", "region_id": f"slide_{i}", "x": i % regions * side, "y": 0, "size_x": side}
        | {"size_y": side, "patch_tissue": tissue.ravel()}
        for i in range(rows or regions)
    ]
    meta = status_meta(SlideStatus("slide"))
    write_table(folder / "check/slide.parquet", [row], schemas.CHECK, meta)
    write_table(folder / "regions/slide.parquet", table, schemas.REGIONS, meta | {"tissue_mm2": 1.0})
    (folder / "slides.csv").write_text(f"slide_id,path\nslide,{path}\n")
    return path


def stage(
    folder: Path, settings: dict, name: str, readers: int = 2, grid: int = GRID
) -> tuple[float, int, float, dict[str, np.ndarray]]:
    """Seconds of encoding, patches, share of waiting, and the slide's arrays, by the workflow's own entry."""
    (folder / f"features/{name}/slides/slide.parquet").unlink(missing_ok=True)
    output = folder / f"features/{name}/shard_0.parquet"
    scale = {"mpp": MPP, "patch_px": PX, "grid": grid}
    extract(
        [
            *("--config", json.dumps(settings), "--regions-config", json.dumps(scale), "--shard", "0"),
            *("--manifest", str(folder / "slides.csv"), "--check-folder", str(folder / "check")),
            *("--regions-folder", str(folder / "regions"), "--output", str(output)),
            *("--readers", str(readers)),
        ]
    )
    row = read_table(output).to_pylist()[0]
    table = read_table(output.parent / row["file"])
    arrays = {key: from_column(table, key) for key in ("features", "read_ok", "tissue", "colour")}
    return row["n_patches"] / row["patches_per_s"], row["n_patches"], row["wait_share"], arrays


def patches_in_memory(path: Path, count: int) -> np.ndarray:
    side = round(SIDE * MPP / 0.25)
    with open_slide(path) as slide:
        rgb = read_region(slide, 0, 0, side, side, GRID, PX).rgb
    patches = rgb.reshape(GRID, PX, GRID, PX, 3).swapaxes(1, 2).reshape(-1, PX, PX, 3)
    return np.ascontiguousarray(patches[:count])


class EachPatch(Dataset):
    """The plain way: every worker opens the slide and reads one patch at a time from the level that fits."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.count, self.slide = path, count, None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> torch.Tensor:
        self.slide = self.slide or openslide.OpenSlide(str(self.path))
        row, column = divmod(index, GRID)
        level0 = round(PX * MPP / 0.25)
        image = self.slide.read_region((column * level0, row * level0), 0, (level0, level0)).convert("RGB")
        pixels = torch.from_numpy(np.asarray(image.resize((PX, PX)))).permute(2, 0, 1).float() / 255
        return (pixels - 0.5) / 0.5


def plain_loop(path: Path, encoder: Encoder, count: int) -> float:
    """Seconds a patch."""
    begun = time.perf_counter()
    with torch.inference_mode():
        for batch in DataLoader(EachPatch(path, count), batch_size=64, num_workers=2):
            encoder.module(batch.to(encoder.device)).cpu().numpy()
    return (time.perf_counter() - begun) / count


def in_turns(
    folder: Path, settings: dict, encoder: Encoder, patches: np.ndarray, batch: int, readers: int, repeats: int
) -> tuple[list[float], list[float], list[float], dict[str, np.ndarray]]:
    """The encoder alone and the stage in turns: shares of the encoder's speed, patches/s, shares of waiting, arrays."""
    shares, rates, waits = [], [], []
    for _ in range(repeats):
        lone = alone(encoder, patches, batch)
        seconds, count, wait, kept = stage(folder, settings, "bench", readers)
        shares.append(lone * count / seconds)
        rates.append(count / seconds)
        waits.append(wait)
    return shares, rates, waits, kept


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    first, second = first.astype(np.float64), second.astype(np.float64)
    return (first * second).sum(-1) / np.linalg.norm(first, axis=-1) / np.linalg.norm(second, axis=-1)


def encoder_table(settings: dict, patches: np.ndarray, device: torch.device) -> None:
    print("\n| encoder alone | batch | patches/s |\n|---|---|---|")
    sizes = (4, 8, 16, 32, 64) if device.type == "cpu" else (32, 64, 128, 256)
    for precision in ("float32", "bfloat16"):
        built = build_encoder(Features.model_validate(settings | {"precision": precision}), PX)
        encoder = to_device(built, device)
        for batch in sizes:
            alone(encoder, patches[:batch], batch)
            print(f"| {precision} | {batch} | {1 / alone(encoder, patches[: 2 * max(sizes)], batch):.1f} |", flush=True)
    best = choose_batch_size(encoder, PX)
    begun = time.perf_counter()
    quick = compiled(encoder, best, PX)
    spent = time.perf_counter() - begun
    rate = 1 / alone(quick, patches[: 2 * max(sizes)], best)
    print(f"| bfloat16, compiled in {spent:.0f} s | {best} | {rate:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", type=int, default=4)
    parser.add_argument("--model", default="vit_small_patch16_224:random")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", type=int, default=0, help="regions that are read; those of the slide by default")
    parser.add_argument(
        "--readers", type=int, nargs="+", default=[2], help="regions read at once; several are compared"
    )
    args = parser.parse_args()
    logging.getLogger("workflow_scripts").setLevel(logging.ERROR)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = {"encoder": "bench", "model": args.model, "shards": 1, "precision": "auto"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = make_cohort(folder, args.regions, args.rows)
        patches = patches_in_memory(path, GRID * GRID)
        encoder_table(settings, patches, device)
        # a GPU is done with one region before a clock can tell
        lone = patches[: GRID * (GRID - 4)] if device.type == "cpu" else np.tile(patches, (16, 1, 1, 1))
        encoder = to_device(build_encoder(Features.model_validate(settings), PX), device)
        batch = choose_batch_size(encoder, PX)
        for readers in args.readers:
            shares, rates, waits, kept = in_turns(folder, settings, encoder, lone, batch, readers, args.repeats)
            rate = statistics.median(rates)
            print(f"\nstage, {encoder.precision}, {readers} readers: {rate:.1f} patches/s, ", end="")
            print(f"{statistics.median(shares):.1%} of the encoder alone, waiting {statistics.median(waits):.1%}")
        full = to_device(build_encoder(Features.model_validate(settings | {"precision": "float32"}), PX), device)
        plain = 1 / plain_loop(path, full, 128)
        print(f"plain loop over patches, float32, batch 64: {plain:.1f} patches/s; ", end="")
        print(f"the stage is {statistics.median(rates) / plain:.1f} times as fast")
        seconds, count, _, whole = stage(folder, settings | {"encode_glass": True}, "glass")
        same = np.array_equal(whole["features"][kept["tissue"] > 0], kept["features"][kept["tissue"] > 0])
        others = all(np.array_equal(whole[key], kept[key]) for key in ("read_ok", "tissue", "colour"))
        likeness = cosine(whole["features"], kept["features"])[kept["tissue"] > 0].min()
        print(f"glass encoded too: {count} patches in {seconds:.1f} s; tokens of tissue the same bits: {same}", end="")
        print(f" (least cosine {likeness:.6f}), all else the same: {others}")
        exact = stage(folder, settings | {"precision": "float32"}, "exact")[3]["features"]
        near = cosine(exact, kept["features"])[kept["tissue"] > 0]
        print(f"{encoder.precision} against float32: mean cosine {near.mean():.6f}, least {near.min():.6f}")


if __name__ == "__main__":
    main()
