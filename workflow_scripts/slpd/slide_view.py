"""A slide as a trained model sees it: embeddings of its regions, its vector, and its prototypes as in the rounds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workflow_scripts.config import PretrainRun
from workflow_scripts.config.model_folder import CLUSTERING, model_settings, require_files
from workflow_scripts.core.embeddings import slide_means
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_store import load_features, slide_file
from workflow_scripts.core.model_facts import DIGEST, model_digest, require_same_model, trained_features
from workflow_scripts.core.same_features import require_same_features
from workflow_scripts.core.seeds import derive_seed
from workflow_scripts.core.state_dicts import first_misfit
from workflow_scripts.core.tables import read_meta
from workflow_scripts.slpd.crops import centre_window, window_indices
from workflow_scripts.slpd.explained import region_tissue
from workflow_scripts.slpd.glass import without_glass
from workflow_scripts.slpd.model import RegionEncoder
from workflow_scripts.slpd.network import Network
from workflow_scripts.slpd.prototypes import cluster_slides
from workflow_scripts.slpd.tensor_file import write_tensors
from workflow_scripts.slpd.tokens import TokenData
from workflow_scripts.slpd.trainer import embed_regions

_LAST = "head.last_layer"  # takes no part in clustering, and is the largest tensor of all


@dataclass(frozen=True)
class SlideView:
    """N regions of a slide, as the model sees them.

    Attributes:
        slide_id: its name, from which the seed of its k-means comes.
        embeddings: float32 `[N, dim]`, of the regions.
        vector: float32 `[dim]`, their mean.
        clustered: float32 `[N, d]`, the features that were clustered.
        prototypes: float32 `[M, d]`, or None where the slide has too few regions.
        assignment: int64 `[N]`, the prototype of each region, -1 where there are none.
        similarity: float32 `[N]`, cosine of a region and its prototype, 0 where there are none.
    """

    slide_id: str
    embeddings: np.ndarray
    vector: np.ndarray
    clustered: np.ndarray
    prototypes: np.ndarray | None
    assignment: np.ndarray
    similarity: np.ndarray


class SlideEncoder:
    """A model with the teacher of its last clustering, on the CPU.

    Example::

        encoder = SlideEncoder.load("results/demo/pretrain/slpd/model")
        view = encoder.view("new", tokens, read_ok, tissue)  # float16 [N, g, g, D], bool and float32 [N, g, g]
        SlideIndex.load("results/demo/pretrain/slpd/model").nearest(view.prototypes, 5)
    """

    def __init__(self, regions: RegionEncoder, settings: PretrainRun, teacher: Network, round_number: int) -> None:
        self.regions, self.settings, self.teacher, self.round = regions, settings, teacher, round_number

    @classmethod
    def load(cls, folder: str | Path) -> "SlideEncoder":
        """Load a model's folder.

        Raises:
            UserError: see `RegionEncoder.load`; it has no prototypes of slides, or its files do not fit together.
        """
        regions = RegionEncoder.load(folder)
        require_files(folder)
        settings, _ = model_settings(folder), trained_features(folder)
        teacher, number = _read_teacher(Path(folder), settings, regions.facts["architecture"]["in_dim"])
        return cls(regions, settings, teacher, number)

    def view(self, slide_id: str, tokens: np.ndarray, read_ok: np.ndarray, tissue: np.ndarray) -> SlideView:
        """The slide as the model sees it; on one thread, since their number moves last bits.

        Args:
            slide_id: its name; k-means of another name starts elsewhere.
            tokens: float16 `[N, g, g, D]`, patch features of the model's encoder, g and um/px of the model.
            read_ok: bool `[N, g, g]`, False where a token is padding or unreadable.
            tissue: float32 `[N, g, g]`, tissue fraction of each patch, looked at by a model with `mask_glass`, and
                where its clustering looks at it.

        Raises:
            UserError: arrays of another shape than the model takes, no regions, or features that are not finite.
        """
        grid, width = self.regions.facts["features"]["grid"], self.regions.backbone.phi.in_features
        if tokens.shape[1:] != (grid, grid, width) or not len(tokens):
            raise UserError(
                f"the tokens of slide {slide_id} are {list(tokens.shape)}; this model takes [regions, {grid}, {grid}, "
                f"{width}]"
            )
        for name, flags in (("read_ok", read_ok), ("tissue", tissue)):
            if flags.shape != tokens.shape[:3]:
                raise UserError(
                    f"{name} of slide {slide_id} is {list(flags.shape)}; its tokens ask for {[*tokens.shape[:3]]}"
                )
        visible = torch.from_numpy(read_ok)
        if self.regions.hides_glass:
            visible = without_glass(visible, torch.from_numpy(tissue))
        data = TokenData.from_arrays(tokens, visible.numpy(), torch.device("cpu"))
        with _one_thread(), torch.inference_mode():
            embeddings = self._embed(data)
            clustered = self._clustered(self._seen_clustered(read_ok, tissue, data))
        if not (np.isfinite(embeddings).all() and np.isfinite(clustered).all()):
            raise UserError(f"the features of slide {slide_id} give no finite embeddings; extract them again")
        count = np.array([len(tokens)])
        seed = derive_seed(self.settings.seed, "round", self.round)
        held = region_tissue(tissue, read_ok)
        found = cluster_slides(clustered, [slide_id], count, self.settings.prototypes, seed, tissue=held)
        return SlideView(
            slide_id=slide_id,
            embeddings=embeddings,
            vector=slide_means(embeddings, count).astype(np.float32)[0],
            clustered=clustered,
            prototypes=found.vectors[0] if found.valid[0] else None,
            assignment=found.assignment,
            similarity=found.similarity,
        )

    def view_features(self, folder: str | Path, slide_id: str) -> tuple[SlideView, list[str]]:
        """The view of a slide in `features/{encoder}`, and the ids of its N regions.

        Raises:
            UserError: there are none, or they are of another kind than the model's, or cannot be read.
        """
        path = slide_file(folder, slide_id)
        if not path.is_file():
            raise UserError(f"{path} does not exist; name a slide whose features lie in {folder}")
        require_same_features(self.regions.facts, read_meta(path), f"the feature file {path}")
        store = load_features(folder, [slide_id])
        return self.view(slide_id, store.tokens, store.read_ok, store.tissue), store.region_ids

    def _seen_clustered(self, read_ok: np.ndarray, tissue: np.ndarray, data: TokenData) -> TokenData:
        """What is seen of the regions where they are clustered: `data`, or that without glass."""
        if not self.settings.clusters_without_glass:
            return data
        return data.seen_through(without_glass(torch.from_numpy(read_ok), torch.from_numpy(tissue)))

    def _embed(self, data: TokenData) -> np.ndarray:
        """Embeddings float32 `[N, dim]` of the whole regions."""

        def grid(flat: Tensor) -> Tensor:
            return flat.unflatten(1, (data.grid, data.grid))

        parts = [
            self.regions.embed_visible(grid(tokens), None if data.all_valid else grid(valid))
            for tokens, valid in data.batches(256)
        ]
        return torch.cat(parts).numpy()

    def _clustered(self, data: TokenData) -> np.ndarray:
        """Features float32 `[N, d]` of the regions' views that the rounds cluster."""
        chosen, grid = self.settings.prototypes, data.grid
        centre = chosen.view == "centre"
        window = centre_window(grid, self.settings.crops.global_size) if centre else window_indices(grid, grid)[0]
        features, projected = embed_regions(self.teacher, data, window)
        return (features if chosen.features == "backbone" else projected).numpy()


def save_teacher(folder: str | Path, teacher: Network, round_number: int) -> None:
    """Write the teacher of a clustering, and the number of its round, into the folder of its model."""
    tensors = {name: value.cpu().contiguous() for name, value in teacher.state_dict().items() if name != _LAST}
    tensors["round"] = torch.tensor(round_number)
    write_tensors(Path(folder) / CLUSTERING, tensors, {DIGEST: model_digest(folder)})


def _read_teacher(folder: Path, settings: PretrainRun, in_dim: int) -> tuple[Network, int]:
    """The teacher that `save_teacher` wrote, in eval mode, and its round."""
    path = folder / CLUSTERING
    head = settings.head.model_copy(update={"out_dim": 1})  # of the last layer nothing is needed
    teacher = Network(settings.model_copy(update={"head": head}), in_dim)
    try:
        with safe_open(path, "pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            belongs_to = (file.metadata() or {}).get(DIGEST)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; keep the files of a model's folder together, or export it again") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or cut short ({error}); export the model again") from None
    require_same_model(folder, belongs_to, path)
    number = int(tensors.pop("round", torch.tensor(0)))
    tensors[_LAST] = teacher.head.last_layer.detach()
    if problem := first_misfit(teacher.state_dict(), tensors):
        raise UserError(f"{path} does not fit the config.json beside it ({' '.join(problem)}); export the model again")
    teacher.load_state_dict(tensors)
    return teacher.eval().requires_grad_(False), number


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
