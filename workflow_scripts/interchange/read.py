"""The reader of each tool."""

from workflow_scripts.config import Source
from workflow_scripts.core.status import SlideError
from workflow_scripts.interchange.patches import SourcePatches, checked
from workflow_scripts.interchange.places import SourceFiles


def read_source(source: Source, files: SourceFiles) -> SourcePatches:
    """Patches of a slide, checked.

    Raises:
        SlideError: `no_features`: there is no file; `bad_features`, `irregular_grid`: see the readers.
    """
    from workflow_scripts.interchange.read_hdf5 import read_patches, read_stamp
    from workflow_scripts.interchange.read_slide2vec import read_slide2vec

    if files.features is None and files.shared:
        raise SlideError(
            "no_features",
            f"{files.shared[0]} has the name of more than one slide of the manifest, so it is not used for this one; "
            "name each slide's features by its slide_id",
        )
    if files.features is None:
        raise SlideError(
            "no_features",
            f"there is no {files.looked[0]}, nor a file of another name that {source.kind} gives; check source.folder",
        )
    if source.kind == "stamp":
        return checked(read_stamp(files.features))
    reader = read_slide2vec if source.kind == "slide2vec" else read_patches
    return checked(reader(files.features, files.coords))
