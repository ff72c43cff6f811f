import torch
from safetensors.torch import load_file

from workflow_scripts.slpd.tensor_file import write_tensors


def test_round_trip_with_the_permissions_of_any_other_file(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([7])}
    write_tensors(tmp_path / "x.safetensors", tensors)
    (tmp_path / "plain").write_bytes(b"")
    found = load_file(tmp_path / "x.safetensors")
    assert all(torch.equal(found[name], value) for name, value in tensors.items())
    assert (tmp_path / "x.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
