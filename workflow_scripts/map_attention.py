"""Write where a run's region encoder looks, patch by patch, over some slides."""

from collections.abc import Mapping

from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.feature_store import add_feature_arguments, usable_slides
from workflow_scripts.core.gpu import lease_devices
from workflow_scripts.core.spread import spread_by_class
from workflow_scripts.core.tables import read_table, write_table
from workflow_scripts.core.tensors import to_column


def choose(slide_ids: list[str], count: int, names: list[str], class_of: Mapping[str, str]) -> list[str]:
    """The slides that are named, or `count` at even distances in the order of class and id.

    Args:
        slide_ids: usable slides.
        count: slides, where none is named.
        names: ids of slides.
        class_of: class of each slide that has one.

    Raises:
        UserError: a slide that is named is not usable.
    """
    unknown = [name for name in names if name not in slide_ids]
    if unknown:
        raise UserError(f"{unknown[0]} is no usable slide of the cohort; slides.parquet lists them")
    return names or spread_by_class(slide_ids, class_of, count)


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--model", required=True, help="folder of the exported model")
    add_feature_arguments(parser)
    parser.add_argument("--count", type=int, default=4, help="slides, at even distances in the order of class and id")
    parser.add_argument("--labels", nargs="*", default=[], help="labels.parquet of a task, for the classes of slides")
    parser.add_argument("--names", nargs="*", default=[], help="ids of the slides instead")
    parser.add_argument("--output", required=True, help="attention.parquet")
    args = parse_entry(parser, argv)
    lease_devices(args.gpu)
    import torch

    from workflow_scripts.slpd.attention_maps import attention_schema, class_attention
    from workflow_scripts.slpd.model import RegionEncoder
    from workflow_scripts.slpd.tokens import open_tokens

    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    encoder = RegionEncoder.load(args.model).to(device)
    labels = [row for table in args.labels for row in read_table(table, ["slide_id", "label"]).to_pylist()]
    class_of = {row["slide_id"]: row["label"] for row in labels if row["label"] is not None}
    slides = choose(usable_slides(*args.slides), args.count, args.names, class_of)
    store, data = open_tokens(args.features, slides, device, encoder.hides_glass)

    def grid(flat: torch.Tensor) -> torch.Tensor:
        return flat.unflatten(1, (store.grid, store.grid))

    with torch.inference_mode():
        parts = [
            class_attention(encoder.backbone, grid(tokens).float(), None if data.all_valid else grid(valid)).cpu()
            for tokens, valid in data.batches(64)
        ]
    maps = torch.cat(parts).numpy()
    schema = attention_schema(*maps.shape[1:3])
    owners = [store.slide_ids[place] for place in store.slide_index]
    columns = {"slide_id": owners, "region_id": store.region_ids}
    columns["attention"] = to_column(maps, schema.field("attention"))
    write_table(args.output, columns, schema, {"model": "last block, class token"})
    log.info("attention over %d regions of %d slides", len(owners), len(store.slide_ids))


if __name__ == "__main__":
    run_entry(main)
