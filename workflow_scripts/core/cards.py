"""Peaks of known GPUs, by which a rate of arithmetic is told as a share. No torch.

The figures are the vendor's, of dense products (data sheets often tell twice as much, for sparse ones), at the card's
full power. bfloat16: tensor cores that add up in float32. float32: the ordinary cores, without TF32.
"""

import re
from typing import NamedTuple


class Peak(NamedTuple):
    """FLOP/s of dense products; None where the card does not multiply in this arithmetic."""

    bfloat16: float | None
    float32: float


# Whole names as torch.cuda.get_device_name tells them, without the maker's: what a part of a card (MIG), a laptop's or
# a variant's card reaches is not known from its bigger sister. TFLOP/s in bfloat16 and float32. Sources: NVIDIA's data
# sheets of the product, for the GeForce cards, RTX A6000, RTX 6000 Ada, A40 and V100 the white paper of the
# architecture (Volta 2017, Turing 2018, Ampere GA102 2020, Ada 2022).
_TFLOPS: dict[str, tuple[float | None, float]] = {
    r"B200": (2250, 75),  # data sheet HGX B200, an eighth
    r"H200": (989, 67),  # data sheet H200 SXM
    r"H200 NVL": (835, 60),
    r"GH200 (480GB|120GB|144G HBM3e)": (989, 67),
    r"H100 80GB HBM3": (989, 67),  # data sheet H100 SXM
    r"H100 NVL": (835, 60),
    r"H100 PCIe": (756, 51),
    r"A100-(SXM4|SXM|PCIE|PCIe)-[48]0GB|A100 80GB PCIe": (312, 19.5),
    r"A30": (165, 10.3),
    r"A40": (149.7, 37.4),
    r"A10": (125, 31.2),
    r"L40S": (362, 91.6),
    r"L40": (181, 90.5),
    r"L4": (121, 30.3),
    r"RTX A6000": (154.8, 38.7),
    r"RTX 6000 Ada Generation": (364.2, 91.1),
    r"(GeForce )?RTX 4090": (165.2, 82.6),
    r"(GeForce )?RTX 4080": (97.5, 48.7),
    r"(GeForce )?RTX 3090": (71, 35.6),
    r"V100-SXM2-(16|32)GB": (None, 15.7),  # its 125 TFLOP/s are of float16, which the workflow does not use
    r"V100-PCIE-(16|32)GB": (None, 14),
    r"T4": (None, 8.1),
}


def card_peak(name: str) -> Peak | None:
    """Peaks of the card of this name (`torch.cuda.get_device_name`); None where it is not known."""
    bare = re.sub(r"^(NVIDIA|Tesla|\s)+", "", name).strip()
    for pattern, (half, single) in _TFLOPS.items():
        if re.fullmatch(pattern, bare):
            return Peak(None if half is None else half * 1e12, single * 1e12)
    return None


def peak_flops(name: str, dtype: str) -> float | None:
    """FLOP/s of the card at best in `bfloat16` or `float32`; None where that is not known, or no such arithmetic.

    Args:
        name: as `torch.cuda.get_device_name` tells it.
        dtype: name of the arithmetic of the large products, without `torch.`.
    """
    peak = card_peak(name)
    return None if peak is None else peak._asdict().get(dtype)
