"""The trained model as users get it: `RegionEncoder.load(folder)` turns region features into embeddings."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from workflow_scripts.core.files import write_text
from workflow_scripts.slpd.tensor_file import write_tensors
from workflow_scripts.slpd.vit import RegionViT


class RegionEncoder(nn.Module):
    """The frozen teacher's backbone with the facts about its training.

    Example::

        encoder = RegionEncoder.load("results/demo/pretrain/slpd/model")
        vectors = encoder.embed(tokens)  # [N, g, g, D] patch features -> [N, dim]
    """

    def __init__(self, facts: dict) -> None:
        super().__init__()
        self.facts = facts
        self.backbone = RegionViT(**facts["architecture"])

    @classmethod
    def load(cls, folder: str | Path) -> "RegionEncoder":
        """Load `model.safetensors` and `config.json` from a folder, in eval mode on the CPU."""
        facts = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        encoder = cls(facts)
        encoder.backbone.load_state_dict(load_file(Path(folder) / "model.safetensors"), strict=True)
        return encoder.eval()

    @torch.inference_mode()
    def embed(self, tokens: Tensor, valid: Tensor | None = None, batch: int = 256) -> Tensor:
        """Embeddings float32 `[N, dim]` on the CPU of tokens `[N, g, g, D]`.

        Args:
            tokens: patch features of the encoder named in `facts`, any float dtype.
            valid: bool `[N, g, g]`, False where a token is padding or unreadable; None where all are valid.
            batch: regions at once.
        """
        device = self.backbone.cls_token.device
        parts = []
        for rows in range(0, len(tokens), batch):
            part = tokens[rows : rows + batch].to(device).float()
            mask = None if valid is None else valid[rows : rows + batch].to(device)
            parts.append(self.backbone(part, mask).cpu())
        return torch.cat(parts)


def save_model(path: str | Path, backbone: RegionViT, facts: dict, card: str) -> None:
    """Write model.safetensors, config.json and README.md (the model card) into the folder of `path`."""
    folder = Path(path).parent
    write_text(folder / "config.json", json.dumps(facts, indent=2, sort_keys=True) + "\n")
    write_text(folder / "README.md", card)
    tensors = {name: value.detach().cpu().contiguous() for name, value in backbone.state_dict().items()}
    write_tensors(path, tensors)
