"""The trained model as users get it: `RegionEncoder.load(folder)` turns region features into embeddings."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_text
from workflow_scripts.core.model_facts import DIGEST, read_facts
from workflow_scripts.core.state_dicts import first_misfit
from workflow_scripts.slpd.glass import without_glass
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

    @property
    def hides_glass(self) -> bool:
        """Whether the model was trained without the tokens that hold no tissue (`mask_glass`)."""
        return bool(self.facts.get("settings", {}).get("mask_glass", False))

    @classmethod
    def load(cls, folder: str | Path) -> "RegionEncoder":
        """Load `model.safetensors` and `config.json` from a folder, strictly; in eval mode on the CPU.

        Raises:
            UserError: a file is missing or damaged, or the two do not belong together.
        """
        facts, path = read_facts(folder), Path(folder) / "model.safetensors"
        try:
            encoder = cls(facts)
        except (KeyError, TypeError, ValueError, ZeroDivisionError, RuntimeError) as error:
            config = Path(folder) / "config.json"
            raise UserError(
                f"the architecture in {config} builds no encoder ({error!r}); export the model again"
            ) from None
        try:
            data = path.read_bytes()
            tensors = load(data)
        except FileNotFoundError:
            raise UserError(f"{path} is missing; give the folder of an exported model, or export it again") from None
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} is damaged or cut short ({error}); export the model again") from None
        if problem := first_misfit(encoder.backbone.state_dict(), tensors):
            raise UserError(
                f"{path} does not fit the config.json beside it ({' '.join(problem)}); keep the files of one export "
                "together"
            )
        digest = hashlib.sha256(data).hexdigest()
        if facts.get(DIGEST, digest) != digest:
            raise UserError(
                f"{path} is not the model that the config.json beside it describes; keep the files of one export "
                "together"
            )
        encoder.backbone.load_state_dict(tensors, strict=True)
        return encoder.eval()

    def embed(
        self,
        tokens: Tensor | np.ndarray,
        valid: Tensor | np.ndarray | None = None,
        tissue: Tensor | np.ndarray | None = None,
        batch: int = 256,
    ) -> Tensor:
        """Embeddings float32 `[N, dim]` on the CPU of tokens `[N, g, g, D]`.

        Args:
            tokens: patch features of the encoder named in `facts`, any float dtype.
            valid: bool `[N, g, g]`, False where a token is padding or unreadable; None where all are valid.
            tissue: `[N, g, g]` tissue fraction of each patch; needed, and used, only where `hides_glass`.
            batch: regions at once.

        Raises:
            UserError: tokens of another width than the model takes, or no `tissue` for a model that hides glass.
        """
        tokens, width = torch.as_tensor(tokens), self.backbone.phi.in_features
        if tokens.ndim != 4 or tokens.shape[-1] != width:
            raise UserError(f"the tokens are {list(tokens.shape)}; this model takes [regions, rows, columns, {width}]")
        if self.hides_glass:
            if tissue is None:
                raise UserError("this model was trained with mask_glass; give embed the tissue fraction of each patch")
            valid = np.ones(tissue.shape, dtype=np.bool_) if valid is None else valid
            valid = without_glass(torch.as_tensor(valid), torch.as_tensor(tissue))
        visible = None if valid is None else torch.as_tensor(valid)
        parts = [torch.empty(0, self.backbone.cls_token.shape[-1])]
        for rows in range(0, len(tokens), batch):
            mask = None if visible is None else visible[rows : rows + batch]
            parts.append(self.embed_visible(tokens[rows : rows + batch], mask).cpu())
        return torch.cat(parts)

    @torch.inference_mode()
    def embed_visible(self, tokens: Tensor, visible: Tensor | None = None) -> Tensor:
        """Embeddings `[B, dim]` of one batch `[B, g, g, D]`, on the model's device; it attends to `visible` tokens."""
        device = self.backbone.cls_token.device
        return self.backbone(tokens.to(device).float(), None if visible is None else visible.to(device))


def save_model(path: str | Path, backbone: RegionViT, facts: dict, card: str) -> None:
    """Write model.safetensors, config.json, which holds its SHA-256, and README.md (the card) into `path`'s folder."""
    folder = Path(path).parent
    write_text(folder / "README.md", card)
    tensors = {name: value.detach().cpu().contiguous() for name, value in backbone.state_dict().items()}
    facts = facts | {DIGEST: write_tensors(path, tensors)}
    write_text(folder / "config.json", json.dumps(facts, indent=2, sort_keys=True) + "\n")
