"""Where the numbers come from: package versions and notes in the tables."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = (
    "snakemake torch timm numpy scipy scikit-learn faiss-cpu lifelines pyarrow pandas pydantic openslide-python "
    "openslide-bin pyvips tifffile imagecodecs shapely safetensors matplotlib pillow jinja2"
).split()


def package_versions() -> list[tuple[str, str]]:
    """Versions of Python and of the packages that the results depend on; those not installed are left out."""
    found = [("python", platform.python_version())]
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def note_lines(notes: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    """Notes of each table as one line of JSON, cut where they are long."""
    lines = []
    for file, note in notes:
        text = json.dumps(note, sort_keys=True, ensure_ascii=False)
        lines.append((file, text if len(text) <= 400 else text[:400] + " …"))
    return lines
