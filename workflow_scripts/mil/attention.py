"""What heads attend to: the mean over the fits that had not seen a bag of the weights of its instances."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

# One row a head and region of a tested slide, of heads that attend.
ATTENTION = pa.schema(
    [
        pa.field("slide_id", pa.string(), nullable=False),
        pa.field("region_id", pa.string(), nullable=False),
        pa.field("head", pa.string()),
        pa.field("attention", pa.float32()),  # multiple of an even share among the bag's regions, mean over fits
        pa.field("n_fits", pa.int32()),
    ]
)
_REGION = ["slide_id", "region_id"]


class AttentionSums:
    """Weights of the instances of n bags, added up over fits: one number an instance, however many fits there are.

    A weight counts as a multiple of an even share, which is 1 / m in a bag of m, so that bags compare.

    Attributes:
        totals: sums over fits, float64 `[sum m_i]`, bags one after another.
        fits: their number for each bag, int64 `[n]`.
    """

    def __init__(self, counts: np.ndarray) -> None:
        """Nothing yet, of bags of `counts` instances, int64 `[n]`."""
        self.counts, self._starts = counts, np.cumsum(counts) - counts
        self.totals = np.zeros(int(counts.sum()))
        self.fits = np.zeros(len(counts), np.int64)

    def add(self, bag: int, weights: np.ndarray) -> None:
        """Add what a fit gives the instances of a bag, `[m]`, whose sum is 1."""
        start, count = self._starts[bag], self.counts[bag]
        self.totals[start : start + count] += count * weights.astype(np.float64)
        self.fits[bag] += 1

    def table(self, regions: pa.Table) -> pa.Table:
        """Columns slide_id, region_id, `total` and `n_fits` of the instances of bags that some fit has told of.

        Args:
            regions: slide_id and region_id of the instances, bags one after another.
        """
        fits = np.repeat(self.fits, self.counts)
        table = regions.select(_REGION).append_column("total", pa.array(self.totals))
        return table.append_column("n_fits", pa.array(fits)).filter(pa.array(fits > 0))


class Watched(NamedTuple):
    """What of a fit's attention is added up, and to what.

    Attributes:
        sums: of all fits.
        bags: those of the fit that count, int64.
    """

    sums: AttentionSums
    bags: np.ndarray


def attention_table(head: str, tables: Iterable[pa.Table]) -> pa.Table:
    """Rows of `ATTENTION` of a head, in order of slide_id and region_id.

    Args:
        head: its name.
        tables: from `AttentionSums.table`; those of the same region are added.
    """
    kept = list(tables)
    if not kept:
        return ATTENTION.empty_table()
    sums = [("total", "sum"), ("n_fits", "sum")]
    added = pa.concat_tables(kept).group_by(_REGION, use_threads=False).aggregate(sums)
    added = added.sort_by([(name, "ascending") for name in _REGION])  # groups come in no order of their own
    total, fits = (added[f"{name}_sum"].to_numpy() for name in ("total", "n_fits"))
    columns = {name: added[name] for name in _REGION} | {"head": pa.array([head] * len(added), pa.string())}
    columns |= {"attention": pa.array((total / fits).astype(np.float32)), "n_fits": pa.array(fits.astype(np.int32))}
    return pa.table(columns, ATTENTION)
