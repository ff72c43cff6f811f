"""The commands of a round hand the options of prototypes and targets on to what computes them."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from tests.faults.round_commands import COUNTS, RULES, command, settings, write_cohort
from workflow_scripts.core.tables import read_table

TRAINED = {"warmup_epochs": 1, "epochs_per_round": 1, "optimiser": {"lr": 0.01, "lr_warmup_epochs": 0}}


def run(rule: str, folder: Path, given: Path, to: Path, more: tuple[str, ...] = (), **changes) -> Path:
    """Run a rule's command with inputs of `given`; its folder of outputs."""
    arguments = command(rule, settings(**TRAINED, **changes), folder, given, to).arguments
    if more:
        place = arguments.index("--previous")
        arguments[place + 1 : place + 1] = more
    importlib.import_module(f"workflow_scripts.{rule}").main(arguments)
    return to / rule


@pytest.fixture(scope="module")
def round_one(tmp_path_factory):
    folder = write_cohort(tmp_path_factory.mktemp("cohort"))
    for rule in RULES:
        run(rule, folder, folder / "one", folder / "one", neighbours={"count": 3})
    return folder


def vectors(path: Path) -> np.ndarray:
    """`[S, M, d]`."""
    table = read_table(path / "prototypes.parquet")
    return np.array(table["vector"].to_pylist()).reshape(len(COUNTS) - 1, -1, len(table["vector"][0]))


def test_clusterings_follow_the_one_before(round_one):
    """Of the same state as the clustering before: what is new is the seed of k-means, so prototypes match closely."""
    before = [str(round_one / "one/cluster_regions" / f"{name}.parquet") for name in ("prototypes", "assignments")]
    momentum = {"prototypes": {"momentum": 0.75}}
    given = round_one / "one"
    alone = vectors(run("cluster_regions", round_one, given, round_one / "alone"))
    first = vectors(run("cluster_regions", round_one, given, round_one / "first", **momentum))
    np.testing.assert_array_equal(first, alone)  # there is none before
    moved = vectors(run("cluster_regions", round_one, given, round_one / "moved", tuple(before), **momentum))
    # they are those of the clustering before themselves, which is their own best match
    np.testing.assert_allclose(moved, alone, atol=1e-6)
    turned = -vectors(given / "cluster_regions")
    assert not np.allclose(turned, moved)


@pytest.mark.parametrize("loss", [{"soft_temp": 0.1}, {"neighbour_temp": 0.01}, {"proto_center": "sinkhorn"}])
def test_rounds_distil_what_the_options_say(round_one, loss):
    metrics = {}
    for name, own in (("plain", {}), ("changed", loss)):
        path = run("distill_round", round_one, round_one / "one", round_one / f"{name}{next(iter(loss))}", loss=own)
        metrics[name] = read_table(path / "metrics.parquet").to_pylist()[0]  # later the teachers differ
    changed = {key for key in ("entropy_intra", "entropy_inter") if metrics["plain"][key] != metrics["changed"][key]}
    assert changed == ({"entropy_inter"} if "neighbour_temp" in loss else {"entropy_intra", "entropy_inter"})
    assert np.isfinite([value for value in metrics["changed"].values()]).all()
