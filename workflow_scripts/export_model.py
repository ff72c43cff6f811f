"""Export the last round's teacher as safetensors with its config and model card."""

from workflow_scripts import __version__
from workflow_scripts.config import PretrainRun
from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry
from workflow_scripts.core.feature_store import add_feature_arguments, feature_facts, usable_slides
from workflow_scripts.core.tables import read_table

CARD = """# Region encoder `{run}` of cohort `{cohort}`

A ViT over {grid} x {grid} tokens of {dim_in} values ({encoder}, patches of {patch_px} px at {mpp} um/px),
trained without labels by {method} for {epochs} epochs on {slides} slides ({regions} regions) of cohort `{cohort}`.
Slides of the benchmark that belong to this cohort were seen, without labels, in pretraining.

    from workflow_scripts.slpd.model import RegionEncoder
    vectors = RegionEncoder.load("{folder}").embed(tokens, valid)  # [N, {grid}, {grid}, {dim_in}] -> [N, {dim}]

Patch encoder: {pretrained_on}. Workflow version {version}. All settings are in config.json.
"""


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=PretrainRun.model_validate_json, required=True, help="settings, JSON")
    add_feature_arguments(parser)
    parser.add_argument("--state", required=True, help="state.safetensors of the last round")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--cohort", required=True, help="name of the cohort")
    parser.add_argument("--output", required=True, help="output: model.safetensors; config and card go beside it")
    args = parse_entry(parser, argv)
    import torch

    from workflow_scripts.slpd.model import save_model
    from workflow_scripts.slpd.state import load_state

    cfg, slides = args.config, usable_slides(args.slides)
    regions = sum(n or 0 for n in read_table(args.slides, ["n_regions"])["n_regions"].to_pylist())
    source = feature_facts(args.features, slides[0])
    dim, encoder = source["dim"], source["encoder"]
    state, _ = load_state(args.state, cfg, dim, torch.device("cpu"))
    model = cfg.model
    architecture = {"in_dim": dim, "positions": cfg.crops.global_size, "drop_path": 0.0}
    architecture |= {key: getattr(model, key) for key in ("dim", "depth", "heads", "mlp_ratio")}
    method = "SLPD (DINO with slide-level prototypes)" if cfg.uses_prototypes else "self-distillation (DINO)"
    training = f"{method} on cohort {args.cohort}, {len(slides)} slides, {regions} regions, no labels"
    facts = {
        "architecture": architecture,
        "settings": cfg.model_dump(mode="json"),
        "features": source,
        "pretrained_on": f"{encoder['pretrained_on']}; then {training}",
        "version": __version__,
        "epochs": state.epoch,
    }
    card = CARD.format(
        run=args.run, cohort=args.cohort, grid=source["grid"], dim_in=dim, dim=model.dim, mpp=source["mpp"],
        encoder=encoder["name"], patch_px=source["patch_px"], method=method, epochs=state.epoch,
        slides=len(slides), regions=regions, pretrained_on=encoder["pretrained_on"], version=__version__,
        folder=args.output.rsplit("/", 1)[0],
    )  # fmt: skip
    save_model(args.output, state.teacher.backbone, facts, card)


if __name__ == "__main__":
    run_entry(main)
