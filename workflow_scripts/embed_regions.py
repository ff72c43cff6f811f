"""Embed regions and slides with the exported teacher of a pretraining run."""

import json

from workflow_scripts.core.embeddings import save_embeddings, seen_facts
from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.feature_digest import kept_result
from workflow_scripts.core.feature_store import add_feature_arguments, usable_slides
from workflow_scripts.core.gpu import lease_devices


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--model", required=True, help="folder of the exported model")
    add_feature_arguments(parser)
    parser.add_argument("--pretrained", required=True, help="slides.parquet of what the run was pretrained on")
    parser.add_argument("--code", default="", help="digest of the code, for keeping the result")
    parser.add_argument("--regions-output", required=True, help="output: regions.parquet")
    parser.add_argument("--slides-output", required=True, help="output: slides.parquet")
    args = parse_entry(parser, argv)
    pretrained, outputs = usable_slides(args.pretrained), [args.regions_output, args.slides_output]
    model = [f"{args.model}/{name}" for name in ("model.safetensors", "config.json")]
    kept = kept_result(args, json.dumps(pretrained), model, outputs)
    if kept.take_back():
        return
    lease_devices(args.gpu)
    import torch

    from workflow_scripts.slpd.model import RegionEncoder
    from workflow_scripts.slpd.session import open_session

    encoder = RegionEncoder.load(args.model)
    session = open_session(args, encoder.hides_glass)
    store, encoder = session.store, encoder.to(session.device)

    def grid(flat: torch.Tensor) -> torch.Tensor:
        return flat.unflatten(1, (store.grid, store.grid))

    vectors = torch.cat(
        [
            encoder.embed_visible(grid(tokens), None if session.data.all_valid else grid(valid)).cpu()
            for tokens, valid in session.data.batches(256)
        ]
    ).numpy()
    save_embeddings(
        *(args.regions_output, args.slides_output, vectors, store.slide_ids, store.counts, store.region_ids),
        encoder.facts["pretrained_on"],
        seen=seen_facts(pretrained, store.slide_ids),
    )
    kept.keep()


if __name__ == "__main__":
    run_entry(main)
