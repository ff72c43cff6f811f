"""How fast the stages are: the rates that estimates of time are made from, and where each was measured.

All were measured on 2 cores of an AMD EPYC with bfloat16 products and are given a core; docs/log/project-rates.md says
where each comes from. No GPU has been measured: its rates are a share of its peak.
"""

from typing import NamedTuple

from workflow_scripts.project.survey import Range

VITS16_FLOP = 12.28e9  # of a ViT-S/16 on a patch of 256 px: 2 x parameters x tokens, and its attention
VITS16_PARAMETERS, VITS16_TOKENS = 21_688_704, 257
LITE0, LITE0_FLOP = "efficientnet_lite0", 1.003e9  # torch.utils.flop_counter, 256 px
LITE0_GPU_SHARE = 0.1  # of what a transformer reaches: its layers are too thin for matrix units; assumed
SPREAD = 3.0  # other processors take up to so many times as long; what else works on a machine comes on top


class Rates(NamedTuple):
    """Rates of one core, and of a GPU.

    Attributes:
        read_s: seconds to read a patch of 256 px at 0.5 um/px from 0.25 um/px, its share of a 4096 px region
            (tests/benchmarks/cohort_cost.py).
        tissue_s_px: seconds to segment a slide, a px of level 0 at 0.25 um/px (tests/benchmarks/cohort_cost.py).
        slide_s: seconds that any slide takes: starting its three commands (check, tissue, regions), and 0.2 to segment.
        vit_flops: FLOP/s of a vision transformer that encodes in bfloat16 (tests/benchmarks/encoding.py).
        vit_flops_float32: the same in float32.
        lite0_patches_s: patches of 256 px that EfficientNet-Lite0 encodes a second, in float32
            (tests/benchmarks/cohort_cost.py --model efficientnet_lite0).
        train_flops: FLOP/s of a training step in bfloat16 at the paper's setting (tests/benchmarks/step.py).
        parameter_s: seconds of a step that no region takes part in (AdamW, clipping, the teacher), a parameter.
        gpu_flops: FLOP/s of a GPU, by calculation: 40 % of a peak of 50 (a small one) to 990 TFLOP/s (H100).
        parameter_gpu_s: the same of the fastest GPU: 12 passes over float32 values at 3 TB/s.
        job_s: seconds to start a job of a round, from one end of Snakemake to the other.
        disk_bytes_s: bytes of a training state that are written or read a second.
    """

    read_s: float = 0.36 / 256
    tissue_s_px: float = 0.6e-9
    slide_s: float = 1.5
    vit_flops: float = 33.2 / 2 * VITS16_FLOP
    vit_flops_float32: float = 13.7 / 2 * VITS16_FLOP
    lite0_patches_s: float = 30.0
    train_flops: float = 0.15e12
    parameter_s: float = 1.95e-8
    gpu_flops: Range = Range(20e12, 396e12)
    parameter_gpu_s: float = 12 * 4 / 3e12
    job_s: float = 3.0
    disk_bytes_s: float = 0.5e9

    def slowed(self) -> "Rates":
        """The same on a processor that takes `SPREAD` times as long; GPUs have a range of their own."""
        return self._replace(
            read_s=SPREAD * self.read_s,
            tissue_s_px=SPREAD * self.tissue_s_px,
            slide_s=SPREAD * self.slide_s,
            vit_flops=self.vit_flops / SPREAD,
            vit_flops_float32=self.vit_flops_float32 / SPREAD,
            lite0_patches_s=self.lite0_patches_s / SPREAD,
            train_flops=self.train_flops / SPREAD,
            parameter_s=SPREAD * self.parameter_s,
            job_s=SPREAD * self.job_s,
            disk_bytes_s=self.disk_bytes_s / SPREAD,
        )


STORED = Rates()
