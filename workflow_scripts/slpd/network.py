"""Student and teacher: the region ViT and the projection head together."""

from torch import Tensor, nn

from workflow_scripts.config import PretrainRun
from workflow_scripts.slpd.head import DinoHead
from workflow_scripts.slpd.vit import RegionViT


class Network(nn.Module):
    """Backbone and head; `forward` gives logits, `embed` the two features of a region."""

    def __init__(self, settings: PretrainRun, in_dim: int) -> None:
        super().__init__()
        model, head = settings.model, settings.head
        self.backbone = RegionViT(
            in_dim, model.dim, model.depth, model.heads, model.mlp_ratio, settings.crops.global_size
        )
        self.head = DinoHead(model.dim, head.hidden, head.bottleneck, head.out_dim)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        """Logits `[B, out_dim]` of tokens `[B, h, w, D]`."""
        return self.head(self.backbone(tokens, valid))

    def embed(self, tokens: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Backbone feature `[B, dim]` and unit bottleneck feature `[B, bottleneck]`."""
        feature = self.backbone(tokens, valid)
        return feature, self.head.project(feature)
