"""Vectors of slides that another tool made: a Parquet or CSV table, or a folder of HDF5 files as TRIDENT writes them.

What heavy library a file needs is imported where it is read: the workflow asks for the ids before anything runs.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.core.claims import names_of_slides
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_ID = "slide_id"
_SUFFIX = re.compile(r"(\.ome)?\.(svs|tiff?|ndpi|mrxs|scn|vms|vmu|bif|svslide|dcm|czi|jpe?g|png|h5)$", re.IGNORECASE)
_NAMED = 3


def plain_id(name: str) -> str:
    """A slide's id without folder and without the suffix of a slide's file."""
    return _SUFFIX.sub("", Path(name).name)


def table_ids(source: Path | str) -> list[str]:
    """Ids of the slides of a table or folder, as they stand there.

    Raises:
        UserError: it cannot be read, or has no column slide_id.
    """
    source = Path(source)
    if source.is_dir():
        return sorted(file.name for file in source.glob("*.h5"))
    if source.suffix == ".csv":
        with source.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _require_id(reader.fieldnames or [], source)
            return [row[_ID] or "" for row in reader]
    return [str(name) for name in _parquet(source, [_ID])[_ID].to_pylist()]


def without_vectors(source: Path | str, slides: Sequence[SlideRow], results: Path | str) -> list[SlideRow]:
    """The slides that a table or folder lacks, without those that an earlier run has excluded; vectors are not read.

    Args:
        source: the table or the folder.
        slides: rows of the manifests.
        results: the cohort's folder of results, which may not be there yet.

    Raises:
        UserError: as `table_ids`.
    """
    known = set(map(plain_id, table_ids(source)))
    names = names_of_slides(((row.slide_id, row.path) for row in slides), plain_id, plain_id)
    lacking = [row for row in slides if not known.intersection(names[row.slide_id])]
    excluded = _excluded(Path(results)) if lacking else set()
    return [row for row in lacking if row.slide_id not in excluded]


def _excluded(results: Path) -> set[str]:
    """Ids of the slides that an earlier run could not use."""
    from workflow_scripts.core.tables import read_table

    tables = [results / name for name in ("slides.parquet", "test_slides.parquet")]
    rows = [row for table in tables if table.is_file() for row in read_table(table, ["slide_id", "status"]).to_pylist()]
    return {row["slide_id"] for row in rows if row["status"] != "ok"}


def read_vectors(
    source: Path | str, slides: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]] = ()
) -> "np.ndarray":
    """Vectors of slides, float32 `[S, D]`, in their order.

    A table has a column slide_id, and either one column of lists or one column a dimension; a folder has a file
    {slide}.h5 a slide, with a data set `features` of shape [D] or [1, D]. Ids are compared without the suffix of a
    slide's file; a slide is found by its id, or else by the name of its file, where these are its own (`core.claims`).

    Args:
        source: the table or the folder.
        slides: id and path of each of the S slides.
        others: the same of further slides of the cohort, whose names are not theirs.

    Raises:
        UserError: a slide is missing or stands twice, or vectors are not numbers, not finite, or of different lengths.
    """
    import numpy as np

    source = Path(source)
    names, vectors = _folder_vectors(source) if source.is_dir() else _table_vectors(source)
    ids = [plain_id(name) for name in names]
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise UserError(f"{source}: slide {twice[0]} stands more than once; keep one row a slide")
    place = {name: row for row, name in enumerate(ids)}
    names_of = names_of_slides([*slides, *others], plain_id, plain_id)
    rows = [next((place[name] for name in names_of[slide_id] if name in place), None) for slide_id, _ in slides]
    missing = [slide_id for (slide_id, _), row in zip(slides, rows, strict=True) if row is None]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise UserError(
            f"{source} has no vector of {len(missing)} of {len(slides)} slides: {', '.join(missing[:_NAMED])}{more}; "
            "add them, or drop the table from embed.tables"
        )
    found = vectors[np.array(rows, dtype=np.int64)]
    wrong = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(wrong):
        raise UserError(f"{source}: the vector of slide {slides[wrong[0]][0]} is not finite; compute it again")
    return found


def _require_id(columns: Sequence[str], source: Path) -> None:
    if _ID not in columns:
        raise UserError(f"{source} has no column {_ID}, but {', '.join(columns) or 'nothing'}; name the slides' ids so")


def _parquet(source: Path, columns: list[str] | None = None) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source) as file:
            _require_id(file.schema_arrow.names, source)
            return file.read(columns)
    except pa.ArrowInvalid as error:
        raise UserError(f"{source} is not a readable Parquet file ({error}); write it again") from error


def _table(source: Path) -> "pa.Table":
    if source.suffix != ".csv":
        return _parquet(source)
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    options = arrow_csv.ConvertOptions(column_types={_ID: pa.string()})
    try:
        table = arrow_csv.read_csv(source, convert_options=options)
    except pa.ArrowInvalid as error:
        raise UserError(f"{source} is not a readable CSV file ({error}); write it again") from error
    _require_id(table.column_names, source)
    return table


def _table_vectors(source: Path) -> tuple[list[str], "np.ndarray"]:
    import numpy as np
    import pyarrow as pa

    whole = _table(source)
    ids, table = [str(name) for name in whole[_ID].to_pylist()], whole.drop_columns([_ID])
    types = dict(zip(table.schema.names, table.schema.types, strict=True))
    lists = [name for name, kind in types.items() if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)]
    if len(lists) == 1:
        return ids, _equal_length(table[lists[0]].to_pylist(), source)
    if lists:
        raise UserError(f"{source} has two columns of lists, {lists[0]} and {lists[1]}; keep that of the vectors")
    words = [name for name, kind in types.items() if not (pa.types.is_integer(kind) or pa.types.is_floating(kind))]
    if words or not types:
        problem = f"column {words[0]} holds no numbers" if words else f"there is no column beside {_ID}"
        raise UserError(f"{source}: {problem}; give slide_id and the vectors alone")
    columns = [table[name].to_numpy(zero_copy_only=False) for name in types]
    return ids, np.stack(columns, axis=1).astype(np.float32)


def _folder_vectors(folder: Path) -> tuple[list[str], "np.ndarray"]:
    import h5py
    import numpy as np

    names, vectors = table_ids(folder), []
    for name in names:
        try:
            with h5py.File(folder / name) as file:
                vectors.append(np.asarray(file["features"], dtype=np.float32).reshape(-1))
        except (OSError, KeyError) as error:
            raise UserError(f"{folder / name} has no readable data set features ({error}); write it again") from error
    return names, _equal_length(vectors, folder)


def _equal_length(vectors: "Sequence[Sequence[float] | np.ndarray | None]", source: Path) -> "np.ndarray":
    import numpy as np

    lengths = sorted({0 if vector is None else len(vector) for vector in vectors}) or [0]
    if len(lengths) > 1 or not lengths[0]:
        raise UserError(
            f"{source}: vectors have {'different lengths' if lengths[0] else 'no value'} "
            f"({lengths[0]} to {lengths[-1]}); give one vector of the same length a slide"
        )
    return np.array(vectors, dtype=np.float32)
