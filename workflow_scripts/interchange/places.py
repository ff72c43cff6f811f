"""Where the files of a slide lie in another tool's folders. Standard library only: every cluster job asks again."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from workflow_scripts.config import Source

# Files of features below `folder`, and of coordinates below it, beside it or below `coords_folder`; {} is the slide.
_FEATURES = {
    "trident": ("{}.h5", "{}.pt"),
    "clam": ("h5_files/{}.h5", "{}.h5", "pt_files/{}.pt", "{}.pt"),
    "slide2vec": (
        *("tile_embeddings/{}.pt", "tile_embeddings/{}.npz", "hierarchical_embeddings/{}.pt", "features/{}.pt"),
        *("{}.pt", "{}.npz"),
    ),
    "stamp": ("{}.h5",),
}
_COORDS = {
    "trident": ("patches/{}_patches.h5", "{}_patches.h5"),
    "clam": ("patches/{}.h5",),
    "slide2vec": ("tiles/{}.coordinates.npz", "coordinates/{}.npy", "{}.coordinates.npz", "{}.npy"),
    "stamp": (),
}


class SourceFiles(NamedTuple):
    """Files of one slide; None where there is none.

    Attributes:
        features: the feature file.
        coords: the file with coordinates, or with what the feature file does not say about them.
        looked: the feature files that were looked for.
        shared: feature files that are there and named as another slide's with equal or better right.
    """

    features: Path | None
    coords: Path | None
    looked: list[str]
    shared: list[str]

    def notes(self) -> list[Path]:
        """JSON files that lie beside the two (slide2vec)."""
        beside = []
        for file in (self.features, self.coords):
            if file is not None:
                beside.append(file.with_name(f"{file.name.removesuffix(file.suffix)}.meta.json"))
        return [file for file in beside if file.is_file()]

    def inputs(self) -> list[str]:
        """All files that the slide's features depend on."""
        return [str(file) for file in (self.features, self.coords, *self.notes()) if file is not None]


def _coords_places(source: Source, name: str) -> Iterator[Path]:
    folder = Path(source.folder or "")
    for start in [Path(source.coords_folder)] if source.coords_folder else [folder, folder.parent]:
        for pattern in _COORDS[source.kind or "stamp"]:
            place = Path(pattern.format(name))
            yield start / place
            if source.coords_folder:
                yield start / place.name


def _feature_files(source: Source, names: Sequence[str]) -> list[Path]:
    patterns = [pattern.format(name) for name in names for pattern in _FEATURES[source.kind or "stamp"]]
    return [Path(source.folder or "") / pattern for pattern in patterns]


def find_files(source: Source, slide_id: str, path: str, names: Sequence[str] | None = None) -> SourceFiles:
    """Files of a slide, named by its id or, where there is none, as the slide's own file.

    Args:
        source: config section `source`, with a kind and a folder.
        slide_id: of the manifest.
        path: of the manifest; the file need not exist.
        names: those of the two that are the slide's alone (`core.claims`); None takes both.
    """
    both = list(dict.fromkeys([slide_id, Path(path).stem]))
    names = both if names is None else names
    looked = _feature_files(source, names)
    shared = [file for file in _feature_files(source, [name for name in both if name not in names]) if file.is_file()]
    features = next((file for file in looked if file.is_file()), None)
    places = [place for name in names for place in _coords_places(source, name)]
    coords = next((place for place in places if place.is_file() and place != features), None)
    return SourceFiles(features, coords, [str(file) for file in looked or shared], [str(file) for file in shared])
