import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.errors import UserError
from workflow_scripts.slpd.state import load_state, load_teacher, new_state, save_state, state_tensors
from workflow_scripts.slpd.trainer import Trainer

from . import cohort, plain

SETTINGS = plain.tiny_run(optimiser={"lr": 1.0})


def trained(epochs: int):
    state = new_state(SETTINGS, cohort.DIM, cohort.CPU)
    cohort.run_epochs(Trainer(SETTINGS, cohort.tokens()), state, epochs, cohort.targets(SETTINGS))
    return state


# after one epoch the frozen last layer has no moments yet, before the first nothing has
@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_round_trip_bit_for_bit(tmp_path, epochs):
    state, path = trained(epochs), tmp_path / "s.safetensors"
    save_state(path, state, {"metrics": torch.arange(6.0).reshape(2, 3)})
    back, extra = load_state(path, SETTINGS, cohort.DIM, cohort.CPU)
    before, after = state_tensors(state), state_tensors(back)
    assert before.keys() == after.keys()
    for name in before:
        assert before[name].dtype == after[name].dtype
        assert torch.equal(before[name], after[name]), name
    assert (back.epoch, back.step) == (epochs, 2 * epochs)
    assert torch.equal(extra["metrics"], torch.arange(6.0).reshape(2, 3))
    assert any(name.endswith("exp_avg") for name in after) == (epochs > 0)
    assert any(name.startswith("optimiser.head.last_layer") for name in after) == (epochs > 1)
    assert not back.teacher.training
    assert back.student.training
    assert not any(p.requires_grad for p in back.teacher.parameters())


@pytest.mark.parametrize("kind", ["joint", "shared", "separate", "dino", "none"])
def test_a_warm_up_is_shared_by_runs_with_any_kind_of_centre(tmp_path, kind):
    own = plain.tiny_run(optimiser={"lr": 1.0}, loss={"proto_center": kind})
    warm = PretrainRun.model_validate(own.warm_up_settings())
    state = new_state(warm, cohort.DIM, cohort.CPU)
    cohort.run_epochs(Trainer(warm, cohort.tokens()), state, 1, None)
    save_state(tmp_path / "s.safetensors", state)
    distill = PretrainRun.model_validate(own.distill_settings())
    back, _ = load_state(tmp_path / "s.safetensors", distill, cohort.DIM, cohort.CPU)
    fresh = new_state(distill, cohort.DIM, cohort.CPU)
    assert back.proto_center.shape == fresh.proto_center.shape
    cohort.run_epochs(Trainer(distill, cohort.tokens()), back, 2, cohort.targets(own))
    assert back.proto_center.any() == (kind not in ("dino", "none"))


def test_teacher_alone_is_the_states_teacher(tmp_path):
    state, path = trained(2), tmp_path / "s.safetensors"
    save_state(path, state)
    teacher = load_teacher(path, SETTINGS, cohort.DIM, cohort.CPU)
    own = state.teacher.state_dict()
    assert teacher.state_dict().keys() == own.keys()
    assert all(torch.equal(value, own[name]) for name, value in teacher.state_dict().items())
    assert not teacher.training
    tokens = cohort.tokens().take(torch.arange(3))[0].float().unflatten(1, (4, 4))
    assert torch.equal(teacher(tokens), state.teacher(tokens))
    with pytest.raises(UserError, match=r"teacher\.head\.last_layer is \[6, 4\] instead of \[7, 4\]"):
        load_teacher(path, plain.tiny_run(head={"out_dim": 7}), cohort.DIM, cohort.CPU)


def test_new_state_starts_with_equal_networks_of_its_seed():
    one, same = (new_state(SETTINGS, cohort.DIM, cohort.CPU) for _ in range(2))
    other = new_state(plain.tiny_run(seed=1), cohort.DIM, cohort.CPU)
    for name, value in one.student.state_dict().items():
        assert torch.equal(value, one.teacher.state_dict()[name])
        assert torch.equal(value, same.student.state_dict()[name])
    assert not torch.equal(one.student.head.last_layer, other.student.head.last_layer)


def test_only_matrices_decay():
    state = new_state(SETTINGS, cohort.DIM, cohort.CPU)
    names = {id(p): name for name, p in state.student.named_parameters()}
    decay, plain_group = ([names[id(p)] for p in group["params"]] for group in state.optimiser.param_groups)
    assert {"backbone.cls_token", "backbone.pos_embed", "head.last_layer", "backbone.phi.weight"} <= set(decay)
    assert all(name.endswith("bias") or "norm" in name for name in plain_group)
    assert len(decay) + len(plain_group) == len(names)


@pytest.mark.parametrize(
    ("change", "tensor"),
    [
        ({"head": {"out_dim": 7}}, r"\(center is \[6\] instead of \[7\]\)"),
        ({"model": {"depth": 3}}, r"\(student\.backbone\.blocks\.2\.\S+ is missing\)"),
        ({"crops": {"global_size": 4}}, r"\(student\.backbone\.pos_embed is \[1, 10, 8\] instead of \[1, 17, 8\]\)"),
    ],
)
def test_misfit_names_the_tensor(tmp_path, change, tensor):
    save_state(tmp_path / "s.safetensors", trained(1))
    with pytest.raises(UserError, match=tensor) as caught:
        load_state(tmp_path / "s.safetensors", plain.tiny_run(**change), cohort.DIM, cohort.CPU)
    assert "s.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_misfit_of_the_features_width(tmp_path):
    save_state(tmp_path / "s.safetensors", trained(0))
    with pytest.raises(UserError, match=r"student\.backbone\.phi\.weight is \[8, 5\] instead of \[8, 9\]"):
        load_state(tmp_path / "s.safetensors", SETTINGS, 9, cohort.CPU)


def test_missing_tensor_is_named(tmp_path):
    save_state(tmp_path / "s.safetensors", trained(0))
    tensors = load_file(tmp_path / "s.safetensors")
    del tensors["teacher.head.fc2.bias"]
    save_file(tensors, tmp_path / "s.safetensors")
    with pytest.raises(UserError, match=r"teacher\.head\.fc2\.bias is missing"):
        load_state(tmp_path / "s.safetensors", SETTINGS, cohort.DIM, cohort.CPU)


def test_all_of_a_network_is_in_its_state():
    """What is not would hold whatever was in memory after a state is loaded."""
    network = new_state(SETTINGS, cohort.DIM, cohort.CPU).student
    tensors = {name for name, _ in [*network.named_parameters(), *network.named_buffers()]}
    assert set(network.state_dict()) == tensors


def test_a_step_imports_no_compiler():
    """torch._dynamo takes two seconds to import, in every training job."""
    call = (
        "import sys; from tests.unit.slpd import cohort, plain; from workflow_scripts.slpd.state import new_state;"
        "from workflow_scripts.slpd.trainer import Trainer; settings = plain.tiny_run();"
        "state = new_state(settings, cohort.DIM, cohort.CPU);"
        "cohort.run_epochs(Trainer(settings, cohort.tokens()), state, 2, cohort.targets(settings));"
        "print(state.step, 'torch._dynamo' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.split() == ["4", "False"]
