"""Training with kernels that add in a fixed order; on a CPU the others do so too, so nothing may change."""

import os
from collections.abc import Iterator

import pytest
import torch

from workflow_scripts.slpd.determinism import make_deterministic
from workflow_scripts.slpd.engine import to_compile, to_record
from workflow_scripts.slpd.state import new_state, state_tensors
from workflow_scripts.slpd.trainer import Trainer

from . import cohort, plain

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@pytest.fixture
def _as_before(monkeypatch) -> Iterator[None]:
    """Puts back what is a setting of the whole process."""
    monkeypatch.delenv(_WORKSPACE, raising=False)
    cudnn = torch.backends.cuda.cudnn_sdp_enabled()
    yield
    os.environ.pop(_WORKSPACE, None)
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.backends.cuda.enable_cudnn_sdp(cudnn)


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_step_needs_a_kernel_of_another_order(precision):
    settings = plain.tiny_run(model={"drop_path": 0.3}, precision=precision)
    data, targets, found = cohort.tokens(padded=True), cohort.targets(settings), []
    for wanted in (False, True):
        make_deterministic(wanted)
        assert torch.are_deterministic_algorithms_enabled() == wanted
        state = new_state(settings, cohort.DIM, cohort.CPU)
        rows = cohort.run_epochs(Trainer(settings, data), state, 3, targets)
        found.append((state_tensors(state), rows))
    assert os.environ[_WORKSPACE] == ":4096:8"
    assert found[0][1] == found[1][1]
    assert all(torch.equal(value, found[1][0][name]) for name, value in found[0][0].items())


@pytest.mark.usefixtures("_as_before")
def test_nothing_is_compiled_or_recorded_where_bits_must_repeat():
    gpu = torch.device("cuda")
    assert to_compile("true", gpu, 1) and to_record("auto", gpu, 10**6, 1)
    make_deterministic(True)
    assert not to_compile("true", gpu, 1) and not to_record("auto", gpu, 10**6, 1)
