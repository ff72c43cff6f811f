"""What a plan costs, and what is asked for by name: slides as empty files, for a dry run opens none."""

from pathlib import Path

import pytest

from tests.benchmarks.dry_run import make_cohort
from tests.workflow.tiny import ROOT, snakemake

LENGTHS = """
include: "{root}/Snakefile"
of_rules = [rule.wildcard_constraints for rule in workflow.rules]
print("LENGTHS", {{k: len(v) for every in (workflow.wildcard_constraints, *of_rules) for k, v in every.items()}})
"""


def lengths(folder: Path, slides: int) -> str:
    """Length of the text that constrains each wildcard."""
    folder.mkdir()
    make_cohort(folder, slides, shards=2)
    (folder / "plan.smk").write_text(LENGTHS.format(root=ROOT))
    result = snakemake(
        folder, "--list", "--snakefile", str(folder / "plan.smk"), "--configfile", str(folder / "my.yaml")
    )
    return next(line for line in result.stdout.splitlines() if line.startswith("LENGTHS"))


def test_no_constraint_grows_with_the_number_of_slides(tmp_path: Path) -> None:
    """Each pattern of a file holds the text of its constraints, and each job goes through the patterns."""
    few = lengths(tmp_path / "few", 60)
    assert "'slide': " in few
    assert lengths(tmp_path / "many", 600) == few


@pytest.mark.parametrize("name", ["nobody", "TCGA-10-00000-01Z-00-DX1.svs"])
def test_a_slide_that_no_row_has_is_told_by_its_name(tmp_path: Path, name: str) -> None:
    make_cohort(tmp_path, 60, shards=1)
    result = snakemake(tmp_path, f"results/large/check/{name}.parquet", "-n", "--configfile", str(tmp_path / "my.yaml"))
    assert result.returncode != 0
    assert f"no row of slides.csv has the slide_id {name}" in result.stdout
