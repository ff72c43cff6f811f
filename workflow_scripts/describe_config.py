"""Tell the keys of the configuration: type, default, meaning, and the rules that an edit runs again.

With --file, write the tables of config/README.md instead, and config.schema.json beside it, so that neither goes stale.
"""

from pathlib import Path
from typing import Any

from workflow_scripts.config.reruns import Key, config_keys
from workflow_scripts.config.schema import schema_text
from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.files import write_text

BEGIN, END = "<!-- keys: begin -->", "<!-- keys: end -->"


def type_name(schema: dict[str, Any]) -> str:
    """A value's type and limits in words."""
    if "anyOf" in schema:
        return " or ".join(type_name(one) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        inner = type_name(schema.get("items") or schema["prefixItems"][0])
        return f"list of {schema['maxItems']} x {inner}" if "maxItems" in schema else f"list of {inner}"
    words = {
        "string": "text",
        "integer": "integer",
        "number": "number",
        "boolean": "true or false",
        "object": "mapping",
    }
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return " ".join([words.get(schema["type"], schema["type"]), ", ".join(limits)]).strip()


def meaning(key: Key) -> str:
    """A key's description on one line."""
    return " ".join(key.schema["description"].split())


def listing(part: str) -> str:
    """The keys whose name holds `part`, three lines each.

    Raises:
        UserError: there is none.
    """
    keys = [key for key in config_keys() if part in key.name]
    if not keys:
        raise UserError(f"no key of the configuration has {part} in its name; leave it out to see all")
    return "\n".join(
        f"{key.name}: {type_name(key.schema)}, default {key.default}\n    {meaning(key)}\n    reruns: {key.reruns}"
        for key in keys
    )


def tables() -> str:
    """One Markdown table a section."""
    text, section = [], ""
    for key in config_keys():
        if key.name.split(".")[0] != section:
            section = key.name.split(".")[0]
            text += ["", f"### `{section}`", "", "| key | type | default | meaning | reruns |", "|---|---|---|---|---|"]
        cells = (f"`{key.name}`", type_name(key.schema), f"`{key.default}`", meaning(key), key.reruns)
        text.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*text, ""])


def replace_tables(text: str) -> str:
    """`text` with what stands between the two markers replaced by the tables.

    Raises:
        UserError: a marker is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"the file has no part between {BEGIN} and {END}; put both lines where the tables belong")
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument("part", nargs="?", default="", help="part of the keys' names, e.g. tissue; else all are told")
    parser.add_argument("--file", type=Path, help="README.md to bring up to date, with config.schema.json beside it")
    args = parse_entry(parser, argv)
    if args.file is None:
        print(listing(args.part))
        return
    write_text(args.file, replace_tables(args.file.read_text(encoding="utf-8")))
    write_text(args.file.with_name("config.schema.json"), schema_text())
    log.info("brought the tables of %s and the schema beside it up to date", args.file)


if __name__ == "__main__":
    run_entry(main)
