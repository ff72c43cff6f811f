"""Rounds that reuse a clustering, rounds that have converged, and clusterings of another kind."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.workflow.tiny import CONFIG, changed, copy_project, planned, snakemake, write_config
from workflow_scripts.core.schemas import METRICS
from workflow_scripts.core.tables import read_meta, read_table

PRETRAIN = Path("results/tiny/pretrain")
FACTS = {"agreement", "converged", "smallest_share", "mean_smallest_share", "empty_prototypes", "feature_rank"}


def configure(project: Path, **defaults: object) -> None:
    config = CONFIG
    for key, value in defaults.items():
        config = changed(config, f"pretrain.defaults.{key}", value)
    write_config(project, config)


def folder(project: Path, number: int, run: str = "slpd") -> Path:
    return project / PRETRAIN / run / f"round_{number:02d}"


def state(project: Path, number: int) -> bytes:
    return (folder(project, number) / "state.safetensors").read_bytes()


def target(number: int, run: str = "slpd") -> str:
    return str(folder(Path(), number, run) / "state.safetensors")


def run(project: Path, *targets: str) -> str:
    result = snakemake(project, *targets)
    assert result.returncode == 0, result.stdout[-3000:]
    return result.stdout


def rounds(jobs: dict[str, int]) -> tuple[int, int, int]:
    return tuple(jobs.get(rule, 0) for rule in ("cluster_regions", "assign_neighbours", "distill_round"))


@pytest.fixture(scope="module")
def project(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(finished, tmp_path_factory.mktemp("rounds") / "tiny")


def test_clusterings_record_their_agreement_though_nobody_asked(project: Path) -> None:
    first, second = (read_meta(folder(project, n) / "assignments.parquet") for n in (1, 2))
    assert set(first) >= FACTS and set(second) >= FACTS
    assert first["agreement"] is None and -1 < second["agreement"] < 1
    assert not first["converged"] and not second["converged"]
    log = (project / "results/tiny/logs/pretrain/slpd/cluster_02.log").read_text()
    assert f"(adjusted Rand index) {second['agreement']:.4f}" in log


def test_converged_rounds_hand_the_state_on_and_others_train(project: Path) -> None:
    undisturbed = state(project, 1), state(project, 2)
    assert undisturbed[0] != undisturbed[1]

    configure(project, stop_agreement=1e-9, rounds=3)
    jobs = planned(project, target(3))
    assert rounds(jobs) == (2, 2, 2) and "warm_up" not in jobs  # round 1 has nothing to agree with
    run(project, target(3))
    assert state(project, 1) == state(project, 2) == state(project, 3) == undisturbed[0]
    facts = [read_meta(folder(project, n) / "assignments.parquet") for n in (2, 3)]
    assert [f["converged"] for f in facts] == [True, True]
    assert [f["handed_on"] for f in facts] == [False, True]
    for table in ("prototypes", "assignments", "neighbours"):
        assert read_table(folder(project, 2) / f"{table}.parquet").equals(
            read_table(folder(project, 3) / f"{table}.parquet")
        )
    for number in (2, 3):
        metrics = pq.read_table(folder(project, number) / "metrics.parquet")
        assert len(metrics) == 0 and metrics.schema.equals(METRICS)
        log = (project / f"results/tiny/logs/pretrain/slpd/distill_{number:02d}.log").read_text()
        assert "handed on" in log and "training epochs" not in log
    assert planned(project, target(3)) == {}

    configure(project, stop_agreement=1)
    assert rounds(planned(project, target(2))) == (1, 1, 1)
    configure(project)
    assert rounds(planned(project, target(2))) == (1, 1, 1)
    run(project, target(2))
    assert (state(project, 1), state(project, 2)) == undisturbed


def test_rounds_between_clusterings_have_no_jobs_of_their_own(project: Path) -> None:
    configure(project, recluster_every=2, rounds=4)
    assert rounds(planned(project, target(4), "--forceall")) == (2, 2, 4)
    assert rounds(planned(project, target(4))) == (1, 1, 3)  # the first round's are there
    run(project, target(3))
    assert read_meta(folder(project, 3) / "assignments.parquet")["agreement"] is not None  # with that of round 1
    epochs = {n: set(read_table(folder(project, n) / "metrics.parquet")["epoch"].to_pylist()) for n in (1, 2, 3)}
    assert epochs == {1: {2, 3}, 2: {4, 5}, 3: {6, 7}}
    assert rounds(planned(project, target(4))) == (0, 0, 1)
    configure(project, recluster_every=4, rounds=4)
    assert rounds(planned(project, target(4))) == (0, 0, 2)  # rounds 3 and 4 would go on with those of round 1


def test_prototypes_of_the_whole_cohort_from_backbone_features(project: Path) -> None:
    own = {"prototypes": {"level": "global", "global_count": 5, "kmeans": "spherical", "features": "backbone"}}
    write_config(project, changed(CONFIG, "pretrain.runs", {"whole": own}))
    run(project, target(1, "whole"))
    prototypes = read_table(folder(project, 1, "whole") / "prototypes.parquet").to_pylist()
    assert [row["slide_id"] for row in prototypes] == [""] * 5
    assert {len(row["vector"]) for row in prototypes} == {CONFIG["pretrain"]["defaults"]["model"]["dim"]}
    assert len(read_table(folder(project, 1, "whole") / "neighbours.parquet")) == 0
    metrics = read_table(folder(project, 1, "whole") / "metrics.parquet")
    losses = {part: sum(metrics[f"loss_{part}"].to_pylist()) for part in ("self", "intra", "inter")}
    assert losses["self"] > 0 and losses["intra"] > 0 and losses["inter"] == 0
