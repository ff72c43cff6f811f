"""Say what an exported model takes and gives, what it was trained on, and under which licence its encoder stands.

The model is loaded on the way, so that a damaged one is told. Needs torch, numpy and safetensors alone.
"""

import json
from pathlib import Path
from typing import Any

from workflow_scripts.core.entry import entry_parser, parse_entry, run_entry

_UNKNOWN = "not recorded"


def description(facts: dict[str, Any], parameters: int, hides_glass: bool) -> dict[str, str]:
    """What a person wants to know of a region encoder, by headings.

    Args:
        facts: its config.json; what that does not record is told so.
        parameters: how many the network has.
        hides_glass: whether it was trained without the tokens that hold no tissue.
    """
    network, features = facts["architecture"], facts.get("features", {})
    encoder = features.get("encoder", {})
    grid, patch_px, mpp = (features.get(name, _UNKNOWN) for name in ("grid", "patch_px", "mpp"))
    tissue = ", and each patch's fraction of tissue" if hides_glass else ""
    return {
        "takes": f"features [regions, {grid}, {grid}, {network['in_dim']}] of the patches of square regions{tissue}",
        "scale": f"patches of {patch_px} px at {mpp} um/px",
        "patch encoder": encoder.get("name", _UNKNOWN),
        "its licence": encoder.get("licence", _UNKNOWN),
        "gives": f"vectors [regions, {network['dim']}]",
        "network": f"ViT of {network['depth']} blocks, {network['heads']} heads, {parameters:,} parameters",
        "trained on": facts.get("pretrained_on", _UNKNOWN),
        "epochs": str(facts.get("epochs", _UNKNOWN)),
        "code": f"slpd-workflow {facts.get('version', _UNKNOWN)}, digest {facts.get('code', _UNKNOWN)}",
    }


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("folder", type=Path, help="the model, e.g. results/demo/pretrain/slpd/model")
    parser.add_argument("--settings", action="store_true", help="print all settings of its training too, as JSON")
    args = parse_entry(parser, argv)
    from workflow_scripts.slpd.model import RegionEncoder

    encoder = RegionEncoder.load(args.folder)
    parameters = sum(value.numel() for value in encoder.backbone.parameters())
    rows = description(encoder.facts, parameters, encoder.hides_glass)
    print(f"region encoder in {args.folder}\n")
    print("\n".join(f"  {name:14} {text}" for name, text in rows.items()))
    if args.settings:
        print(f"\n{json.dumps(encoder.facts.get('settings', {}), indent=2)}")


if __name__ == "__main__":
    run_entry(main)
