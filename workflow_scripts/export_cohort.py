"""Write a cohort's patch features in the layouts of TRIDENT and CLAM, as the workflow's target `export` does."""

from pathlib import Path

from workflow_scripts import export_features
from workflow_scripts.config import Export, Regions
from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.tables import read_meta


def features_folder(results: Path, encoder: str | None) -> Path:
    """Folder of the features of an encoder, or of the only one that there is.

    Raises:
        UserError: there is none, or several to choose from.
    """
    found = sorted(index.parent for index in results.glob("features/*/shard_0.parquet"))
    names = [folder.name for folder in found]
    if encoder in names or (encoder is None and len(names) == 1):
        return found[names.index(encoder or names[0])]
    if not names:
        raise UserError(f"{results} holds no features/*/shard_0.parquet; give the results folder of a cohort")
    raise UserError(f"{results} holds features of {', '.join(names)}; give one of them as --encoder")


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("results", type=Path, help="results folder of the cohort, such as results/mycohort")
    parser.add_argument("--formats", nargs="+", default=["trident"], choices=sorted(export_features.WRITERS))
    parser.add_argument("--encoder", help="folder under features/, where there are several")
    parser.add_argument("--output", type=Path, help="folder to write; by default export/{encoder} of the results")
    args = parse_entry(parser, argv)
    features = features_folder(args.results, args.encoder)
    output = args.output or args.results / "export" / features.name
    regions = read_meta(features / "shard_0.parquet").get("regions", {})  # none where another tool made the features
    options = {
        "--config": Export(formats=args.formats).model_dump_json(),
        "--regions-config": Regions.model_validate(regions).model_dump_json(),
        "--features": features,
        "--regions-folder": args.results / "regions",
        "--slides": args.results / "slides.parquet",
        "--output": output / "index.parquet",
    }
    export_features.main([str(word) for option in options.items() for word in option])


if __name__ == "__main__":
    run_entry(main)
