"""Peaks of cards: the names that drivers tell, and none for a card that is not in the table."""

import pytest

from workflow_scripts.core.cards import Peak, card_peak, peak_flops


@pytest.mark.parametrize(
    ("name", "half", "single"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12, 67e12),
        ("NVIDIA H100 PCIe", 756e12, 51e12),
        ("NVIDIA H200", 989e12, 67e12),
        ("NVIDIA A100-SXM4-40GB", 312e12, 19.5e12),
        ("A100-SXM4-80GB", 312e12, 19.5e12),
        ("NVIDIA A100 80GB PCIe", 312e12, 19.5e12),
        ("NVIDIA L40S", 362e12, 91.6e12),
        ("NVIDIA L4", 121e12, 30.3e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12, 82.6e12),
        ("NVIDIA GeForce RTX 3090", 71e12, 35.6e12),
        ("Tesla V100-SXM2-32GB", None, 15.7e12),
        ("NVIDIA Tesla V100-PCIE-16GB", None, 14e12),
        ("Tesla T4", None, 8.1e12),
    ],
)
def test_a_card_is_known_by_the_name_that_its_driver_tells(name: str, half: float | None, single: float) -> None:
    assert card_peak(name) == Peak(half, single)
    assert (peak_flops(name, "bfloat16"), peak_flops(name, "float32")) == (half, single)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA A100-SXM4-80GB MIG 3g.40gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 3090 Ti",
        "AMD Instinct MI300X",
        "cpu",
    ],
)
def test_parts_of_cards_and_other_cards_have_no_peak(name: str) -> None:
    assert card_peak(name) is None
    assert peak_flops(name, "bfloat16") is None


def test_another_arithmetic_has_no_peak() -> None:
    assert peak_flops("NVIDIA H100 80GB HBM3", "float16") is None
    assert peak_flops("NVIDIA H100 80GB HBM3", "count") is None
