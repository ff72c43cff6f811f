"""Export the last round's teacher as safetensors with its config and model card."""

import json
from pathlib import Path

from workflow_scripts import __version__
from workflow_scripts.config import PretrainRun, result_settings
from workflow_scripts.config.runs import arithmetic
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.feature_store import add_feature_arguments, feature_facts, usable_slides
from workflow_scripts.core.model_facts import model_digest
from workflow_scripts.core.model_heads import remove_heads_of_other_models
from workflow_scripts.core.tables import read_table

CARD = """# Region encoder `{run}` of cohort `{cohort}`

A ViT over {grid} x {grid} tokens of {dim_in} values (patches of {patch_px} px at {mpp} um/px), trained without labels
by {method}. It turns the patch features of a region into one vector of {dim} values.

```python
from workflow_scripts.slpd.model import RegionEncoder

encoder = RegionEncoder.load("{folder}")
vectors = {call}  # {shapes}
```

| | |
|---|---|
| pretraining cohort | `{cohort}`: {slides} slides, {regions} regions, {epochs} epochs |
| patch encoder | {encoder}, pretrained on {pretrained_on}; licence: {licence} |
| starting point | {init} |
| arithmetic | {arithmetic} |
| seed | {seed}; one training, where results of the benchmark may be the mean of several |
| tokens without tissue | {glass} |
| code | workflow {version}, digest {code} |
| settings | all in config.json, under `settings` |

Slides of a benchmark that belong to cohort `{cohort}` were seen, without labels, in pretraining.
"""


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=PretrainRun.of_step_json, required=True, help="settings, JSON")
    add_feature_arguments(parser)
    parser.add_argument("--state", required=True, help="state.safetensors of the last round")
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--cohort", required=True, help="name of the cohort")
    parser.add_argument("--treatment", type=json.loads, required=True, help="how its slides became features, JSON")
    parser.add_argument("--code", default="unknown", help="digest of the code, for the card")
    parser.add_argument("--output", required=True, help="output: model.safetensors; config and card go beside it")
    args = parse_entry(parser, argv)
    import torch

    from workflow_scripts.slpd.model import save_model
    from workflow_scripts.slpd.state import load_state

    cfg, slides = args.config, usable_slides(*args.slides)
    table = [row for path in args.slides for row in read_table(path, ["status", "n_regions"]).to_pylist()]
    regions = sum(row["n_regions"] or 0 for row in table if row["status"] == "ok")
    source = feature_facts(args.features, slides[0])
    dim, encoder = source["dim"], source["encoder"]
    state, _ = load_state(args.state, cfg, dim, torch.device("cpu"))
    model = cfg.model
    architecture = {"in_dim": dim, "positions": cfg.crops.global_size}
    architecture |= {key: getattr(model, key) for key in ("dim", "depth", "heads", "mlp_ratio")}
    training = f"{cfg.method} on cohort {args.cohort}, {len(slides)} slides, {regions} regions, no labels"
    start = f"the weights in {cfg.init}" if cfg.init else ""
    facts = {
        "architecture": architecture,
        "settings": result_settings(cfg),
        "features": source,
        "cohort": {"name": args.cohort, "slides": len(slides), "regions": regions, "stages": args.treatment},
        "pretrained_on": "; then ".join(part for part in (encoder["pretrained_on"], start, training) if part),
        "version": __version__,
        "code": args.code,
        "epochs": state.epoch,
    }
    grid = source["grid"]
    tissue = ", tissue" if cfg.mask_glass else ""
    card = CARD.format(
        run=args.run, cohort=args.cohort, grid=grid, dim_in=dim, dim=model.dim, mpp=source["mpp"], seed=cfg.seed,
        encoder=encoder["name"], patch_px=source["patch_px"], method=cfg.method, epochs=state.epoch,
        slides=len(slides), regions=regions, pretrained_on=encoder["pretrained_on"], licence=encoder["licence"],
        init=start or "random weights", glass=cfg.glass,
        arithmetic=arithmetic(cfg), version=__version__, code=args.code, folder=args.output.rsplit("/", 1)[0],
        call=f"encoder.embed(tokens, valid{tissue})",
        shapes=f"[N, {grid}, {grid}, {dim}], bool{' and tissue fraction' if tissue else ''} [N, {grid}, {grid}] "
        f"-> [N, {model.dim}]",
    )  # fmt: skip
    save_model(args.output, state.teacher.backbone, facts, card)
    folder = Path(args.output).parent
    if removed := remove_heads_of_other_models(folder, model_digest(folder)):
        log.info("heads of another training are removed: %s", ", ".join(removed))


if __name__ == "__main__":
    run_entry(main)
