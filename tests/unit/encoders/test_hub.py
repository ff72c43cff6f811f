"""Weights from a model's folder, from the hub's cache, and from a hub that runs here and says no in its own ways."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from tests.unit.encoders.written_out import random_state, vit_shapes
from workflow_scripts.config import Features, Regions
from workflow_scripts.core.errors import UserError
from workflow_scripts.encoders.digests import file_digest
from workflow_scripts.encoders.hub import own_weights
from workflow_scripts.encoders.plan import common_digest
from workflow_scripts.encoders.registry import build_encoder
from workflow_scripts.encoders.timm_import import timm

MODEL, REPOSITORY = "vits16_imagenet", "timm/vit_small_patch16_224.augreg_in21k_ft_in1k"
COMMIT = "a" * 40


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(random_state(vit_shapes(384, 12, 16, 197, (1536, 1536), layer_scale=False)), file)
    return file


def _cache(folder: Path, repository: str, files: dict[str, Path | str]) -> Path:
    """The hub's cache with one model in it."""
    place = folder / f"models--{repository.replace('/', '--')}"
    snapshot = place / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs/main").write_text(COMMIT)
    for name, content in files.items():
        if isinstance(content, Path):
            (snapshot / name).symlink_to(content)
        else:
            (snapshot / name).write_text(content)
    return snapshot


def _message(**settings) -> str:
    with pytest.raises(UserError) as caught:
        build_encoder(Features(**{"model": MODEL} | settings), 256)
    text = str(caught.value)
    assert "\n" not in text
    assert "http" not in text
    return text


def test_folder_as_the_hub_gives_it(weights, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert "neither of model.safetensors and pytorch_model.bin" in _message(weights=str(tmp_path))
    (tmp_path / "model.safetensors").symlink_to(weights)
    encoder = build_encoder(Features(model=MODEL, weights=str(tmp_path)), 256)
    assert encoder.facts["weights_sha256"] == file_digest(weights)
    found = common_digest(Features(model=MODEL, weights=str(tmp_path)), Regions(), "")
    assert found == common_digest(Features(model=MODEL, weights=str(weights)), Regions(), "")


def test_cache_is_used_without_a_network(weights, tmp_path):
    text = _message(hub_folder=str(tmp_path))
    assert "features.allow_network: true" in text
    assert REPOSITORY in text
    _cache(tmp_path, REPOSITORY, {"model.safetensors": weights})
    encoder = build_encoder(Features(model=MODEL, hub_folder=str(tmp_path)), 256)
    assert encoder.facts["weights_sha256"] == file_digest(weights)
    assert encoder.mean == (0.5, 0.5, 0.5)


def test_cached_model_of_no_registry(tmp_path):
    torch.manual_seed(5)
    source = timm.create_model("test_vit", img_size=32, num_classes=0).eval()
    timm.models.save_for_hf(source, tmp_path / "saved", safe_serialization=True)
    files = {path.name: path for path in (tmp_path / "saved").iterdir()}
    _cache(tmp_path / "hub", "someone/small", files)
    encoder = build_encoder(Features(model="hf-hub:someone/small", hub_folder=str(tmp_path / "hub")), 32)
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.module(pixels), source(pixels))
    assert encoder.facts["pretrained_on"] == "hf-hub:someone/small"
    named = {"model": "hf-hub:someone/small", "hub_folder": str(tmp_path / "hub")}
    assert encoder.facts["weights_sha256"] == file_digest(files["model.safetensors"])
    assert "SHA-256" in _message(**named, weights_sha256="0" * 64)
    for wrong in ("hf-hub:a/b/c", "hf-hub:"):
        assert "owner/model" in _message(model=wrong, hub_folder=str(tmp_path / "hub"))


def test_random_weights_of_a_cached_model_and_of_a_folder(tmp_path):
    source = timm.create_model("test_vit", img_size=32, num_classes=0)
    timm.models.save_for_hf(source, tmp_path / "saved", safe_serialization=True)
    _cache(tmp_path / "hub", "someone/small", {path.name: path for path in (tmp_path / "saved").iterdir()})
    for model in ("hf-hub:someone/small:random", f"local-dir:{tmp_path / 'saved'}:random"):
        settings = Features(model=model, hub_folder=str(tmp_path / "hub"))
        encoder = build_encoder(settings, 32)
        assert encoder.facts["weights"] == "random weights"
        assert not torch.equal(encoder.module.cls_token, source.cls_token)
        assert own_weights(settings) is None


def test_local_folder_counts_by_its_content_and_is_checked(tmp_path):
    source = timm.create_model("test_vit", img_size=32, num_classes=0)
    timm.models.save_for_hf(source, tmp_path / "saved", safe_serialization=True)
    model = f"local-dir:{tmp_path / 'saved'}"
    digest = file_digest(tmp_path / "saved/model.safetensors")
    settings = Features(model=model, weights_sha256=digest)
    assert build_encoder(settings, 32).facts["weights_sha256"] == digest
    assert "SHA-256" in _message(model=model, weights_sha256="0" * 64)
    first = common_digest(settings, Regions(), "")
    torch.nn.init.ones_(source.cls_token)
    timm.models.save_for_hf(source, tmp_path / "saved", safe_serialization=True)
    assert common_digest(settings, Regions(), "") != first


class _Hub(BaseHTTPRequestHandler):
    """Answers as the hub does: a gated model, a missing one, one without weights, and one file."""

    file = b""

    def _answer(self) -> None:
        kind, headers, body = self.server.kind, {}, b""
        status = {"gated": 403, "missing": 404, "empty": 404, "broken": 418, "good": 200}[kind]
        if kind == "good" and not self.path.endswith("pytorch_model.bin"):
            kind, status = "empty", 404
        code = {"gated": "GatedRepo", "missing": "RepoNotFound", "empty": "EntryNotFound"}.get(kind)
        if code:
            headers["X-Error-Code"] = code
        if kind == "good":
            body = self.server.file
            headers |= {"ETag": '"0123456789abcdef"', "X-Repo-Commit": COMMIT}
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_GET = do_HEAD = _answer

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def hub(monkeypatch, weights):
    from safetensors.torch import load_file

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    buffer = weights.parent / "pytorch_model.bin"
    torch.save(load_file(weights), buffer)
    server.kind, server.file = "good", buffer.read_bytes()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    template = f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("gated", "its owner has not granted you access yet"),
        ("missing", "the hub has no such page, or shows it after a login only"),
        ("empty", "its page has neither of model.safetensors and pytorch_model.bin"),
        ("broken", "gave no answer"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_sentence(hub, tmp_path, kind, words):
    hub.kind = kind
    text = _message(model="uni", allow_network=True, hub_folder=str(tmp_path))
    assert words in text
    assert "accept its terms and log in" in text
    assert "MahmoodLab/UNI" in text
    assert "features.weights" in text


def test_fetched_once_then_cached(hub, tmp_path):
    settings = Features(model=MODEL, allow_network=True, hub_folder=str(tmp_path))
    first = build_encoder(settings, 256)
    hub.kind = "broken"
    again = build_encoder(settings, 256)
    assert first.facts == again.facts
    assert first.facts["weights"] == "pytorch_model.bin"
    tensors = zip(first.module.parameters(), again.module.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in tensors)


def test_no_connection(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    text = _message(model="phikon", allow_network=True, hub_folder=str(tmp_path))
    assert "the hub could not be reached" in text
    assert "owkin/phikon" in text
    assert "terms" not in text  # it is open
