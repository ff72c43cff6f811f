"""Maps of true tissue classes that the configuration names, looked at before anything runs."""

from os.path import isdir

from workflow_scripts.config import Config
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.truth_files import map_of_slides, truth_maps


def require_truth_maps(config: Config, rows: list[SlideRow]) -> None:
    """Refuse a folder without a map of a slide of the cohort or with two of one, and such a map that is none.

    Args:
        config: the whole configuration.
        rows: the manifest's rows.

    Raises:
        UserError: as said; where prototypes are scored, and the maps are not of the workflow's own making.
    """
    folder, demo = config.benchmark.region_truth, config.demo
    made = folder == f"{demo.directory}/truth" and any(demo.makes(row.path) for row in rows)
    if folder is None or made or not any(config.pretrain.run(name).uses_prototypes for name in config.pretrain.runs):
        return
    from workflow_scripts.core.truth_map import read_truth_map, require_arrays  # NumPy, for those who have maps alone

    maps = truth_maps(folder) if isdir(folder) else []
    mend = "correct benchmark.region_truth, or set it to null"
    if not maps:
        raise UserError(f"benchmark.region_truth: {folder} holds no {{slide_id}}.npz; {mend}")
    mine = list(map_of_slides(maps, {row.slide_id for row in rows}).values())
    if not mine:
        raise UserError(
            f"benchmark.region_truth: none of the {len(maps)} maps in {folder} is named by a slide of the manifest, "
            f"the first is {maps[0].name}; name each {{slide_id}}.npz, or {mend}"
        )
    for path in mine:
        require_arrays(path)
    read_truth_map(mine[0])  # of all that would take long
