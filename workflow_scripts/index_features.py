"""List the imported features of all slides by shard, and leave out slides whose features differ from most others'."""

from collections import Counter
from pathlib import Path
from typing import Any

from workflow_scripts.core import schemas
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_file import slide_file
from workflow_scripts.core.manifest import read_manifest, shard_of
from workflow_scripts.core.tables import read_meta, write_table


def odd_ones(metas: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Usable slides whose features have another width or another encoder than most: slide_id and one sentence."""
    usable = {name: meta for name, meta in metas.items() if meta["status"]["status"] == "ok"}
    kinds = {name: (meta["dim"], meta["encoder"]["recorded"]) for name, meta in usable.items()}
    if not kinds:
        return {}
    common, count = Counter(kinds.values()).most_common(1)[0]

    def told(kind: tuple[int, str]) -> str:
        return f"{kind[0]} wide" + (f" and of {kind[1]}" if kind[1] else "")

    return {
        name: f"its features are {told(kind)}, those of {count} of {len(kinds)} slides {told(common)}; extract all "
        "with one encoder"
        for name, kind in kinds.items()
        if kind != common
    }


def index_row(slide_id: str, meta: dict[str, Any], odd: str | None) -> dict[str, Any]:
    """Row of `core.schemas.FEATURE_INDEX`."""
    status = {"slide_id": slide_id, "status": "excluded", "reason": "bad_features", "detail": odd}
    return {
        **(status if odd else meta["status"]),
        "file": f"slides/{slide_id}.parquet",
        "n_regions": 0 if odd else meta["n_regions"],
        **{key: meta[key] for key in ("n_patches", "unreadable_fraction", "tissue_mm2")},
        "patches_per_s": None,
    }


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="slides.csv")
    parser.add_argument("--features", type=Path, required=True, help="folder features/{encoder}")
    parser.add_argument("--outputs", type=Path, nargs="+", required=True, help="an index a shard")
    args = parse_entry(parser, argv)
    slide_ids = [row.slide_id for row in read_manifest(args.manifest)]
    lost = [name for name in slide_ids if not slide_file(args.features, name).is_file()]
    if lost:
        raise UserError(f"{slide_file(args.features, lost[0])} does not exist; run import_features for {lost[0]}")
    metas = {name: read_meta(slide_file(args.features, name)) for name in slide_ids}
    odd = odd_ones(metas)
    for name, why in odd.items():
        log.warning("slide %s is excluded: bad_features, %s", name, why)
    for shard, output in enumerate(args.outputs):
        mine = [name for name in slide_ids if shard_of(name, len(args.outputs)) == shard]
        rows = [index_row(name, metas[name], odd.get(name)) for name in mine]
        facts = {"slides": {name: metas[name]["slide"] for name in mine}}
        write_table(output, rows, schemas.FEATURE_INDEX, facts)


if __name__ == "__main__":
    run_entry(main)
