"""Budgets: how much of the training part is learnt from, by name. Standard library only.

`all`, `25%` of the patients, or `8/class`, so many patients of each class.
"""

WHOLE = "all"
_FEW_SHOT = "/class"


def fraction_name(fraction: float) -> str:
    """Budget of a fraction of the training patients: `all` of 1, `25%` of 0.25."""
    return WHOLE if fraction == 1 else f"{100 * fraction:g}%"


def shots_name(patients: int) -> str:
    """Budget of a few patients of each class: `8/class`."""
    return f"{patients}{_FEW_SHOT}"


def is_few_shot(budget: str) -> bool:
    """Whether a budget is of a few patients of each class."""
    return budget.endswith(_FEW_SHOT)


def budget_order(budget: str) -> tuple[bool, float]:
    """Key that sorts budgets by size: `8/class` by its number, then `25%` by its own, then everything."""
    if is_few_shot(budget):
        return False, float(budget.removesuffix(_FEW_SHOT))
    return True, float(budget.removesuffix("%")) if budget.endswith("%") else 100.0
