"""Numbers and metrics as they are printed."""

import math

from workflow_scripts.core.tasks import METRICS, Metric

_MINUS = "−"


def metric_facts(metric: str) -> Metric:
    """What is known of a metric; of one that is not, its name without underscores."""
    return METRICS.get(metric) or Metric(metric.replace("_", " "))


def metric_name(metric: str) -> str:
    """Name of a metric as it is printed."""
    return metric_facts(metric).label


def known(value: float | None) -> bool:
    """Whether a number is there: neither null nor NaN nor infinite."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number with a true minus sign; an en dash where there is none."""
    if not known(value):
        return "–"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", _MINUS)


def significant(value: float | None, digits: int = 3) -> str:
    """A number to so many digits that count, so that small ones keep theirs: 84.0, 0.00213."""
    if value is None or not known(value) or value == 0:
        return number(value)
    return number(value, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def interval(low: float | None, high: float | None, sign: bool = False, digits: int = 3) -> str:
    """A 95 % interval in brackets; empty where there is none."""
    if not (known(low) and known(high)):
        return ""
    return f"[{number(low, digits, sign)},\u00a0{number(high, digits, sign)}]"


def p_value(value: float | None) -> str:
    """A p value with its sign of equality: `= 0.031`, or `< 0.001`; an en dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return "<\u00a00.001" if value < 0.001 else f"=\u00a0{value:.3f}"


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 slide`, `2 slides`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def listed(names: list[str]) -> str:
    """Names as a list in a sentence: `a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
