"""Runs that are pretrained for each fold of a task: their trainings, names and cost, and what is refused."""

import pytest

from workflow_scripts.config import load_config
from workflow_scripts.config.stages import warm_up_folder
from workflow_scripts.core.errors import UserError

ONCE = {"kind": "classification", "label": "grade", "splits": {"repeats": 1}}
OTHER = {"kind": "classification", "label": "subtype"}


def _config(clean, tasks=None, **more):
    return load_config(
        {
            "pretrain": {"runs": {"clean": clean}},
            "benchmark": {"tasks": tasks or {"once": ONCE, "other": OTHER}, "folds": 3},
            **more,
        }
    )


def test_a_training_for_each_fold_and_one_representation():
    config = _config({"train_only": "once", "rounds": 5})
    assert list(config.pretrain.runs) == ["slpd", "dino", "clean-fold0", "clean-fold1", "clean-fold2"]
    assert config.pretrain.named == ["slpd", "dino", "clean"]
    runs = [config.pretrain.run(f"clean-fold{fold}") for fold in range(3)]
    assert [(run.train_only, run.fold, run.rounds) for run in runs] == [("once", fold, 5) for fold in range(3)]
    assert config.representations == config.compared == ["mean", "colour", "slpd", "dino", "clean"]
    assert config.embeddings_of("clean") == [f"clean-fold{fold}" for fold in range(3)]
    assert config.embeddings_of("slpd") == ["slpd"]
    assert "clean" in config.representations_of("once") and "clean" not in config.representations_of("other")
    assert ("clean", "dino") not in config.pairs and ("clean", "mean") in config.pairs


def test_trainings_share_a_warm_up_where_their_slides_are_the_same():
    runs = {"clean": {"train_only": "once"}, "clean_dino": {"train_only": "once", "loss": {"intra_weight": 0}}}
    config = load_config({"pretrain": {"runs": runs}, "benchmark": {"tasks": {"once": ONCE}, "folds": 2}})
    folder = {name: warm_up_folder(config.pretrain.run(name)) for name in config.pretrain.runs}
    assert len(set(folder.values())) == 3
    assert folder["slpd"] == folder["dino"]
    assert folder["clean-fold0"] == folder["clean_dino-fold0"] != folder["clean-fold1"]


def test_what_a_run_does_not_set_leaves_its_warm_up_where_it_was():
    settings = _config({"train_only": "once"}).pretrain.run("slpd").warm_up_settings()
    assert not {"train_only", "fold"} & settings.keys()


def test_one_split_is_one_training():
    external = {**ONCE, "splits": {"kind": "external", "column": "site", "value": "A"}}
    config = _config({"train_only": "once"}, {"once": external})
    assert config.pretrain.by_fold == {"clean": ["clean-fold0"]}


def test_all_runs_at_once_by_the_defaults():
    config = load_config(
        {"pretrain": {"defaults": {"train_only": "once"}}, "benchmark": {"tasks": {"once": ONCE}, "folds": 2}}
    )
    assert config.pretrain.named == ["slpd", "dino"] and len(config.pretrain.runs) == 4


def test_prototypes_of_runs_by_fold_are_no_representation():
    config = _config({"train_only": "once"}, embed={"prototypes": True})
    assert config.prototype_sets == {"slpd-prototypes": "slpd"}
    with pytest.raises(UserError, match=r"embed\.prototypes: clean is trained for each fold, and its prototypes are"):
        _config({"train_only": "once"}, embed={"prototypes": ["clean"]})


@pytest.mark.parametrize(
    ("clean", "tasks", "words"),
    [
        ({"train_only": "onc"}, None, "pretrain run clean: train_only: onc is none of benchmark.tasks (once, other)"),
        ({"train_only": "other"}, None, "the folds of other are dealt 10 times, and each would be pretrained for"),
        ({"train_only": "other"}, None, "splits.repeats: 1, for 3 pretrainings"),
        (
            {"train_only": "once"},
            {"once": {**ONCE, "splits": {"kind": "leave_one_out", "column": "site"}}},
            "train_only takes splits of kind folds, external or column, and once has leave_one_out",
        ),
        (
            {"train_only": "once"},
            {"once": {**ONCE, "splits": {"kind": "external"}}},
            "once tests cohort.test_manifest, which no run is pretrained on; drop it",
        ),
        ({"train_only": "once", "seeds": 2}, None, "train_only and seeds above 1 are not offered together"),
        (
            {"train_only": "once-permuted"},
            {"once": {**ONCE, "permutation_control": True}},
            "train_only: the labels of once-permuted are dealt by chance; name the task of which it is the control",
        ),
        ({"train_only": "once", "fold": 1}, None, "run clean: fold is set by train_only"),
    ],
)
def test_what_cannot_be_trained_by_fold(clean, tasks, words):
    with pytest.raises(UserError) as error:
        _config(clean, tasks, cohort={"test_manifest": "theirs.csv"})
    assert words in str(error.value) and "\n" not in str(error.value)


def test_names_of_its_trainings_are_taken():
    runs = {"clean": {"train_only": "once"}, "clean-fold1": {}}
    with pytest.raises(UserError, match="clean-fold1 is the name of a training of clean for one fold; rename it"):
        load_config({"pretrain": {"runs": runs}, "benchmark": {"tasks": {"once": ONCE}}})
