"""Nearest regions by the cosine of their embeddings: all of a cohort's, exactly or by an inverted file (faiss)."""

import json
import math
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from safetensors import SafetensorError, safe_open

from workflow_scripts.core.errors import UserError
from workflow_scripts.search.index_file import write_arrays
from workflow_scripts.search.nearest import exact_rows, inverted_file, learn_lists, on_gpu, rows_in_lists

APPROXIMATE_FROM = 50_000
"""Regions from which an index is approximate unless told otherwise; fewer are searched exactly in milliseconds."""
RECALL_AT = 10
"""Nearest regions of which recall is measured."""
_FORMAT = "slpd region index 1"
_QUERIES = 1_000  # regions by which recall is measured: its standard error is below 0.003 at 0.99, 0.007 at 0.95
_SPARE = 16  # candidates beyond those wanted, which rounding may exchange
_GPU_MOST = 2_048  # neighbours that faiss finds on a GPU at once
_SCALED = 8_192  # vectors that are brought to length 1 at once
_DECIMALS = 6  # cosines equal to so many are ties, whatever device and order they were summed in


class Found(NamedTuple):
    """Nearest regions of q queries, the nearest first.

    Attributes:
        row: int64 `[q, k]`, their place in `slide_ids` and `region_ids`; -1 where there are fewer than k.
        cosine: float32 `[q, k]`, rounded to six decimals; NaN where there are fewer than k. Ties stand by row.
    """

    row: np.ndarray
    cosine: np.ndarray


class RegionIndex:
    """Embeddings of N regions that can be searched.

    Exact search goes through all regions, on a GPU where faiss is built for one and has one. An approximate index has
    lists, each of the regions nearest to its centre, and looks into `probes` of them, on the CPU. Cosines of what is
    found are computed anew in float64, so that the results are the same on every device.

    Attributes:
        vectors: float32 `[N, d]`, of length 1; zeros stay zeros.
        slide_ids, region_ids: N ids each.
        meta: facts that are stored beside them; `recall` is that of the `RECALL_AT` nearest of other slides, measured,
            1 if exact.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        slide_ids: Sequence[str],
        region_ids: Sequence[str],
        meta: dict[str, Any],
        centres: np.ndarray | None = None,
        lists: np.ndarray | None = None,
    ) -> None:
        """As `build` and `load` call it: `centres` float32 `[L, d]` and `lists` int64 `[N]` of an approximate index."""
        self.vectors, self.slide_ids, self.region_ids, self.meta = vectors, list(slide_ids), list(region_ids), meta
        self._centres, self._lists = centres, lists
        self._slides = {name: number for number, name in enumerate(dict.fromkeys(self.slide_ids))}
        self._slide = np.fromiter((self._slides[name] for name in self.slide_ids), np.int32, len(self.slide_ids))
        self._inverted = None if centres is None or lists is None else inverted_file(vectors, centres, lists)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def approximate(self) -> bool:
        """Whether it has lists."""
        return self._inverted is not None

    @classmethod
    def build(
        cls,
        vectors: np.ndarray,
        slide_ids: Sequence[str],
        region_ids: Sequence[str],
        approximate: bool | None = None,
        recall: float = 0.95,
        seed: int = 0,
        meta: dict[str, Any] | None = None,
        overwrite: bool = False,
    ) -> "RegionIndex":
        """Index of the regions of a cohort.

        An approximate one has about the root of N lists, whose centres are learnt by k-means, and looks into as few of
        them as find the share `recall` of the nearest ten regions of other slides, measured on a sample of its own
        regions against exact search. Regions of the same slide are no part of it: they are nearer, lie in fewer lists,
        and are what a search in a cohort leaves out.

        Args:
            vectors: `[N, d]` embeddings of any length.
            slide_ids: slide of each region.
            region_ids: its id within the slide.
            approximate: whether it has lists; None for an index of `APPROXIMATE_FROM` regions or more.
            recall: share of the nearest regions that an approximate one finds at least.
            seed: of k-means and of the sample.
            meta: facts to be stored with it.
            overwrite: whether `vectors`, contiguous float32, may become the index's, so that they are held once.

        Raises:
            UserError: there are no regions, or an embedding is not finite.
        """
        if not len(vectors):
            raise UserError("there are no regions to search; run embed on a cohort with tissue first")
        unit = _unit(vectors, overwrite)
        n, facts = len(unit), {**(meta or {}), "recall": 1.0, "probes": 0, "seed": seed}
        if not (n >= APPROXIMATE_FROM if approximate is None else approximate):
            return cls(unit, slide_ids, region_ids, facts)
        centres, lists = learn_lists(unit, seed)
        index = cls(unit, slide_ids, region_ids, facts, centres, lists)
        index._choose_probes(recall, seed)
        return index

    def search(self, vectors: np.ndarray, k: int, exclude_slides: Collection[str] = (), exact: bool = False) -> Found:
        """The k nearest regions of each query.

        Args:
            vectors: `[q, d]` embeddings of any length.
            k: how many.
            exclude_slides: ids of slides whose regions are not found; those that the index has not are no error.
            exact: whether an approximate index goes through all regions all the same.

        Raises:
            UserError: vectors of another shape than the index's, not finite or without a direction, k below 1, or one
                id in place of several.
        """
        width = self.vectors.shape[1]
        if np.ndim(vectors) != 2 or np.shape(vectors)[1] != width:
            raise UserError(f"the queries are {list(np.shape(vectors))}; this index compares [queries, {width}]")
        if k < 1:
            raise UserError(f"k is {k}; ask for at least one region")
        if isinstance(exclude_slides, str):
            raise UserError(f"exclude_slides is the text {exclude_slides!r}; give a list of slide ids")
        if len(still := np.flatnonzero(~np.any(vectors, axis=1))):
            raise UserError(f"query {still[0]} is all zeros, and no region is nearer to it than another")
        numbers = [self._slides[name] for name in exclude_slides if name in self._slides]
        kept = ~np.isin(self._slide, numbers) if numbers else None
        return self._nearest(_unit(vectors), k, kept, exact or self._inverted is None)

    def _nearest(self, queries: np.ndarray, k: int, kept: np.ndarray | None, exact: bool) -> Found:
        """The k nearest of the regions that are kept, bool `[N]` (None: all), of unit queries."""
        wanted = min(k + _SPARE, len(self))
        if exact:
            return self._ranked(queries, self._all_looked_at(queries, wanted, kept), k)
        return self._ranked(queries, rows_in_lists(self._inverted, queries, wanted, self.meta["probes"], kept), k)

    def _all_looked_at(self, queries: np.ndarray, wanted: int, kept: np.ndarray | None) -> np.ndarray:
        """Candidates of exact search, int64 `[q, c]`, -1 for none."""
        on_top = 0 if kept is None else int((~kept).sum())  # faiss leaves nothing out on a GPU
        if not faiss.get_num_gpus() or wanted + on_top > _GPU_MOST:
            return exact_rows(self.vectors, queries, wanted, kept)
        rows: np.ndarray = self._on_gpu.search(queries, min(wanted + on_top, len(self)))[1]
        return rows if kept is None else np.where(kept[rows], rows, -1)

    @cached_property
    def _on_gpu(self) -> Any:
        return on_gpu(self.vectors)

    def _ranked(self, queries: np.ndarray, rows: np.ndarray, k: int) -> Found:
        """The first k of the candidates `[q, c]` by their cosines in float64."""
        row, cosine = (np.full((len(rows), k), value) for value in (-1, math.nan))
        for number, (query, own) in enumerate(zip(queries.astype(np.float64), rows, strict=True)):
            mine = own[own >= 0]
            near = np.round(self.vectors[mine].astype(np.float64) @ query, _DECIMALS)
            order = np.lexsort((mine, -near))[:k]
            row[number, : len(order)], cosine[number, : len(order)] = mine[order], near[order]
        return Found(row, cosine.astype(np.float32))

    def _choose_probes(self, recall: float, seed: int) -> None:
        """Take the fewest lists, doubled each time, that find the share `recall` of the nearest regions of a sample."""
        assert self._centres is not None
        sample = np.random.default_rng(seed).permutation(len(self))[:_QUERIES]
        exact = self._elsewhere(sample, exact=True)
        there = np.maximum((exact >= 0).sum(axis=1), 1)
        for doubled in range(int(math.log2(len(self._centres))) + 2):
            self.meta["probes"] = min(2**doubled, len(self._centres))
            found = self._elsewhere(sample, exact=False)
            same = (found[:, :, None] == exact[:, None, :]) & (exact >= 0)[:, None, :]
            self.meta["recall"] = float((same.sum(axis=(1, 2)) / there).mean())
            if self.meta["recall"] >= recall:
                break

    def _elsewhere(self, sample: np.ndarray, exact: bool) -> np.ndarray:
        """The nearest regions of each region of a sample, int64 `[q, RECALL_AT]`, on other slides than its own.

        Of a single slide, the nearest but itself.
        """
        owner = self._slide if len(self._slides) > 1 else np.arange(len(self))
        found = np.empty((len(sample), RECALL_AT), dtype=np.int64)
        for one in np.unique(owner[sample]):
            mine = owner[sample] == one
            found[mine] = self._nearest(self.vectors[sample[mine]], RECALL_AT, owner != one, exact).row
        return found

    def save(self, path: Path | str) -> None:
        """Write it as one safetensors file, whole or not at all.

        Tensors: `vectors` float32 `[N, d]`; of an approximate one `centres` float32 `[L, d]` and `lists` int32 `[N]`.
        `slides` int32 `[N]` is each region's place among the slides; these, the regions' ids and `meta` are JSON in
        `texts`, uint8.
        """
        arrays = {"vectors": self.vectors, "slides": self._slide}
        if self._centres is not None and self._lists is not None:
            arrays |= {"centres": self._centres, "lists": self._lists.astype(np.int32)}
        texts = {"slide_ids": list(self._slides), "region_ids": self.region_ids, "meta": self.meta}
        text = np.frombuffer(json.dumps(texts, sort_keys=True).encode(), dtype=np.uint8)
        write_arrays(path, arrays | {"texts": text}, {"format": _FORMAT})

    @classmethod
    def load(cls, path: Path | str) -> "RegionIndex":
        """Read what `save` has written.

        Raises:
            UserError: there is no such file, or it is none.
        """
        try:
            with safe_open(str(path), "np") as file:
                facts = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{path} cannot be read as an index of regions ({error}); make it by search_index"
            ) from None
        if facts.get("format") != _FORMAT:
            raise UserError(f"{path} is no index of regions of this version; make it again by the target search_index")
        texts = json.loads(tensors["texts"].tobytes())
        slide_ids = np.array(texts["slide_ids"], dtype=object)[tensors["slides"]].tolist()
        lists = tensors["lists"].astype(np.int64) if "lists" in tensors else None
        given = (tensors["vectors"], slide_ids, texts["region_ids"], texts["meta"])
        return cls(*given, tensors.get("centres"), lists)


def _unit(vectors: np.ndarray, overwrite: bool = False) -> np.ndarray:
    """Vectors of length 1, contiguous float32 `[n, d]`; in place where they may be overwritten."""
    unit = vectors if overwrite else np.empty(np.shape(vectors), dtype=np.float32)
    for start in range(0, len(vectors), _SCALED):
        part = np.asarray(vectors[start : start + _SCALED], dtype=np.float32)
        if not np.isfinite(part).all():
            raise UserError("an embedding of a region holds NaN or infinity; run embed again, or exclude its slide")
        length = np.linalg.norm(part, axis=1, keepdims=True)
        unit[start : start + _SCALED] = part / np.where(length > 0, length, 1)
    return unit
