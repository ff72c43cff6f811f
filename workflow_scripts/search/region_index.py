"""Nearest regions by the cosine of their embeddings: all of a cohort's, exactly or by an inverted file (faiss)."""

import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import whole_file

APPROXIMATE_FROM = 50_000
"""Regions from which an index is approximate unless told otherwise; fewer are searched exactly in milliseconds."""
RECALL_AT = 10
"""Nearest regions of which recall is measured."""
_FORMAT = "slpd region index 1"
_QUERIES = 1_000  # regions by which recall is measured: its standard error is below 0.003
_LEARNT = 64  # regions a list that the lists' centres are learnt from
_SPARE = 16  # candidates beyond those wanted, which rounding may exchange
_GPU_MOST = 2_048  # neighbours that faiss finds on a GPU at once
_PARAMETERS: Any = faiss  # whose stub has other signatures than its classes
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
    lists, each of the regions nearest to its centre, and looks into `probes` of them. Cosines of what is found are
    computed anew in float64, so that the results are the same on every device.

    Attributes:
        vectors: float32 `[N, d]`, of length 1; zeros stay zeros.
        slide_ids, region_ids: N ids each.
        meta: facts that are stored beside them; `recall` is that of the `RECALL_AT` nearest, measured, 1 if exact.
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
        self._inverted = None if centres is None or lists is None else _inverted_file(vectors, centres, lists)
        self._flat: Any = faiss.IndexFlatIP(vectors.shape[1])
        self._on_gpu = faiss.get_num_gpus() > 0
        if self._on_gpu:
            self._flat = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, self._flat)
        if self._on_gpu or self._inverted is None:
            self._flat.add(vectors)

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
    ) -> "RegionIndex":
        """Index of the regions of a cohort.

        An approximate one has about the root of N lists, whose centres are learnt by k-means, and looks into as few of
        them as find the share `recall` of the nearest ten regions, measured on a sample of its own regions against
        exact search.

        Args:
            vectors: `[N, d]` embeddings of any length.
            slide_ids: slide of each region.
            region_ids: its id within the slide.
            approximate: whether it has lists; None for an index of `APPROXIMATE_FROM` regions or more.
            recall: share of the nearest regions that an approximate one finds at least.
            seed: of k-means and of the sample.
            meta: facts to be stored with it.

        Raises:
            UserError: there are no regions, or an embedding is not finite.
        """
        if not len(vectors):
            raise UserError("there are no regions to search; run embed on a cohort with tissue first")
        unit = _unit(vectors)
        n, facts = len(unit), {**(meta or {}), "recall": 1.0, "probes": 0, "seed": seed}
        if not (n >= APPROXIMATE_FROM if approximate is None else approximate):
            return cls(unit, slide_ids, region_ids, facts)
        centres, lists = _learn_lists(unit, seed)
        index = cls(unit, slide_ids, region_ids, facts, centres, lists)
        index._choose_probes(recall, seed)
        return index

    def search(self, vectors: np.ndarray, k: int, exclude_slides: Collection[str] = (), exact: bool = False) -> Found:
        """The k nearest regions of each query.

        Args:
            vectors: `[q, d]` embeddings of any length.
            k: how many.
            exclude_slides: ids of slides whose regions are not found.
            exact: whether an approximate index goes through all regions all the same.
        """
        queries, wanted = _unit(vectors), min(k + _SPARE, len(self))
        kept = self._kept(exclude_slides)
        left_out = 0 if kept is None else int((~kept).sum())
        if self._on_gpu and wanted + left_out <= _GPU_MOST:
            rows = self._flat.search(queries, min(wanted + left_out, len(self)))[1]
        elif self._inverted is not None and not exact:
            options = _PARAMETERS.SearchParametersIVF(sel=_selector(kept), nprobe=self.meta["probes"])
            rows = self._inverted.search(queries, wanted, params=options)[1]
        else:
            flat = self._flat_on_cpu()
            rows = flat.search(queries, wanted, params=_PARAMETERS.SearchParameters(sel=_selector(kept)))[1]
        return self._ranked(queries, rows, k, kept)

    def _kept(self, exclude_slides: Collection[str]) -> np.ndarray | None:
        """Rows that may be found, bool `[N]`; None for all."""
        numbers = [self._slides[name] for name in exclude_slides if name in self._slides]
        if not numbers:
            return None
        kept = np.ones(len(self._slides), dtype=bool)
        kept[numbers] = False
        return np.asarray(kept[self._slide])

    def _flat_on_cpu(self) -> Any:
        """All regions; of an approximate index they are held twice from the first exact search on."""
        if self._on_gpu:
            self._flat, self._on_gpu = faiss.index_gpu_to_cpu(self._flat), False
        if self._flat.ntotal < len(self):
            self._flat.add(self.vectors)
        return self._flat

    def _ranked(self, queries: np.ndarray, rows: np.ndarray, k: int, kept: np.ndarray | None) -> Found:
        """The first k of the candidates `[q, c]` by their cosines in float64."""
        there = rows >= 0
        if kept is not None:
            there &= kept[rows]
        row, cosine = (np.full((len(rows), k), value) for value in (-1, math.nan))
        for number, (query, own) in enumerate(zip(queries.astype(np.float64), there, strict=True)):
            mine = rows[number, own]
            near = np.round(self.vectors[mine].astype(np.float64) @ query, _DECIMALS)
            order = np.lexsort((mine, -near))[:k]
            row[number, : len(order)], cosine[number, : len(order)] = mine[order], near[order]
        return Found(row, cosine.astype(np.float32))

    def _choose_probes(self, recall: float, seed: int) -> None:
        """Take the fewest lists, doubled each time, that find the share `recall` of the nearest regions of a sample."""
        assert self._centres is not None
        sample = np.random.default_rng(seed).permutation(len(self))[:_QUERIES]
        exact = self._others(sample, exact=True)
        for doubled in range(int(math.log2(len(self._centres))) + 2):
            self.meta["probes"] = min(2**doubled, len(self._centres))
            found = self._others(sample, exact=False)
            shares = [len(set(own) & set(true)) / len(true) for own, true in zip(found, exact, strict=True)]
            self.meta["recall"] = float(np.mean(shares))
            if self.meta["recall"] >= recall:
                break

    def _others(self, sample: np.ndarray, exact: bool) -> list[list[int]]:
        """The nearest of each region of a sample but itself, which every index finds."""
        rows = self.search(self.vectors[sample], RECALL_AT + 1, exact=exact).row
        return [[row for row in own if row not in (one, -1)][:RECALL_AT] for one, own in zip(sample, rows, strict=True)]

    def save(self, path: Path | str) -> None:
        """Write it as one safetensors file, whole or not at all.

        Tensors: `vectors` float32 `[N, d]`; of an approximate one `centres` float32 `[L, d]` and `lists` int32 `[N]`.
        `slides` int32 `[N]` is each region's place among the slides; these, the regions' ids and `meta` are JSON in
        `texts`, uint8.
        """
        tensors = {"vectors": self.vectors}
        if self._centres is not None and self._lists is not None:
            tensors |= {"centres": self._centres, "lists": self._lists.astype(np.int32)}
        texts = {"slide_ids": list(self._slides), "region_ids": self.region_ids, "meta": self.meta}
        # not in the file's metadata, whose keys safetensors writes in another order each time
        tensors["texts"] = np.frombuffer(json.dumps(texts, sort_keys=True).encode(), dtype=np.uint8)
        tensors["slides"] = self._slide
        with whole_file(path) as partial:
            partial.write_bytes(save(tensors, {"format": _FORMAT}))

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


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, contiguous float32 `[n, d]`."""
    if not np.isfinite(vectors).all():
        raise UserError("an embedding of a region holds NaN or infinity; run embed again, or exclude its slide")
    wide = np.asarray(vectors, dtype=np.float32)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.ascontiguousarray(wide / np.where(length > 0, length, 1))


def _selector(kept: np.ndarray | None) -> Any:
    """Rows that may be found, from bool `[N]`; None for all."""
    return None if kept is None else _PARAMETERS.IDSelectorBitmap(np.packbits(kept, bitorder="little"))


def _learn_lists(unit: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres float32 `[L, d]` and the nearest centre of each region, int64 `[N]`."""
    count = max(1, round(math.sqrt(len(unit))))
    means: Any = faiss.Kmeans(unit.shape[1], count, spherical=True, seed=seed, max_points_per_centroid=_LEARNT)
    means.cp.min_points_per_centroid = 1
    means.train(unit)
    return means.centroids, means.index.search(unit, 1)[1].ravel()


def _inverted_file(unit: np.ndarray, centres: np.ndarray, lists: np.ndarray) -> Any:
    """Faiss's inverted file of regions whose lists are known."""
    quantiser: Any = faiss.IndexFlatIP(unit.shape[1])
    quantiser.add(centres)
    index: Any = faiss.IndexIVFFlat(quantiser, unit.shape[1], len(centres), faiss.METRIC_INNER_PRODUCT)
    rows = np.arange(len(unit), dtype=np.int64)
    index.add_core(len(unit), faiss.swig_ptr(unit), faiss.swig_ptr(rows), faiss.swig_ptr(lists))
    return index
