"""Configurations of new slides: what the model brings along, and what may not be said beside it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from workflow_scripts.config import Config, load_config
from workflow_scripts.config.apply import TRAINED, require_no_training, require_own_results, with_model
from workflow_scripts.config.model_folder import FOR_NEW_SLIDES
from workflow_scripts.config.stages import section_settings, treatment_settings
from workflow_scripts.core.errors import UserError

DIGEST = "ab" * 32
OF_MODEL = {"model_sha256": "cd" * 32}
COHORT = {
    "cohort": {"name": "old"},
    "slides": {"mpp_max": 3.0},
    "tissue": {"method": "clam", "preset": "tcga"},
    "regions": {"patch_px": 64, "grid": 4, "mpp": 1.0},
    "features": {"model": "efficientnet_lite0", "encoder": "lite0", "precision": "float32"},
    "pretrain": {"defaults": {"crops": {"global_size": 3, "local_size": 2}, "seeds": 2}},
}


@pytest.fixture
def model(tmp_path, monkeypatch) -> str:
    """A model's folder; the working directory is empty otherwise."""
    monkeypatch.chdir(tmp_path)
    config = Config.model_validate(COHORT)
    (tmp_path / "model").mkdir()
    facts = {
        "architecture": {},
        **OF_MODEL,
        "settings": config.pretrain.run("slpd").model_dump(mode="json"),
        "features": {"grid": 4, "encoder": {"weights_sha256": DIGEST}},
        "cohort": {"name": "old", "stages": treatment_settings(config)},
    }
    for name in FOR_NEW_SLIDES:
        (tmp_path / "model" / name).touch()
    save_file({"round": np.zeros(1)}, tmp_path / "model/clustering.safetensors", OF_MODEL)
    (tmp_path / "model/config.json").write_text(json.dumps(facts))
    return "model"


def raw(model: str, **sections: object) -> dict:
    return {"apply": {"model": model, "manifest": "new.csv"}, **sections}


def test_new_slides_are_treated_as_the_models_cohort_was(model):
    old, new = Config.model_validate(COHORT), load_config(raw(model))
    for section in ("tissue", "regions"):
        assert section_settings(new, section) == section_settings(old, section)
    assert section_settings(new, "slides") == section_settings(old, "slides") | {"mpp_of_regions": 1.0}
    assert treatment_settings(new)["features"] == treatment_settings(old)["features"] | {"weights_sha256": DIGEST}
    assert (new.cohort.name, new.cohort.manifest, new.apply.neighbours) == ("applied", "new.csv", 5)
    assert new.pretrain.run("slpd").crops == old.pretrain.run("slpd").crops and "slpd2" not in new.pretrain.runs


def test_keys_of_this_machine_and_of_this_run_are_the_users(model):
    features = {"weights": "here.pth", "shards": 1, "batch_size": 3, "hub_folder": "hub"}
    new = load_config(raw(model, features=features, slides={"give_up_s": 5}, cohort={"name": "mine"}))
    assert {key: getattr(new.features, key) for key in features} == features
    assert (new.slides.give_up_s, new.cohort.name) == (5, "mine")
    assert load_config(raw(model, regions={"mpp": 1.0})).regions.grid == 4  # said again, and the same


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"regions": {"mpp": 0.5}}, r"regions.mpp is 0\.5, and the cohort of the model in model was made with 1\.0"),
        ({"features": {"model": "uni"}}, "features.model is 'uni', .* 'efficientnet_lite0'"),
        (
            {"features": {"weights_sha256": "0" * 64}},
            "features.weights_sha256 is '000.*; leave features.weights_sha256",
        ),
        ({"tissue": {"method": "saturation"}}, "tissue.method is 'saturation'"),
        ({"slides": {"mpp_of_regions": 2.0}}, "slides.mpp_of_regions is 2.0"),
        ({"slides": {"mpp_from_objective": True}}, "slides.mpp_from_objective is True"),
        ({"pretrain": {"defaults": {}}}, "pretrain is set, and apply trains and tests nothing"),
        ({"benchmark": {"folds": 2}}, "benchmark is set"),
        ({"cohort": {"manifest": "slides.csv"}}, "cohort.manifest is set beside apply.manifest"),
        ({"cohort": {"test_manifest": "slides.csv"}}, "cohort.test_manifest is set"),
        ({"apply": {"model": "model"}}, "apply has no manifest"),
        ({"apply": {"manifest": "new.csv"}}, "apply has no model"),
        ({"apply": {"model": "nowhere", "manifest": "new.csv"}}, "nowhere/config.json is missing"),
        ({"apply": {"model": "model", "manifest": "new.csv", "k": 3}}, r"apply\.k"),
        ({"apply": {"model": 3, "manifest": "new.csv"}}, "apply has no model"),
        ({"features": "uni"}, "features is 'uni'; write keys of features with a value each"),
        ({"features": ["uni"]}, r"features is \['uni'\]; write keys"),
        ({"cohort": "new"}, "cohort is 'new'; write keys of cohort"),
    ],
)
def test_what_is_said_otherwise_is_refused_by_its_key(model, sections, told):
    with pytest.raises(UserError, match=told):
        load_config(raw(model, **sections))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda facts: facts["settings"].update(new_key=1), "unknown key new_key.* the model by 0.9"),
        (lambda facts: facts.pop("settings"), "has no settings of the model's training"),
        (lambda facts: facts.update(settings=[]), "has no settings of the model's training"),
        (lambda facts: facts.pop("features"), "does not say by which features"),
        (lambda facts: facts["features"].pop("grid"), "has no usable features.grid"),
        (lambda facts: facts["features"].update(encoder="uni"), "has no usable features.encoder"),
        (lambda facts: facts["cohort"]["stages"].pop("regions"), "has no usable cohort.stages.regions"),
        (lambda facts: facts["cohort"]["stages"]["regions"].pop("mpp"), "has no usable cohort.stages.regions.mpp"),
        (lambda facts: facts["cohort"]["stages"].update(tissue=3), "has no usable cohort.stages.tissue"),
    ],
)
def test_a_model_whose_facts_are_damaged_is_told_in_a_sentence(model, spoil, told):
    facts = json.loads(Path(model, "config.json").read_text()) | {"version": "0.9"}
    spoil(facts)
    Path(model, "config.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=f"model/config.json.*{told}"):
        load_config(raw(model))


def test_files_of_another_training_are_refused_before_anything_is_encoded(model):
    (Path(model) / "heads").mkdir()
    (Path(model) / "heads/grade.json").write_text(json.dumps(OF_MODEL))
    load_config(raw(model))
    for told in (None, "0" * 64):
        (Path(model) / "heads/grade.json").write_text(json.dumps({"model_sha256": told}))
        with pytest.raises(UserError, match=r"model/heads/grade\.json belongs to another training"):
            load_config(raw(model))
    (Path(model) / "heads/grade.json").unlink()
    save_file({"round": np.zeros(1)}, Path(model) / "clustering.safetensors", {"model_sha256": "0" * 64})
    with pytest.raises(UserError, match=r"model/clustering\.safetensors belongs to another training .*target embed"):
        load_config(raw(model))
    facts = json.loads(Path(model, "config.json").read_text())
    del facts["model_sha256"]
    Path(model, "config.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="has no SHA-256 of the model, as it was exported by an earlier version"):
        load_config(raw(model))


@pytest.mark.parametrize("name", [name for name in FOR_NEW_SLIDES if name != "config.json"])
def test_a_folder_that_lacks_a_file_is_refused_before_anything_is_encoded(model, name):
    Path(model, name).unlink()
    with pytest.raises(UserError, match=f"model/{name} is missing: .* run the workflow of its cohort again"):
        load_config(raw(model))


def test_a_model_without_prototypes_is_refused_before_anything_is_encoded(model):
    facts = json.loads(Path(model, "config.json").read_text())
    facts["settings"]["loss"] |= {"intra_weight": 0, "inter_weight": 0}
    Path(model, "config.json").write_text(json.dumps(facts))
    Path(model, "prototypes.parquet").unlink()
    with pytest.raises(UserError, match="the model in model was trained without prototypes of slides"):
        load_config(raw(model))


def test_a_configuration_without_a_model_is_as_it_was():
    for given in ({}, {"apply": None}, {"apply": {"model": None, "manifest": None, "neighbours": 3}}):
        assert with_model(given) is given


def test_a_target_that_trains_is_refused_and_all_others_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snakefile = (Path(__file__).resolve().parents[3] / "Snakefile").read_text(encoding="utf-8")
    targets = re.findall(r"^rule (\w+):", snakefile, flags=re.MULTILINE)
    others = {"all", "apply", "cohort", "tissue", "regions", "features", "export"}
    assert {*targets} == {*TRAINED} | others  # of a new target it is to be said whether it trains
    require_no_training(["-n", "--configfile", "new.yaml", *others, "results/new/slides.parquet"], "results/new")
    for name in TRAINED:
        with pytest.raises(UserError, match=f"the target {name} trains or .* ask for apply"):
            require_no_training(["--cores", "1", name, "--configfile", "new.yaml"], "results/new")
    (tmp_path / "report").mkdir()
    require_no_training(["--directory", "report"], "results/new")


def test_a_file_that_needs_training_is_refused_and_all_others_are_not(model):
    others = ("slides.parquet", "applied/shard_0.parquet", "export/lite0/index.parquet")
    require_no_training([f"results/new/{name}" for name in others] + ["results/old/report.html"], "results/new")
    for name in ("report.html", "benchmark/results.parquet", "pretrain/slpd/model/config.json", "qupath/index.parquet"):
        with pytest.raises(UserError, match=f"the file ./results/new/{name} trains or needs what is trained"):
            require_no_training(["-n", f"./results/new/{name}"], "results/new")


def test_new_slides_are_not_put_among_the_results_of_a_trained_cohort(model, tmp_path):
    require_own_results("new")
    (tmp_path / "results/old/pretrain").mkdir(parents=True)
    with pytest.raises(UserError, match=r"results/old holds a cohort that was trained on.*another cohort\.name"):
        require_own_results("old")
