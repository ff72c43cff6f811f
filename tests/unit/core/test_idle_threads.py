"""Threads of OpenMP sleep while they wait, unless the user says otherwise: asked of the library that faiss loads."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SET = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp is asked, which comes with the wheels for Linux")
@pytest.mark.parametrize(("own", "spins"), [({}, 0), ({"GOMP_SPINCOUNT": "77"}, 77)])
def test_waiting_threads_spin_only_where_the_user_wants_it(own, spins):
    given = {name: value for name, value in os.environ.items() if name not in SET}
    environment = {**given, **own, "OMP_DISPLAY_ENV": "VERBOSE", "PYTHONPATH": str(ROOT)}
    entry = [sys.executable, "-c", "from workflow_scripts.core import entry; import faiss"]
    told = subprocess.run(entry, env=environment, check=True, capture_output=True, text=True).stderr
    assert re.findall(r"GOMP_SPINCOUNT = '(\d+)'", told)[0] == str(spins)
