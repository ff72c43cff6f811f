"""Write the manifest of the demo cohort."""

from pathlib import Path

from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.files import write_text
from workflow_scripts.demo.manifest import manifest_text
from workflow_scripts.demo.plan import cohort_plan


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--seed", type=int, default=7, help="seed of the cohort")
    parser.add_argument("--directory", default="resources/demo", help="folder of the slides, as the manifest names it")
    parser.add_argument("--output", type=Path, required=True, help="the manifest, slides.csv")
    args = parse_entry(parser, argv)
    plans = cohort_plan(args.seed)
    write_text(args.output, manifest_text(plans, args.directory))
    log.info("%d slides of %d patients in %s", len(plans), len({plan.patient_id for plan in plans}), args.output)


if __name__ == "__main__":
    run_entry(main)
