"""Make one synthetic slide of the demo cohort, and the map of its true tissue classes."""

from pathlib import Path

from workflow_scripts.config import Demo
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.demo.slide import find_plan, make_slide, save_truth


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--config", type=Demo.model_validate_json, required=True, help="section demo, as JSON")
    parser.add_argument("--slide", required=True, help="slide_id, demo_01 to demo_29")
    parser.add_argument("--output", type=Path, required=True, help="the slide's file")
    parser.add_argument("--truth", type=Path, required=True, help="the slide's map of classes, .npz")
    args = parse_entry(parser, argv)
    plan = find_plan(args.config.seed, args.slide)
    truth = make_slide(plan, args.config.seed, args.output)
    save_truth(args.truth, truth)
    width, height = plan.size_px
    log.info("%s: %s %s, %d x %d px at 0.5 um/px, %s", args.slide, plan.kind, plan.suffix, width, height, args.output)


if __name__ == "__main__":
    run_entry(main)
