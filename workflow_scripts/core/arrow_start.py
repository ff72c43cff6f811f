"""Keeps pyarrow from importing pandas, which takes half a second of every short process and serves nothing here."""

import sys

import pyarrow as pa


class _NoPandas:
    """A finder that knows no pandas."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("not needed by pyarrow", name=name)


def start_without_pandas() -> None:
    """Have pyarrow look for pandas once, in vain.

    pyarrow looks before its first conversion of any Python or numpy values, to recognise pandas objects. Everything
    else may import pandas afterwards, and `Table.to_pandas` looks again. So do two things that short commands had
    better avoid: lists without a type (give one, or a schema) and `to_numpy` (`numpy.from_dlpack` does the same for
    numbers without nulls).
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([], pa.null())
    finally:
        sys.meta_path.remove(finder)
