"""Settings of a pretraining run: what each step depends on, and by what finished steps are known."""

import json

import pytest

from workflow_scripts.config import PretrainRun, load_config


def test_run_takes_its_overrides_and_the_defaults_for_the_rest():
    raw = {"defaults": {"seed": 5, "loss": {"teacher_temp": 0.07}}, "runs": {"a": {"loss": {"intra_weight": 0.5}}}}
    run = load_config({"pretrain": raw}).pretrain.run("a")
    assert (run.seed, run.loss.teacher_temp, run.loss.intra_weight, run.loss.inter_weight) == (5, 0.07, 0.5, 1.0)


def run(**over) -> PretrainRun:
    return PretrainRun.model_validate(over)


@pytest.mark.parametrize(
    "over",
    [
        {"loss": {"intra_weight": 0}},
        {"loss": {"intra_weight": 0, "inter_weight": 0}},
        {"loss": {"inter_weight": 2.5}},
        {"prototypes": {"count": 2, "min_regions": 16}},
        {"prototypes": {"mask_glass": True, "min_tissue": 0.5, "others": "none", "adjust": "tissue"}},
        {"neighbours": {"count": 3, "matching": "argmax"}},
        {"rounds": 5},
        {"rounds": 20, "epochs_per_round": 2},
    ],
)
def test_runs_that_differ_after_the_warm_up_share_it(over):
    assert run(**over).warm_up_key() == run().warm_up_key()


@pytest.mark.parametrize(
    "over",
    [
        {"optimiser": {"lr": 0.001}},
        {"seed": 1},
        {"model": {"depth": 3}},
        {"head": {"out_dim": 1024}},
        {"crops": {"flip": 0.0}},
        {"crops": {"min_tissue": 0.5}},
        {"loss": {"teacher_temp": 0.07}},
        {"warmup_epochs": 20},
        {"schedule_epochs": 200},
    ],
)
def test_runs_that_differ_in_the_warm_up_have_their_own(over):
    assert run(**over).warm_up_key() != run().warm_up_key()


RUNS = [
    {},
    {"loss": {"intra_weight": 0, "inter_weight": 0}},
    {"warmup_epochs": 100, "rounds": 3, "epochs_per_round": 7, "schedule_epochs": 121, "seed": 9},
    {"prototypes": {"count": 16, "min_regions": 16, "view": "full"}, "neighbours": {"count": 4}},
    {"prototypes": {"weighting": "tissue", "others": "none"}, "crops": {"min_tissue": 0.4}},
    {"prototypes": {"mask_glass": False}},
    {"model": {"dim": 8, "heads": 2}, "crops": {"global_size": 3, "local_size": 2}, "optimiser": {"lr": 0.3}},
]
# what each step's code reads of its settings
READS = {
    "warm_up_settings": ["seed", "model", "head", "crops", "optimiser", "warmup_epochs", "schedule_epochs"],
    "cluster_settings": ["seed", "model", "head", "crops", "prototypes"],
    "distill_settings": [
        "seed", "model", "head", "crops", "optimiser", "loss", "warmup_epochs", "epochs_per_round", "schedule_epochs",
    ],
}  # fmt: skip


@pytest.mark.parametrize("over", RUNS)
@pytest.mark.parametrize("step", READS)
def test_settings_of_a_step_are_a_run_that_keeps_what_it_reads(step, over):
    whole = run(**over)
    part = PretrainRun.of_step_json(json.dumps(getattr(whole, step)()))
    for key in READS[step]:
        assert getattr(part, key) == getattr(whole, key), key
    if step == "warm_up_settings":
        for key in ("teacher_temp", "student_temp", "center_momentum"):
            assert getattr(part.loss, key) == getattr(whole.loss, key)


@pytest.mark.parametrize("step", READS)
def test_settings_of_a_step_ignore_how_many_rounds_follow(step):
    assert getattr(run(rounds=5), step)() == getattr(run(rounds=50), step)()


def test_what_a_step_is_named_by_is_as_before_keys_were_added_that_ask_for_nothing():
    """Warm-ups and results that users have stay: a key that asks for what was done before is not among the settings."""
    assert set(run().warm_up_settings()["crops"]) == {
        "global_size",
        "global_count",
        "local_size",
        "local_count",
        "flip",
    }
    younger = {"mask_glass", "min_tissue", "others", "weighting", "adjust"}
    seen = {"mask_glass": False}
    assert not younger & set(run(prototypes=seen).cluster_settings()["prototypes"])
    named = run(prototypes=seen | {"min_tissue": 0.2}).cluster_settings()["prototypes"]
    assert younger & set(named) == {"min_tissue"}
    assert younger & set(run().cluster_settings()["prototypes"]) == {"mask_glass"}, "the default changed since"


def test_settings_that_lack_younger_keys_mean_what_was_done_before_them():
    """Those of a model that was exported before glass was hidden where regions are clustered, say."""
    told = run(prototypes={"count": 3}).model_dump(mode="json")
    del told["prototypes"]["mask_glass"], told["loss"]["soft_temp"]
    read = PretrainRun.of_step(told)
    assert read.prototypes.count == 3 and not read.prototypes.mask_glass and read.loss.soft_temp == 0
    assert run().prototypes.mask_glass


LATER = {
    "loss": ({"neighbour_temp": 0.05, "soft_temp": 0.1}, "distill_settings"),
    "prototypes": ({"momentum": 0.9}, "cluster_settings"),
}


@pytest.mark.parametrize("section", LATER)
def test_keys_that_came_later_change_no_settings_until_they_are_used(section):
    keys, step = LATER[section]
    for key, value in keys.items():
        base, used = run(), run(**{section: {key: value}})
        assert key not in getattr(base, step)()[section]
        assert getattr(used, step)()[section][key] == value
        assert used.warm_up_settings() == base.warm_up_settings()
        others = {"cluster_settings", "distill_settings"} - {step}
        assert all(getattr(used, other)() == getattr(base, other)() for other in others)


@pytest.mark.parametrize("seen", [{"view": "full"}, {"mask_glass": False}])
def test_a_mixture_depends_on_what_is_seen_of_regions_where_they_are_clustered(seen):
    one, other = (run(loss={"soft_temp": 0.1}, prototypes=over) for over in ({}, seen))
    assert one.distill_settings() != other.distill_settings()
    assert run(prototypes=seen).distill_settings() == run().distill_settings()


def test_clustering_ignores_the_optimiser_and_distillation_the_prototypes():
    base = run()
    assert run(optimiser={"lr": 0.1}, loss={"inter_weight": 3}).cluster_settings() == base.cluster_settings()
    changed = run(prototypes={"count": 2}, neighbours={"count": 2})
    assert changed.distill_settings() == base.distill_settings()
    assert changed.cluster_settings() != base.cluster_settings()
