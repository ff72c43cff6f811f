"""Vectors of slides that another tool made: Parquet, a table that `core.text_tables` reads, or a folder of TRIDENT's.

What heavy library a file needs is imported where it is read: the workflow asks for the ids before anything runs.
"""

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.core.cells import is_missing, is_number, parse_number
from workflow_scripts.core.claims import names_of_slides
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.text_tables import open_delimited, read_delimited

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

    Vectors that are no numbers are refused where that is cheap to see: in text, which must be read whole anyway, and by
    the types of Parquet's columns, of which no number is read. Files of a folder are not opened.

    Raises:
        UserError: it cannot be read, has no column slide_id, or has text in the place of numbers.
    """
    source = Path(source)
    if source.is_dir():
        return sorted(file.name for file in source.glob("*.h5"))
    table = _parquet(source, [_ID]) if _is_parquet(source) else _text(source)
    return [str(name) for name in table[_ID].to_pylist()]


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


def _is_parquet(source: Path) -> bool:
    return source.suffix.lower() in (".parquet", ".pq")


def _require_id(columns: Sequence[str], source: Path) -> None:
    if _ID not in columns:
        raise UserError(f"{source} has no column {_ID}, but {', '.join(columns) or 'nothing'}; name the slides' ids so")


def _parquet(source: Path, columns: list[str] | None = None) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source) as file:
            schema = file.schema_arrow
            _require_id(schema.names, source)
            text = next((name for name in _vector_columns(schema, source) if not _of_numbers(schema.field(name))), None)
            if text:
                table = file.read([_ID, text])
                cells = [value if isinstance(value, list) else [value] for value in table[text].to_pylist()]
                raise _not_numbers(source, text, zip(table[_ID].to_pylist(), cells, strict=True))
            return file.read(columns)
    except pa.ArrowInvalid as error:
        raise UserError(f"{source} is not a readable Parquet file ({error}); write it again") from error


def _vector_columns(schema: "pa.Schema", source: Path) -> list[str]:
    """The column of lists, or without one all columns but the ids."""
    import pyarrow as pa

    rest = [field for field in schema if field.name != _ID]
    lists = [field.name for field in rest if pa.types.is_list(field.type) or pa.types.is_fixed_size_list(field.type)]
    if len(lists) > 1:
        raise UserError(f"{source} has two columns of lists, {lists[0]} and {lists[1]}; keep that of the vectors")
    if not rest:
        raise UserError(f"{source}: there is no column beside {_ID}; give {_ID} and the vectors alone")
    return lists or [field.name for field in rest]


def _of_numbers(field: "pa.Field") -> bool:
    import pyarrow as pa

    kind = field.type
    kind = kind.value_type if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) else kind
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _text(source: Path) -> "pa.Table":
    """The whole of a CSV and its kin, slide_id as text and every other column as numbers; missing values are NaN."""
    import pyarrow as pa

    cells = _split_by_arrow(source)
    if cells is None:
        read = read_delimited(source, str(source))
        cells = {name: pa.array([row[name] for row in read.rows], pa.string()) for name in read.columns}
    _require_id(list(cells), source)
    ids = cells[_ID].to_pylist()
    return pa.table(
        {name: column if name == _ID else _numbers(source, name, ids, column) for name, column in cells.items()}
    )


def _split_by_arrow(source: Path) -> "dict[str, pa.ChunkedArray | pa.Array] | None":
    """Columns of text, by Arrow, many times as fast as `core.text_tables`; None where it may not read them alike."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    text, separator, start = open_delimited(source, str(source))
    if '"' in text and any(line.count('"') % 2 for line in text.splitlines()):  # Arrow closes quotes that are open
        return None
    header = next(iter(text[start:].splitlines()), "")
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
    if _ID not in names or not all(names) or len(set(names)) < len(names):
        return None
    try:
        table = arrow_csv.read_csv(
            pa.py_buffer(text[start:].encode()),
            read_options=arrow_csv.ReadOptions(column_names=names, skip_rows=1),
            parse_options=arrow_csv.ParseOptions(delimiter=separator),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid:
        return None
    cells = dict(zip(names, table.columns, strict=True))
    whole = all(name and name == name.strip() for name in cells[_ID].to_pylist())
    return cells if whole else None


def _numbers(source: Path, name: str, ids: list[str], cells: "pa.ChunkedArray | pa.Array") -> "pa.ChunkedArray":
    """A column of cells as numbers, by the rules of all tables.

    Raises:
        UserError: a cell is neither a number nor a missing value.
    """
    import pyarrow as pa
    from pyarrow import compute

    try:
        return compute.cast(cells, pa.float64())
    except pa.ArrowInvalid:
        texts = cells.to_pylist()
    if not all(map(_is_number, texts)):
        raise _not_numbers(source, name, zip(ids, ([text] for text in texts), strict=True))
    return pa.array([math.nan if is_missing(text) else parse_number(text) for text in texts], pa.float64())


def _is_number(cell: Any) -> bool:
    """Whether a cell can be read as a number; a missing value is none that is wrong."""
    return cell is None or is_missing(str(cell)) or is_number(str(cell))


def _not_numbers(source: Path, column: str, rows: Iterable[tuple[Any, list[Any]]]) -> UserError:
    """The refusal of a column with text, by the ids and cells of its rows: which slide's cell it is, where not all."""
    cells = [(slide_id, cell) for slide_id, values in rows for cell in values if cell not in (None, "")]
    wrong = [(slide_id, cell) for slide_id, cell in cells if not _is_number(cell)]
    if len(wrong) in (0, len(cells)):
        kind = "holds no numbers" if wrong or not cells else "holds numbers as text; save it as numbers"
        return UserError(f"{source}: column {column} {kind}; give {_ID} and the vectors alone")
    (slide_id, cell), more = wrong[0], f" ({len(wrong)} such cells)" if len(wrong) > 1 else ""
    return UserError(
        f"{source}: slide {slide_id} has {cell!r} in column {column}, where a number is expected{more}; write the "
        "number, or take the slide out"
    )


def _table_vectors(source: Path) -> tuple[list[str], "np.ndarray"]:
    import numpy as np

    whole = _parquet(source) if _is_parquet(source) else _text(source)
    ids, names = [str(name) for name in whole[_ID].to_pylist()], _vector_columns(whole.schema, source)
    if whole.schema.field(names[0]).type.num_fields:
        return ids, _equal_length(whole[names[0]].to_pylist(), source)
    columns = [whole[name].to_numpy(zero_copy_only=False) for name in names]
    return ids, np.stack(columns, axis=1).astype(np.float32)


def _folder_vectors(folder: Path) -> tuple[list[str], "np.ndarray"]:
    import h5py
    import numpy as np

    names, vectors = table_ids(folder), []
    for name in names:
        try:
            with h5py.File(folder / name) as file:
                vectors.append(np.asarray(file["features"], dtype=np.float32).reshape(-1))
        except (OSError, KeyError, TypeError, ValueError) as error:
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
