"""What this machine is, and which of the packages that the parts need are missing on it.

Run as a program it prints the facts: what asks the GPU must not hold it while the parts are measured.
"""

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# name of import: name of package, where they differ
_PACKAGES = {"faiss": "faiss-cpu", "yaml": "PyYAML", "PIL": "pillow"}
NEEDED = ("torch", "numpy", "pyarrow", "pydantic", "safetensors", "faiss", "scipy", "threadpoolctl", "tqdm", "yaml")
# and for one part alone; the feature stage takes openslide, tifffile and imagecodecs besides, and says so without them
FOR_PARTS = {"unit": ("pytest",), "encoding": ("timm", "torchvision", "PIL")}


def named(modules: tuple[str, ...]) -> str:
    """The packages of these modules, by the names that registries have for them."""
    return ", ".join(_PACKAGES.get(name, name) for name in modules)


def missing(modules: tuple[str, ...]) -> list[str]:
    """Packages, by the names that registries have for them, of the modules that cannot be imported here."""
    return [_PACKAGES.get(name, name) for name in modules if find_spec(name) is None]


def commit() -> str:
    """The commit that is checked out, with + where files differ from it; `unknown` without git or a repository."""
    call = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        found = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def release(package: str) -> str:
    """Installed release of a package; empty where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def facts(device: str) -> dict[str, Any]:
    """Device, card, processor, cores, memory, releases and commit, in a process that has imported torch.

    Args:
        device: `cuda`, `cpu`, or empty for the GPU where there is one.
    """
    import torch

    from workflow_scripts.core.cards import card_peak

    available = torch.cuda.is_available()
    device = device or ("cuda" if available else "cpu")
    found: dict[str, Any] = {
        "commit": commit(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "",
        "device": device if available or device == "cpu" else "",
        "card": "",
        "card_peak_tflops": None,
    }
    if found["device"] == "cuda":
        card = torch.cuda.get_device_properties(0)
        peak = card_peak(card.name)
        found |= {"card": card.name, "card_gib": round(card.total_memory / 2**30, 1)}
        found["card_peak_tflops"] = peak and peak.bfloat16 and peak.bfloat16 / 1e12
    return found | {"packages": {name: release(_PACKAGES.get(name, name)) for name in NEEDED}}


def ask(device: str) -> dict[str, Any]:
    """`facts` from a process of its own; the device is empty where a GPU was asked for and torch sees none."""
    call = [sys.executable, "-m", "tests.gpu.machine", device]
    told = subprocess.run(call, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(facts(sys.argv[1])))
