"""Reads the tables of a results folder that the report tells of."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workflow_scripts.core.budgets import WHOLE
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow, read_manifest
from workflow_scripts.core.schemas import SPEED_FILE
from workflow_scripts.core.tables import read_meta, read_table
from workflow_scripts.core.tensors import from_column
from workflow_scripts.core.vectors import vectors_of

Row = dict[str, Any]


class Predictions(NamedTuple):
    """Test predictions of one task, representation and head.

    Class names, `patient` or `slide`, whether all folds have the same shares of the classes, and the rows.
    """

    classes: list[str]
    level: str
    balanced: bool
    rows: list[Row]


class Splits(NamedTuple):
    """Splits of a task.

    Attributes:
        facts: metadata of their table; empty where there is none.
        tests: repeat and fold of each test part that is trained on everything, sorted.
    """

    facts: Row
    tests: list[tuple[int, int]]


def _by_slide(table: pa.Table, slides: list[str]) -> dict[str, pa.Table]:
    """Rows of some slides, by slide."""
    table = table.filter(pc.is_in(table["slide_id"], pa.array(slides, pa.string()))).sort_by("slide_id")
    ids = table["slide_id"].to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if len(ids) else np.empty(0, int)
    ends = np.append(starts[1:], len(ids))[: len(starts)]
    return {str(ids[a]): table.slice(a, b - a) for a, b in zip(starts, ends, strict=True)}


@dataclass(frozen=True)
class Results:
    """A results folder; tables are read when asked for.

    Attributes:
        root: the folder.
        manifests: of the cohort, and of the test cohort where there is one; none where they are not told.
    """

    root: Path
    manifests: tuple[Path, ...] = ()

    def manifest_rows(self) -> list[SlideRow]:
        """Rows of the manifests."""
        return [row for path in self.manifests for row in read_manifest(path)]

    def _needed(self, name: str) -> list[Row]:
        path = self.root / name
        if not path.is_file():
            raise UserError(f"{path} does not exist; run the stages before the report first")
        return read_table(path).to_pylist()

    def slides(self) -> list[Row]:
        """Rows of slides.parquet."""
        return self._needed("slides.parquet")

    def test_slides(self) -> list[Row]:
        """Rows of test_slides.parquet, of the test cohort."""
        return self._needed("test_slides.parquet")

    def all_slides(self, with_test_cohort: bool) -> list[Row]:
        """Rows of slides.parquet, and below them those of test_slides.parquet."""
        return [*self.slides(), *(self.test_slides() if with_test_cohort else [])]

    def encoding(self, encoder: str) -> list[Row]:
        """Rows of the feature indices of an encoder."""
        indices = sorted((self.root / "features" / encoder).glob("shard_*.parquet"))
        return [row for index in indices for row in read_table(index).to_pylist()]

    def benchmark(self) -> list[Row]:
        """Rows of benchmark/results.parquet."""
        return self._needed("benchmark/results.parquet")

    def comparisons(self) -> tuple[list[Row], list[tuple[str, str]]]:
        """Rows of benchmark/comparisons.parquet, and the pairs that were asked for."""
        name = "benchmark/comparisons.parquet"
        rows = self._needed(name)
        wanted = read_meta(self.root / name).get("settings", {}).get("compare", [])
        return rows, [(first, second) for first, second in wanted]

    def sets(self) -> list[Row]:
        """Rows of benchmark/sets.parquet."""
        return self._needed("benchmark/sets.parquet")

    def textures(self, runs: list[str]) -> list[tuple[str, list[Row], Row]]:
        """Rows of benchmark/textures_{run}.parquet and their metadata by run, of the runs that have one."""
        paths = {run: self.root / f"benchmark/textures_{run}.parquet" for run in runs}
        return [(run, read_table(path).to_pylist(), read_meta(path)) for run, path in paths.items() if path.is_file()]

    def explained(self) -> list[Row]:
        """Rows of benchmark/explained.parquet; none where no run has prototypes."""
        path = self.root / "benchmark/explained.parquet"
        return read_table(path).to_pylist() if path.is_file() else []

    def regions(self, slide_id: str) -> list[Row]:
        """Places of a slide's regions, level-0 px."""
        columns = ["region_id", "x", "y", "size_x", "size_y", "tissue_fraction"]
        return read_table(self.root / "regions" / f"{slide_id}.parquet", columns).to_pylist()

    def places(self, slide_id: str) -> pa.Table | None:
        """The same as columns, with the regions' ids; null where there is no table."""
        path = self.root / "regions" / f"{slide_id}.parquet"
        columns = ["region_id", "x", "y", "size_x", "size_y"]
        return read_table(path, columns) if path.is_file() else None

    def tissue(self, slide_id: str) -> list[bytes]:
        """Tissue polygons of a slide, WKB, level-0 px."""
        path = self.root / "tissue" / f"{slide_id}.parquet"
        return read_table(path, ["geometry"])["geometry"].to_pylist() if path.is_file() else []

    def labels(self, task: str) -> list[Row]:
        """Rows of a task's labels.parquet; none where there is none."""
        path = self.root / "benchmark" / task / "labels.parquet"
        return read_table(path).to_pylist() if path.is_file() else []

    def slide_vectors(self, representation: str) -> tuple[list[str], np.ndarray]:
        """slide_ids and vectors `[n, d]` float32 of a representation; none where it has no table of its own."""
        path = self.root / "embeddings" / representation / "slides.parquet"
        table = read_table(path, ["slide_id", "vector"]) if path.is_file() else None
        if table is None or not len(table):
            return [], np.empty((0, 0), np.float32)
        return table["slide_id"].to_pylist(), vectors_of(table)

    def assignments(self, run: str, number: int, slides: list[str]) -> dict[str, pa.Table]:
        """Regions with prototype and similarity of a round, by slide."""
        path = self.round_folder(run, number) / "assignments.parquet"
        return _by_slide(read_table(path), slides) if path.is_file() else {}

    def head_attention(
        self, task: str, representation: str, cell: str, head: str, slides: list[str]
    ) -> dict[str, pa.Table]:
        """Regions with the attention of a head, which `cell` fits, by slide; none of a head that has none."""
        path = self.root / "benchmark" / task / representation / cell / "attention.parquet"
        if not path.is_file():
            return {}
        table = read_table(path, ["slide_id", "region_id", "head", "attention"])
        return _by_slide(table.filter(pc.equal(table["head"], head)), slides)

    def groups(self, run: str) -> dict[str, dict[int, int]]:
        """Group of each prototype of a run's last clustering, by slide; none where prototypes are in no groups."""
        path = self.root / "pretrain" / run / "groups.parquet"
        found: dict[str, dict[int, int]] = {}
        for row in read_table(path, ["slide_id", "prototype", "group"]).to_pylist() if path.is_file() else []:
            found.setdefault(row["slide_id"], {})[row["prototype"]] = row["group"]
        return found

    def atlas(self, run: str) -> tuple[list[Row], Row]:
        """Rows of a run's atlas.parquet without the centres, and its metadata; nothing where there is none."""
        path = self.root / "pretrain" / run / "atlas.parquet"
        columns = ["group", "n_prototypes", "n_regions", "n_slides", "similarity", "nearest", "classes"]
        return (read_table(path, columns).to_pylist(), read_meta(path)) if path.is_file() else ([], {})

    def attention_path(self, run: str) -> Path:
        """Table of where a run's region encoder looks; it is there only where it was asked for."""
        return self.root / "pretrain" / run / "attention.parquet"

    def slides_with_attention(self, run: str) -> list[str]:
        """slide_ids in that table."""
        return read_table(self.attention_path(run), ["slide_id"])["slide_id"].unique().to_pylist()

    def attention(self, run: str, slide_id: str) -> tuple[list[str], np.ndarray]:
        """region_ids of a slide and attention of their patches, float32 `[n, heads, g, g]`."""
        table = pq.read_table(self.attention_path(run), filters=[("slide_id", "==", slide_id)])
        return table["region_id"].to_pylist(), from_column(table, "attention")

    def overlay(self, slide_id: str) -> Path:
        """The tissue overlay of a slide."""
        return self.root / "tissue" / f"{slide_id}.png"

    def round_folder(self, run: str, number: int) -> Path:
        """Folder of one round of a run."""
        return self.root / "pretrain" / run / f"round_{number:02d}"

    def metrics(self, warm_up: str | None, run: str, rounds: int) -> list[tuple[str, pa.Table]]:
        """Metrics of a run in order: (`warm-up` or `round n`, table); a round handed on unchanged counts once."""
        files = [("warm-up", self.root / "pretrain" / warm_up / "metrics.parquet")] if warm_up else []
        files += [(f"round {n}", self.round_folder(run, n) / "metrics.parquet") for n in range(1, rounds + 1)]
        parts: list[tuple[str, pa.Table]] = []
        for name, path in files:
            table = read_table(path) if path.is_file() else None
            if table is not None and len(table) and not (parts and parts[-1][1].equals(table)):
                parts.append((name, table))
        return parts

    def speeds(self, warm_ups: dict[str, str], rounds: dict[str, int]) -> list[Row]:
        """What each training job told of its speed (`slpd/speed.py`), where one did, with its `run` and `part`.

        Args:
            warm_ups: folder of each run's warm-up; what runs share is told once, with all of their names.
            rounds: number of the last round of each run.
        """
        shared: dict[str, list[str]] = {}
        for run, name in warm_ups.items():
            shared.setdefault(name, []).append(run)
        files = [(", ".join(runs), "warm-up", self.root / "pretrain" / name) for name, runs in shared.items()]
        for run, last in rounds.items():
            files += [(run, f"round {number}", self.round_folder(run, number)) for number in range(1, last + 1)]
        found = []
        for run, part, folder in files:
            with suppress(OSError, ValueError, TypeError):  # not told, cut off, or of another kind
                found.append({"run": run, "part": part, **json.loads((folder / SPEED_FILE).read_text("utf-8"))})
        return found

    def prototypes(self, run: str, number: int, table: str, slides: list[str] | None = None) -> list[Row]:
        """Rows of `prototypes`, `assignments` or `neighbours` of a round, of all or of some slides."""
        columns = {"prototypes": ["slide_id", "prototype", "n_regions"]}.get(table)
        path = self.round_folder(run, number) / f"{table}.parquet"
        if not path.is_file():
            return []
        rows = read_table(path, columns)
        if slides is not None:
            rows = rows.filter(pc.is_in(rows["slide_id"], pa.array(slides, pa.string())))
        return rows.to_pylist()

    def slides_with_prototypes(self, run: str, number: int) -> int:
        """Slides of which regions are assigned to prototypes in a round."""
        path = self.round_folder(run, number) / "assignments.parquet"
        return len(read_table(path, ["slide_id"])["slide_id"].unique()) if path.is_file() else 0

    def clusterings(self, run: str, rounds: int) -> list[tuple[int, Row]]:
        """Rounds that were clustered, and the metadata of their tables."""
        paths = {n: self.round_folder(run, n) / "assignments.parquet" for n in range(1, rounds + 1)}
        return [(number, read_meta(path)) for number, path in paths.items() if path.is_file()]

    def embedding_facts(self, representation: str) -> Row:
        """Of a representation, or its training for fold 0: dimension, how many regions and slides, what it has seen."""
        folder = self.root / "embeddings" / representation
        folder = folder if folder.is_dir() else folder.with_name(f"{representation}-fold0")
        facts: Row = {"dim": None, "n_regions": None, "n_slides": None, "pretrained_on": ""}
        for name in ("regions", "slides"):
            path = folder / f"{name}.parquet"
            if path.is_file():
                file = pq.ParquetFile(path)
                facts[f"n_{name}"] = file.metadata.num_rows
                first = next(file.iter_batches(batch_size=1, columns=["vector"]), None)
                facts["dim"] = len(first["vector"][0]) if first is not None and len(first) else facts["dim"]
                facts["pretrained_on"] = read_meta(path).get("pretrained_on", "")
        return facts

    def splits(self, task: str) -> Splits:
        """Splits of a task."""
        path = self.root / "benchmark" / task / "splits.parquet"
        if not path.is_file():
            return Splits({}, [])
        table = read_table(path, ["repeat", "fold", "budget", "part"])
        tested = table.filter(pc.and_(pc.equal(table["part"], "test"), pc.equal(table["budget"], WHOLE)))
        tests = set(zip(tested["repeat"].to_pylist(), tested["fold"].to_pylist(), strict=True))
        return Splits(read_meta(path), sorted(tests))

    def predictions(self, task: str, representation: str, cell: str, head: str) -> Predictions | None:
        """Test predictions of a head, which `cell` fits, trained on everything; none where the benchmark wrote none."""
        path = self.root / "benchmark" / task / representation / cell / "predictions.parquet"
        if not path.is_file():
            return None
        meta, table = read_meta(path), read_table(path)
        mine = table.filter(pc.and_(pc.equal(table["head"], head), pc.equal(table["budget"], WHOLE)))
        return Predictions(meta["classes"], meta["level"], meta["balanced"], mine.to_pylist())

    def notes(self) -> list[tuple[str, Row]]:
        """Provenance that the main tables carry: (file, notes)."""
        names = ["slides.parquet", *(f"benchmark/{name}.parquet" for name in ("results", "comparisons", "sets"))]
        for pattern in ("benchmark/textures_*.parquet", "embeddings/*/slides.parquet"):
            names += [path.relative_to(self.root).as_posix() for path in sorted(self.root.glob(pattern))]
        return [(name, read_meta(self.root / name)) for name in names if (self.root / name).is_file()]
