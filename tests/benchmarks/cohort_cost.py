"""What the features of a real cohort cost, from rates measured here: TCGA-NSCLC's 1,041 slides and 62,853 regions.

Measured on a made-up slide (JPEG tiles, 0.25 um/px with levels 4 times apart, as most of that cohort is): processor
time of reading a 4096 px region at 0.5 um/px until its patches are ready, of finding the tissue, and patches per
second of the encoder on this machine. The rest is the arithmetic that `init_project` uses (`project.cost`), and the
table says which of reading and encoding is the limit. The GPU's rate is its peak times a share. Beside each measured
rate stands the stored one, of `project.rates`.

    python -m tests.benchmarks.cohort_cost [--gpu-tflops 990 --gpu-share 0.4 --cores 16]
"""

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.encoding import GRID, MPP, PX, SIDE, alone, make_cohort, patches_in_memory
from workflow_scripts.config import Features, Tissue
from workflow_scripts.encoders.device import choose_batch_size, to_device
from workflow_scripts.encoders.region import Region
from workflow_scripts.encoders.registry import build_encoder
from workflow_scripts.encoders.slide_features import read_patches
from workflow_scripts.project.cost import Cohort, feature_hours
from workflow_scripts.project.rates import STORED, VITS16_FLOP
from workflow_scripts.segment_tissue import find_tissue
from workflow_scripts.wsi.pixels import read_region
from workflow_scripts.wsi.slide import open_slide

SLIDES, REGIONS = 1041, 62_853
SLIDE_PX = 80_000 * 60_000  # level 0 of a usual slide of that cohort
LEVEL0_MPP = 0.25


def reading_rate(path: Path, regions: int) -> float:
    """Processor seconds of a patch until it is ready."""
    side, tissue = round(SIDE * MPP / LEVEL0_MPP), np.ones((GRID, GRID), np.float32)
    with open_slide(path) as slide:
        places = [Region("s", str(i), i * side, 0, side, side, tissue) for i in range(regions)]

        def read(x: int, y: int, size_x: int, size_y: int) -> tuple[np.ndarray, np.ndarray]:
            return read_region(slide, x, y, size_x, size_y, GRID, PX)

        read_patches(places[0], read, False)
        begun = time.process_time()
        for place in places:
            read_patches(place, read, False)
        return (time.process_time() - begun) / regions / GRID**2


def tissue_rate(large: Path, small: Path) -> float:
    """Processor seconds of finding tissue, a px of level 0: by two slides, for a part of it is the same for all."""
    seconds, sizes = [], []
    for path in (small, small, large):  # the first to warm up
        with open_slide(path) as slide:
            sizes.append(slide.width * slide.height)
        begun = time.process_time()
        find_tissue({"path": str(path), "mpp_x": LEVEL0_MPP, "mpp_y": LEVEL0_MPP}, [], Tissue())
        seconds.append(time.process_time() - begun)
    return (seconds[2] - seconds[1]) / (sizes[2] - sizes[1])


def encoder_rate(model: str, path: Path) -> tuple[float, str]:
    """Patches a second of an encoder on this machine's cores, and its arithmetic."""
    patches = patches_in_memory(path, 128)
    encoder = to_device(build_encoder(Features(model=model, precision="auto"), PX), torch.device("cpu"))
    batch = choose_batch_size(encoder, PX)
    alone(encoder, patches[:batch], batch)
    return 1 / alone(encoder, patches, batch), encoder.precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_small_patch16_224:random")
    parser.add_argument("--regions", type=int, default=6)
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--gpu-tflops", type=float, default=990, help="peak in bfloat16")
    parser.add_argument("--gpu-share", type=float, default=0.4, help="of the peak that a ViT-S/16 reaches")
    args = parser.parse_args()
    logging.getLogger("workflow_scripts").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        small, path = (make_cohort(Path(name) / str(regions), regions) for regions in (1, args.regions))
        rates = STORED._replace(read_s=reading_rate(path, args.regions), tissue_s_px=tissue_rate(path, small))
        rate, precision = encoder_rate(args.model, path)
    own, gpu_rate = os.cpu_count() or 1, args.gpu_tflops * 1e12 * args.gpu_share / VITS16_FLOP
    for what, measured, stored in (
        ("s of one core, a region of 4096 px", rates.read_s * GRID**2, STORED.read_s * GRID**2),
        ("s of one core, the tissue of a slide", rates.tissue_s_px * SLIDE_PX, STORED.tissue_s_px * SLIDE_PX),
    ):
        print(f"{what}: {measured:.2f} (stored: {stored:.2f})")
    lite0, vits16 = own * STORED.lite0_patches_s, own * STORED.vit_flops / VITS16_FLOP
    print(f"patches/s of the encoder ({precision}) on {own} cores: {rate:.1f} ", end="")
    print(f"(stored: EfficientNet-Lite0 {lite0:.1f}, ViT-S/16 {vits16:.1f})")
    cohort = Cohort(SLIDES, SLIDES * SLIDE_PX, REGIONS, REGIONS * GRID**2)
    print("\n| machine | tissue, h | reading, h | encoding, h | in all, h | limit |\n|---|---|---|---|---|---|")
    for machine, cores, patches_s, gpu in (
        (f"{own} cores", own, rate, False),
        (f"{args.cores} cores, a GPU at {gpu_rate:.0f} patches/s (calculated)", args.cores, gpu_rate, True),
    ):
        hours = feature_hours(cohort, GRID**2, patches_s, cores, gpu, rates)
        limit = "encoding" if hours.encoding > hours.reading else "reading"
        figures = " | ".join(f"{value:.2f}" for value in hours)
        print(f"| {machine} | {figures} | {limit} |")


if __name__ == "__main__":
    main()
