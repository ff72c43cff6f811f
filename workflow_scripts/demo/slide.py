"""Make one slide of the demo cohort and its truth."""

from pathlib import Path

import numpy as np

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import whole_file
from workflow_scripts.demo import layout
from workflow_scripts.demo.plan import CLASSES, SlidePlan, cohort_plan
from workflow_scripts.demo.pyramid import write_pyramid
from workflow_scripts.demo.render import Truth, make_truth, render, with_noise

_KEPT = 0.6  # of a truncated file


def find_plan(seed: int, slide_id: str) -> SlidePlan:
    """Plan of one slide.

    Raises:
        UserError: the cohort has no such slide.
    """
    for plan in cohort_plan(seed):
        if plan.slide_id == slide_id:
            return plan
    raise UserError(f"the demo cohort has no slide {slide_id}; write its manifest anew with make_demo_manifest")


def make_slide(plan: SlidePlan, seed: int, path: Path | str) -> Truth:
    """Render a slide and write it to `path`; for a truncated slide the truth is of what it would have been."""
    truth = make_truth(plan, seed)
    rgb = with_noise(render(plan, seed, truth), plan, seed)
    with whole_file(path) as partial:
        write_pyramid(partial, rgb, plan.suffix, plan.mpp, plan.mpp_in_file)
        if plan.kind == "truncated":
            with open(partial, "rb+") as file:
                file.truncate(int(partial.stat().st_size * _KEPT))
    return truth


def save_truth(path: Path | str, truth: Truth) -> None:
    """Write `classes`, `map` (uint8, at `um_per_px`) and `composition` (of `classes[1:]`) as a NumPy archive."""
    with whole_file(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(
            file,
            classes=np.array(CLASSES),
            map=truth.map,
            um_per_px=np.float64(layout.MPP),
            composition=truth.composition,
        )
