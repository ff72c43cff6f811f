"""Which representations there are where runs have several seeds, and where sets of prototypes are made."""

from workflow_scripts.config import load_config, stages


def test_seeds_are_a_number_or_a_list_and_name_trainings_alike():
    listed, counted = (load_config({"pretrain": {"defaults": {"seeds": seeds}}}) for seeds in ([0, 1, 2], 3))
    assert listed.trainings == counted.trainings and listed.trainings["dino"] == ["dino", "dino-seed1", "dino-seed2"]
    for name in listed.pretrain.runs:
        one, other = listed.pretrain.run(name), counted.pretrain.run(name)
        assert one.warm_up_settings() == other.warm_up_settings() and one.distill_settings() == other.distill_settings()
    defaults = {"seed": 4, "seeds": [4, 4000, 7]}
    runs = {"slpd": {}, "dino": {"seeds": [9, 7]}, "third": {"seeds": 2}, "fourth": {"seed": 1, "seeds": 1}}
    config = load_config({"pretrain": {"defaults": defaults, "runs": runs}}).pretrain
    assert {name: config.run(name).seed for name in config.runs} == {
        **{"slpd": 4, "slpd-seed1": 4000, "slpd-seed2": 7, "dino": 9, "dino-seed1": 7, "third": 4, "third-seed1": 5},
        "fourth": 1,
    }
    assert config.run("slpd-seed2").warm_up_key() == config.run("dino-seed1").warm_up_key()  # one seed, one warm-up


def test_prototypes_of_several_trainings_are_one_representation():
    raw = {"pretrain": {"runs": {"slpd": {"seeds": 3}, "dino": {"seeds": 2}}}, "embed": {"prototypes": True}}
    config = load_config(raw)
    assert config.compared == ["mean", "colour", "slpd", "dino", "slpd-prototypes"]
    assert config.trainings == stages.BY_CONFIG["collect_results"](config)["trainings"]
    assert config.trainings == {
        "slpd": ["slpd", "slpd-seed1", "slpd-seed2"],
        "dino": ["dino", "dino-seed1"],
        "slpd-prototypes": ["slpd-prototypes", "slpd-seed1-prototypes", "slpd-seed2-prototypes"],
    }
    means = {member for members in config.trainings.values() for member in members}
    assert set(config.representations) == {*config.compared, *means}  # each is embedded and fitted, and is in a mean
    assert "slpd-prototypes" not in load_config({**raw, "embed": {}}).trainings


def test_sets_are_made_of_what_is_listed_and_all_trainings_of_it():
    embed = {"baselines": ["mean", "std"], "prototypes": ["std", "dino", "slpd"]}
    config = load_config({"pretrain": {"runs": {"dino": {"seeds": 2}}}, "embed": embed})
    sets = {f"{name}-prototypes": name for name in ("std", "dino", "dino-seed1", "slpd")}
    assert config.prototype_sets == sets and set(config.representations) >= set(sets)
    assert config.trainings["dino-prototypes"] == ["dino-prototypes", "dino-seed1-prototypes"]
    told = stages.BY_CONFIG["collect_results"](config)["sets"]
    assert told == {name: of for name, of in sets.items() if name != "dino-seed1-prototypes"}
    assert load_config({"embed": {"prototypes": []}}).prototype_sets == {}


def test_only_what_brings_no_clustering_is_clustered_and_by_its_own_settings():
    own = {"count": 3, "min_regions": 9, "iterations": 10, "restarts": 5, "kmeans": "euclidean"}
    runs = {"dino": {"seed": 5, "prototypes": {"count": 3, "min_regions": 9}}}
    config = load_config({"pretrain": {"runs": runs}, "embed": {"prototypes": ["mean", "slpd", "dino"]}})
    defaults = config.pretrain.defaults.prototypes
    assert stages.set_settings(config, "slpd") == {"count": defaults.count}
    assert stages.set_settings(config, "dino") == {"count": 3, "cluster": own, "seed": 5}
    mean = stages.set_settings(config, "mean")
    assert (mean["cluster"]["count"], mean["cluster"]["min_regions"]) == (defaults.count, defaults.min_regions)


SETS = {"embed": {"prototypes": ["mean"]}}


def test_sets_have_heads_of_their_own_and_no_part_in_a_kind_without():
    tasks = {"t": {"kind": "classification", "label": "a"}, "s": {"kind": "survival", "time": "b", "event": "c"}}
    heads = {"classification": ["logistic", "matching_knn"]}
    own = {"classification": ["matching_logistic", "knn", "matching_knn"], "survival": []}
    config = load_config({**SETS, "benchmark": {"tasks": tasks, "heads": heads, "set_heads": own}})
    assert stages.cells_of(config, "t", "mean") == ["vectors"]
    assert stages.cells_of(config, "t", "mean-prototypes") == ["vectors", "sets"]
    heads_of = {
        (cell, name): list(stages.cell_settings(config, "t", cell, name)["heads"])
        for cell, name in (("vectors", "mean"), ("vectors", "mean-prototypes"), ("sets", "mean-prototypes"))
    }
    assert list(heads_of.values()) == [["logistic"], ["knn"], ["matching_logistic", "matching_knn"]]
    assert "mean-prototypes" in config.representations_of("t") and "mean-prototypes" in stages.retrieved(config, "t")
    assert "mean-prototypes" not in config.representations_of("s")
    without = load_config({**SETS, "benchmark": {"tasks": tasks, "heads": heads}})
    assert stages.cells_of(without, "s", "mean-prototypes") == stages.cells_of(without, "s", "mean")
