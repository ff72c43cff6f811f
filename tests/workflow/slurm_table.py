"""What each rule asks a cluster for, computed from rules/ and the SLURM profile, as the table of docs/slurm.md.

python -m tests.workflow.slurm_table      # brings the table in docs/slurm.md up to date
"""

import re
from typing import NamedTuple

import yaml

from tests.workflow.tiny import ROOT

PAGE = ROOT / "docs/slurm.md"
PROFILE = ROOT / "profiles/slurm/profile.v9+.yaml"
BEGIN, END = "<!-- rules: begin -->\n", "<!-- rules: end -->"
_TARGETS = {"all", "cohort", "tissue", "regions", "features", "pretrain", "embed", "benchmark", "report", "export"}


class Asked(NamedTuple):
    """Of a rule's jobs: GPUs, cores, memory in MB, time limit in minutes, and the profile's word for the partition."""

    gpu: str
    threads: str
    mem_mb: str
    runtime: str
    partition: str


def _blocks() -> dict[str, tuple[str, str | None]]:
    """Text of each rule that has jobs on a cluster, and the rule whose shell command it takes over."""
    found = {}
    for file in sorted((ROOT / "rules").glob("*.smk")):
        parts = re.split(
            r"^(?= *(?:rule|checkpoint|use rule) \w+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        for part in parts[1:]:
            head = re.match(r" *(?:rule|checkpoint|use rule) (\w+)(?: as (\w+) with)?:", part)
            if head and head[1] not in _TARGETS and "localrule: True" not in part:
                found[head[2] or head[1]] = (part, head[1] if head[2] else None)
    return found


def _value(name: str, block: str) -> str | None:
    line = re.search(rf"^ +{name}[=:] ?(.+?),?$", block, re.MULTILINE)
    return line[1] if line else None


def asked() -> dict[str, Asked]:
    """What the jobs of each rule ask for under the profile, in the order of the rules' files."""
    blocks, profile = _blocks(), yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    table = {}
    for rule, (block, base) in blocks.items():
        texts = [block, *([blocks[base][0]] if base else [])]
        own = {name: next(filter(None, (_value(name, text) for text in texts)), None) for name in Asked._fields}
        site = profile["default-resources"] | {name: value for name, value in own.items() if value}
        site |= profile["set-resources"].get(rule, {})
        gpu = {"GPU": "1", "cell_gpus": "1 for networks where `benchmark.gpu` is true"}.get(str(site.get("gpu")), "")
        numbers = [str(site[name]).replace(" * attempt", " x attempt") for name in ("mem_mb", "runtime")]
        table[rule] = Asked(gpu, str(site["threads"]), *numbers, site["slurm_partition"].removeprefix("?"))
    return table


def as_markdown() -> str:
    """The table, with a line a rule."""
    lines = ["| rule | GPUs | cores | memory, MB | time limit, min | partition |", "|---|---|---|---|---|---|"]
    lines += [f"| `{rule}` | {' | '.join(row)} |" for rule, row in sorted(asked().items())]
    return "\n".join(lines) + "\n"


def with_table(text: str) -> str:
    """The page with the present table in place of its own."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{as_markdown()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
