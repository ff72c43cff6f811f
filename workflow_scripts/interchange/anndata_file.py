"""Embeddings as AnnData, for scanpy, squidpy and LazySlide (https://anndata.readthedocs.io)."""

from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.core.colours import group_colour, group_name
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import whole_file

GROUP = "group"


def require_anndata() -> Any:
    """The package anndata.

    Raises:
        UserError: it is not installed.
    """
    try:
        import anndata
    except ImportError:
        raise UserError("h5ad files need anndata; run pip install -r envs/requirements-anndata.txt") from None
    return anndata


def write_h5ad(
    path: Path,
    key: str,
    vectors: np.ndarray,
    names: list[str],
    columns: dict[str, list[Any]],
    facts: dict[str, Any],
    spatial: np.ndarray | None = None,
) -> None:
    """Write N embeddings of d dimensions as one .h5ad file, whole or not at all.

    Args:
        path: the file.
        key: the embeddings' place in `obsm`.
        vectors: float32 `[N, d]`.
        names: N names, all different.
        columns: N values each for `obs`, null where there is none. Text becomes categories; whole numbers with gaps and
            truth values with gaps become numbers with NaN. `group` holds numbers and becomes names, with their colours
            in `uns` as scanpy looks for them.
        facts: for `uns`; null is left out.
        spatial: float64 `[N, 2]`, place of each in the unit that `facts` names; None leaves it out.

    Raises:
        UserError: anndata is not installed.
    """
    import pandas as pd

    anndata = require_anndata()
    table = pd.DataFrame({name: _column(values) for name, values in columns.items()}, index=pd.Index(names, dtype=str))
    uns = {name: value for name, value in facts.items() if value is not None}
    if GROUP in columns:
        numbers = sorted({value for value in columns[GROUP] if value is not None})
        texts = [None if value is None else group_name(value) for value in columns[GROUP]]
        table[GROUP] = pd.Categorical(texts, categories=[group_name(number) for number in numbers])
        uns[f"{GROUP}_colors"] = np.array([group_colour(number) for number in numbers], dtype=object)
    data = anndata.AnnData(obs=table, obsm={key: vectors} | ({} if spatial is None else {"spatial": spatial}), uns=uns)
    with whole_file(path) as partial:
        data.write_h5ad(partial, compression="gzip")


def _column(values: list[Any]) -> Any:
    import pandas as pd

    kinds = {type(value) for value in values if value is not None}
    if kinds == {str}:
        return pd.Categorical(values, categories=sorted({value for value in values if value is not None}))
    if None in values or not kinds:
        return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
    return np.array(values)
