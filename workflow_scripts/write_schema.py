"""Write the JSON Schema of the configuration, by which an editor completes and checks my.yaml.

Editors that use yaml-language-server find it by a first line `# yaml-language-server: $schema=config.schema.json`.
"""

from pathlib import Path

from workflow_scripts.config.schema import schema_text
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.files import write_text


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("--output", type=Path, help="file to write, e.g. config.schema.json; else it is printed")
    args = parse_entry(parser, argv)
    if args.output is None:
        print(schema_text(), end="")
        return
    write_text(args.output, schema_text())
    log.info("wrote %s", args.output)


if __name__ == "__main__":
    run_entry(main)
