"""What the features of a real cohort cost, from rates measured here: TCGA-NSCLC's 1,041 slides and 62,853 regions.

Measured on a made-up slide (JPEG tiles, 0.25 um/px with levels 4 times apart, as most of that cohort is): processor
time of reading a 4096 px region at 0.5 um/px until its patches are ready, of the tissue overview, and patches per
second of the encoder on this machine. The rest is arithmetic, and the table says which: hours if reading and encoding
each had the machine to themselves, and which of the two is the limit. The GPU's rate is its peak times a share.

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
from workflow_scripts.config import Features
from workflow_scripts.encoders.device import choose_batch_size, to_device
from workflow_scripts.encoders.region import Region
from workflow_scripts.encoders.registry import build_encoder
from workflow_scripts.encoders.slide_features import read_patches
from workflow_scripts.wsi.pixels import read_overview, read_region
from workflow_scripts.wsi.slide import open_slide

SLIDES, REGIONS = 1041, 62_853
SLIDE_PX = 80_000 * 60_000  # level 0 of a usual slide of that cohort
FLOPS = 12.28e9  # of a ViT-S/16 on 256 x 256 px


def reading_cost(path: Path, regions: int) -> tuple[float, float]:
    """Processor seconds of a region until its patches are ready, and of the overview, a level-0 px."""
    side, tissue = round(SIDE * MPP / 0.25), np.ones((GRID, GRID), np.float32)
    with open_slide(path) as slide:
        places = [Region("s", str(i), i * side, 0, side, side, tissue) for i in range(regions)]

        def read(x: int, y: int, size_x: int, size_y: int) -> tuple[np.ndarray, np.ndarray]:
            return read_region(slide, x, y, size_x, size_y, GRID, PX)

        read_patches(places[0], read, False)
        begun = time.process_time()
        for place in places:
            read_patches(place, read, False)
        region = (time.process_time() - begun) / regions
        begun = time.process_time()
        read_overview(slide, slide.width // 32, slide.height // 32)
        return region, (time.process_time() - begun) / slide.width / slide.height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vit_small_patch16_224:random")
    parser.add_argument("--regions", type=int, default=3)
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--gpu-tflops", type=float, default=990, help="peak in bfloat16")
    parser.add_argument("--gpu-share", type=float, default=0.4, help="of the peak that the encoder reaches")
    args = parser.parse_args()
    logging.getLogger("workflow_scripts").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        path = make_cohort(Path(name), args.regions)
        region_s, overview_s = reading_cost(path, args.regions)
        patches = patches_in_memory(path, 128)
    cpu = torch.device("cpu")
    encoder = to_device(build_encoder(Features(model=args.model, precision="auto"), PX), cpu)
    batch = choose_batch_size(encoder, PX)
    alone(encoder, patches[:batch], batch)
    rate = 1 / alone(encoder, patches, batch)
    own = os.cpu_count() or 1
    print(f"a region: {region_s:.2f} s of one core; overview: {overview_s * SLIDE_PX:.1f} s a slide; ", end="")
    print(f"encoder ({encoder.precision}) on {own} cores: {rate:.1f} patches/s")
    reading_s = REGIONS * region_s + SLIDES * SLIDE_PX * overview_s
    gpu_rate = args.gpu_tflops * 1e12 * args.gpu_share / FLOPS
    print("\n| machine | reading, h | encoding, h | in all, h | limit |\n|---|---|---|---|---|")
    for machine, cores, patches_s, shared in (
        (f"{own} cores", own, rate, True),
        (f"{args.cores} cores, a GPU at {gpu_rate:.0f} patches/s (calculated)", args.cores, gpu_rate, False),
    ):
        reading, encoding = reading_s / cores / 3600, REGIONS * GRID * GRID / patches_s / 3600
        whole = reading + encoding if shared else max(reading, encoding)
        limit = "encoding" if encoding > reading else "reading"
        print(f"| {machine} | {reading:.2f} | {encoding:.2f} | {whole:.2f} | {limit} |")


if __name__ == "__main__":
    main()
