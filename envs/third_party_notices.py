"""Write the licences of all Python packages of an environment into one file, as a container that ships them must.

Each package's own words: what its metadata says, and the text of every licence and notice file that it brings.
Standard library only, for it runs while the container is built: python envs/third_party_notices.py OUTPUT
"""

import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

_FILE = re.compile(r"^(licen[cs]e|copying|notice|authors|third.?party)", re.IGNORECASE)
_NO_TEXT = "(the package brings no licence file; its source is where its metadata point)"


def licence(package: Distribution) -> str:
    """The licence as the metadata name it: an SPDX expression, else the classifiers, else the first line of the field.

    Older packages put the whole text of the licence into that field.
    """
    meta = package.metadata
    if expression := meta.get("License-Expression"):
        return expression
    classifiers = [line for line in meta.get_all("Classifier") or [] if line.startswith("License ::")]
    if classifiers:
        return "; ".join(line.rpartition(" :: ")[2] for line in classifiers)
    return (meta.get("License") or "not named").strip().splitlines()[0]


def texts(package: Distribution) -> list[tuple[str, str]]:
    """Name and text of the licence and notice files that lie in the package."""
    files = [file for file in package.files or [] if _FILE.match(file.name) and file.suffix not in (".py", ".pyc")]
    inside = [file for file in package.files or [] if "licenses" in file.parts[:-1] and file not in files]
    found = [(str(file), Path(str(file.locate()))) for file in [*files, *inside]]
    return [(name, path.read_text(encoding="utf-8", errors="replace")) for name, path in found if path.is_file()]


def notices(packages: list[Distribution]) -> str:
    """One part a package, by name."""
    parts = []
    for package in sorted(packages, key=lambda one: one.metadata["Name"].lower()):
        meta = package.metadata
        pages = [meta.get("Home-page") or "", *(meta.get_all("Project-URL") or [])]
        head = [f"{meta['Name']} {meta['Version']}", f"licence: {licence(package)}", *filter(None, pages)]
        body = [f"--- {name}\n{text.strip()}" for name, text in texts(package)] or [_NO_TEXT]
        parts.append("\n".join(head) + "\n\n" + "\n\n".join(body))
    return f"\n\n{'=' * 78}\n".join(["Third-party software in this environment.", *parts]) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
    Path(sys.argv[1]).write_text(notices(list(distributions())), encoding="utf-8")
