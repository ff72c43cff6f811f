"""Embed regions and slides with the exported teacher of a pretraining run."""

from workflow_scripts.core.embeddings import save_embeddings
from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.feature_store import add_feature_arguments
from workflow_scripts.core.gpu import lease_devices


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--model", required=True, help="folder of the exported model")
    add_feature_arguments(parser)
    parser.add_argument("--regions-output", required=True, help="output: regions.parquet")
    parser.add_argument("--slides-output", required=True, help="output: slides.parquet")
    args = parse_entry(parser, argv)
    lease_devices(args.gpu)
    from workflow_scripts.slpd.model import RegionEncoder
    from workflow_scripts.slpd.session import open_session

    session = open_session(args)
    store, data = session.store, session.data
    encoder = RegionEncoder.load(args.model).to(session.device)
    valid = None if bool(data.valid.all()) else data.valid.unflatten(1, (store.grid, store.grid))
    vectors = encoder.embed(data.tokens.unflatten(1, (store.grid, store.grid)), valid).numpy()
    outputs = (args.regions_output, args.slides_output)
    save_embeddings(*outputs, vectors, store.slide_ids, store.counts, store.region_ids, encoder.facts["pretrained_on"])


if __name__ == "__main__":
    run_entry(main)
