import copy
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from workflow_scripts import warm_up
from workflow_scripts.config import PretrainRun
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_store import feature_schema
from workflow_scripts.core.schemas import SLIDES
from workflow_scripts.core.tables import write_table
from workflow_scripts.core.tensors import to_column
from workflow_scripts.slpd.model import save_model
from workflow_scripts.slpd.network import Network
from workflow_scripts.slpd.starting_point import load_start
from workflow_scripts.slpd.state import new_state, save_state

from . import plain
from .hipt_files import hipt_bottleneck, hipt_forward, hipt_shapes, hipt_weights, save_hipt

CPU = torch.device("cpu")
IN_DIM = 5
TINY = plain.tiny_run()
# the published backbone, under a small head
PUBLISHED = PretrainRun.model_validate({"head": {"hidden": 40, "bottleneck": 16, "out_dim": 96}})


def networks(settings: PretrainRun = TINY, in_dim: int = IN_DIM) -> tuple[Network, Network]:
    state = new_state(settings, in_dim, CPU)
    return state.student, state.teacher


def randomised(network: Network, seed: int) -> Network:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return network


def refused(path, *pair: Network) -> str:
    """Message of the refusal; the networks are left as they were."""
    student, teacher = pair or networks()
    before = [copy.deepcopy(network.state_dict()) for network in (student, teacher)]
    with pytest.raises(UserError) as caught:
        load_start(path, student, teacher)
    for network, old in zip((student, teacher), before, strict=True):
        assert all(torch.equal(value, old[name]) for name, value in network.state_dict().items())
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_state_of_an_earlier_run_gives_both_networks_whole(tmp_path):
    state = new_state(TINY, IN_DIM, CPU)
    randomised(state.student, 1)
    randomised(state.teacher, 2)
    state.epoch = 7
    save_state(tmp_path / "any name", state)
    student, teacher = networks(plain.tiny_run(seed=5))
    told = load_start(tmp_path / "any name", student, teacher)
    assert "heads included" in told
    for got, want in ((student, state.student), (teacher, state.teacher)):
        for name, value in want.state_dict().items():
            assert torch.equal(got.state_dict()[name], value), name
    assert not torch.equal(student.head.last_layer, teacher.head.last_layer)


def test_exported_model_gives_the_backbone_to_both(tmp_path):
    network = randomised(Network(TINY, IN_DIM), 3)
    facts = {"architecture": {"heads": TINY.model.heads}}
    save_model(tmp_path / "model.safetensors", network.backbone, facts, "")
    student, teacher = networks()
    head = copy.deepcopy(student.head.state_dict())
    assert "afresh" in load_start(str(tmp_path / "model.safetensors"), student, teacher)
    for got in (student, teacher):
        for name, value in network.backbone.state_dict().items():
            assert torch.equal(got.backbone.state_dict()[name], value), name
        assert all(torch.equal(got.head.state_dict()[name], value) for name, value in head.items())


def test_published_hipt_file(tmp_path):
    shapes = hipt_shapes(192, 6, 384, 14, (40, 16, 96))
    assert sum(math.prod(s) for name, s in shapes.items() if name.startswith("backbone.")) == 2_781_504
    theirs = save_hipt(tmp_path / "vit4k_xs_dino.pth", shapes)
    pair = networks(PUBLISHED, 384)
    told = load_start(tmp_path / "vit4k_xs_dino.pth", *pair)
    assert "each its own; heads included" in told
    tokens = torch.randn(1, 14, 14, 384, generator=torch.Generator().manual_seed(4))
    for network, state in zip(pair, theirs, strict=True):
        feature, z = network.eval().embed(tokens)
        want = hipt_forward(state, tokens[0], heads=6, depth=6)
        torch.testing.assert_close(feature[0].double(), want, rtol=1e-4, atol=1e-5)
        want_z = hipt_bottleneck(state, want)
        torch.testing.assert_close(z[0].double(), want_z, rtol=1e-4, atol=1e-5)
        rows = state["head.last_layer.weight_v"].double()
        logits = (rows / rows.norm(dim=1, keepdim=True)) @ want_z
        torch.testing.assert_close(network(tokens)[0].double(), logits, rtol=1e-4, atol=1e-5)


HEAD = (8, 4, 6)  # the head of TINY
TINY_SHAPES = hipt_shapes(8, 2, IN_DIM, 3, HEAD)
TINY_4 = plain.tiny_run(model={"mlp_ratio": 4.0})  # as HIPT's


@pytest.mark.parametrize("role", ["student", "teacher", None])
def test_hipt_file_with_one_network_gives_it_to_both(tmp_path, role):
    state = hipt_weights(1, TINY_SHAPES, "module.")
    torch.save({role: state, "epoch": 3} if role else state, tmp_path / "one.pth")
    student, teacher = networks(TINY_4)
    assert "heads included" in load_start(tmp_path / "one.pth", student, teacher)
    for network in (student, teacher):
        assert torch.equal(network.backbone.phi.weight, state["module.backbone.phi.0.weight"])
        assert torch.equal(network.head.fc3.bias, state["module.head.mlp.4.bias"])
        assert torch.equal(network.head.last_layer, state["module.head.last_layer.weight_v"])


def test_hipt_backbone_without_wrapper(tmp_path):
    state = {n.removeprefix("backbone."): v for n, v in hipt_weights(1, TINY_SHAPES).items() if "head" not in n}
    torch.save(state, tmp_path / "bare.pth")
    student, teacher = networks(TINY_4)
    assert "it has no head" in load_start(tmp_path / "bare.pth", student, teacher)
    assert torch.equal(teacher.backbone.blocks[1].fc2.weight, state["blocks.1.mlp.fc2.weight"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s.pop("head.mlp.2.bias"), "head.fc2.bias is missing"),
        (lambda s: s.update({"head.last_layer.weight_v": torch.zeros(7, 4)}), "head.last_layer is [7, 4] instead of"),
        (lambda s: s["head.last_layer.weight_g"].mul_(2), "weight_g is not 1 throughout"),
        (lambda s: s.update({"head.mlp.1.weight": torch.zeros(8)}), "head.mlp.1.weight has no place"),
    ],
)
def test_hipt_head_that_does_not_fit_is_left_out_and_told(tmp_path, change, reason):
    student_state, teacher_state = hipt_weights(1, TINY_SHAPES), hipt_weights(2, TINY_SHAPES)
    change(teacher_state)
    torch.save({"student": student_state, "teacher": teacher_state}, tmp_path / "h.pth")
    student, teacher = networks(TINY_4)
    head = copy.deepcopy(student.head.state_dict())
    told = load_start(tmp_path / "h.pth", student, teacher)
    assert "backbone alone" in told
    assert reason in told
    assert torch.equal(teacher.backbone.phi.weight, teacher_state["backbone.phi.0.weight"])
    assert torch.equal(student.backbone.phi.weight, student_state["backbone.phi.0.weight"])
    for network in (student, teacher):  # neither head is taken, and both are the same fresh one
        assert all(torch.equal(network.head.state_dict()[name], value) for name, value in head.items())


@pytest.mark.parametrize(
    ("over", "in_dim", "tensor", "remedy"),
    [
        ({"model": {"dim": 12}}, IN_DIM, "cls_token is [1, 1, 8] instead of [1, 1, 12]", "model.dim to 8"),
        ({"model": {"depth": 3}}, IN_DIM, "blocks.2.norm1.weight is missing", "model.depth to 2"),
        ({"model": {"depth": 1}}, IN_DIM, "has no place in the model", "model.depth to 2"),
        ({"model": {"mlp_ratio": 3.0}}, IN_DIM, "fc1.weight is [32, 8] instead of [24, 8]", "model.mlp_ratio to 4"),
        ({"crops": {"global_size": 4}}, IN_DIM, "pos_embed is [1, 10, 8] instead of", "crops.global_size to 3"),
        ({}, 9, "phi.weight is [8, 5] instead of [8, 9]", "features of 5 values a patch"),
    ],
)
@pytest.mark.parametrize("kind", ["state", "model", "hipt"])
def test_misfit_names_tensor_and_key(tmp_path, over, in_dim, tensor, remedy, kind):
    path = tmp_path / "start"
    if kind == "state":
        save_state(path, new_state(TINY_4, IN_DIM, CPU))
    elif kind == "model":
        save_model(path, Network(TINY_4, IN_DIM).backbone, {"architecture": {"heads": 2}}, "")
    else:
        save_hipt(path, TINY_SHAPES)
    over = {**over, "model": {"mlp_ratio": 4.0, **over.get("model", {})}}
    message = refused(path, *networks(plain.tiny_run(**over), in_dim))
    assert tensor in message
    assert remedy in message
    assert "backbone.backbone" not in message


@pytest.mark.parametrize(
    ("head", "remedy"),
    [
        ({"hidden": 9}, "head.hidden to 8"),
        ({"bottleneck": 5}, "head.bottleneck to 4"),
        ({"out_dim": 7}, "head.out_dim to 6"),
    ],
)
def test_misfit_of_a_states_head(tmp_path, head, remedy):
    save_state(tmp_path / "s", new_state(TINY, IN_DIM, CPU))
    assert f"pretrain.defaults.{remedy}" in refused(tmp_path / "s", *networks(plain.tiny_run(head=head)))


def test_attention_heads_must_agree_where_they_are_known(tmp_path):
    four = networks(plain.tiny_run(model={"heads": 4}))
    save_model(tmp_path / "m", Network(TINY, IN_DIM).backbone, {"architecture": {"heads": 2}}, "")
    assert "set pretrain.defaults.model.heads to 2" in refused(tmp_path / "m", *four)
    save_hipt(tmp_path / "h", hipt_shapes(192, 6, 7, 14, None))
    other = PretrainRun.model_validate({**PUBLISHED.model_dump(), "model": {"heads": 3}})
    assert "set pretrain.defaults.model.heads to 6" in refused(tmp_path / "h", *networks(other, 7))


def test_non_finite_weights_are_refused(tmp_path):
    state = new_state(TINY, IN_DIM, CPU)
    state.teacher.head.fc2.bias[1] = math.nan
    save_state(tmp_path / "s", state)
    assert "teacher.head.fc2.bias holds values that are no finite numbers" in refused(tmp_path / "s")


def test_state_with_a_tensor_missing(tmp_path):
    save_state(tmp_path / "s", new_state(TINY, IN_DIM, CPU))
    tensors = load_file(tmp_path / "s")
    del tensors["teacher.head.fc2.bias"]
    save_file(tensors, tmp_path / "s")
    assert "teacher.head.fc2.bias is missing" in refused(tmp_path / "s")


def cut(path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


class Evil:
    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: None, "is no file"),
        (lambda p: p.mkdir(), "is no file"),
        (lambda p: p.write_bytes(b""), "no file of weights"),
        (lambda p: p.write_text("some notes"), "no file of weights"),
        (lambda p: p.write_text("<!DOCTYPE html><html>Sign in</html>"), "no file of weights"),
        (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"), "LFS pointer"),
        (lambda p: (save_hipt(p, TINY_SHAPES), cut(p, 0.7)), "fetch the file again"),
        (lambda p: (save_state(p, new_state(TINY, IN_DIM, CPU)), cut(p, 0.7)), "cut short"),
        (lambda p: (save_state(p, new_state(TINY, IN_DIM, CPU)), cut(p, 0.05)), "cut short"),
        (lambda p: save_hipt(p, TINY_SHAPES, extra=Evil()), "not unpickled"),
        (lambda p: p.write_bytes(b"\x80\x02garbage"), "not unpickled"),
        (lambda p: torch.save([torch.zeros(3)], p), "holds no region encoder"),
        (lambda p: torch.save({"teacher": {"fc.weight": torch.zeros(3)}}, p), "holds no region encoder"),
        (lambda p: save_file({"fc.weight": torch.zeros(3)}, p), "holds no region encoder"),
        (lambda p: torch.save({"teacher": {"backbone.patch_embed.proj.weight": torch.zeros(3)}}, p), "image patches"),
    ],
)  # fmt: skip
def test_what_is_no_starting_point_is_told_in_one_sentence(tmp_path, make, says, capfd):
    path = tmp_path / "start"
    make(path)
    assert says in refused(path)
    assert "unpickled" not in capfd.readouterr().out


def test_old_format_of_pytorch_is_read(tmp_path):
    state = hipt_weights(1, TINY_SHAPES)
    torch.save({"teacher": state}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    student, teacher = networks(TINY_4)
    load_start(tmp_path / "old.pth", student, teacher)
    assert torch.equal(teacher.backbone.norm.bias, state["backbone.norm.bias"])


def warm_up_from(init: str | None, name: str) -> dict[str, torch.Tensor]:
    """State after a warm-up whose learning rate changes next to nothing."""
    optimiser = {"lr": 1e-12, "lr_min": 0.0, "weight_decay": 0.0, "weight_decay_end": 0.0}
    settings = plain.tiny_run(init=init, optimiser=optimiser)
    arguments = {"features": "features", "slides": "slides.parquet", "code": "c", "scratch": f"scratch_{name}"}
    arguments |= {"state": f"{name}.safetensors", "metrics": f"{name}.parquet"}
    argv = ["--config", settings.model_dump_json()]
    warm_up.main(argv + [part for key, value in arguments.items() for part in (f"--{key}", value)])
    return load_file(f"{name}.safetensors")


def test_warm_up_begins_with_the_weights_of_init(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    schema, rng = feature_schema(4, IN_DIM), np.random.default_rng(0)
    arrays = {
        "features": rng.standard_normal((8, 4, 4, IN_DIM)).astype(np.float16),
        "read_ok": np.ones((8, 4, 4), bool),
    }
    arrays |= {"tissue": np.ones((8, 4, 4), np.float32), "colour": np.zeros((8, 4, 4, 6), np.float32)}
    columns = {name: to_column(value, schema.field(name)) for name, value in arrays.items()}
    columns |= {"slide_id": ["a"] * 8, "region_id": [f"a_{i}" for i in range(8)]}
    write_table("features/slides/a.parquet", columns, schema, {})
    row = {f.name: [None if f.nullable else ""] for f in SLIDES} | {"slide_id": ["a"], "status": ["ok"]}
    write_table("slides.parquet", row, SLIDES)
    earlier = new_state(TINY, IN_DIM, CPU)
    randomised(earlier.student, 1)
    randomised(earlier.teacher, 2)
    earlier.epoch, earlier.step = 7, 99
    save_state("start", earlier)
    got, fresh = warm_up_from("start", "from_start"), warm_up_from(None, "fresh")
    assert got["progress"][0] == fresh["progress"][0] == 1  # the epochs of the earlier run do not count
    for role, network in (("student", earlier.student), ("teacher", earlier.teacher)):
        for name, value in network.state_dict().items():
            if role == "student":  # the teacher has moved towards it
                torch.testing.assert_close(got[f"{role}.{name}"], value, rtol=1e-5, atol=1e-6)
            far = (fresh[f"{role}.{name}"] - value).abs().max()
            assert (got[f"{role}.{name}"] - value).abs().max() < 0.1 * far, name
    (tmp_path / "start").unlink()
    with pytest.raises(UserError, match="is no file"):
        warm_up_from("start", "again")
