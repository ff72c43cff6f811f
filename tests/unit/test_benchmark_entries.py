"""split_patients, fit_head and collect_results from command line to table, and what they say about wrong input."""

import json

import numpy as np
import pyarrow.compute as pc
import pytest

from tests.unit.representations.features import write_features
from workflow_scripts import collect_results, embed_patches, fit_head, split_patients
from workflow_scripts.config import HeadSettings
from workflow_scripts.core import schemas
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.heads import HEADS, heads_for
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.core.tasks import KINDS, METRICS
from workflow_scripts.mil.heads.knn import KnnHead
from workflow_scripts.mil.predictions import PREDICTIONS
from workflow_scripts.mil.units import LABELS
from workflow_scripts.representations.patch_bags import tissue_patches

SUBTYPE = {"kind": "classification", "label": "subtype"}
SURVIVAL = {"kind": "survival", "time": "days", "event": "dead"}
N_PATIENTS = 24


def _cohort(folder):
    """24 patients, two slides for every third; one slide unusable, one unlabelled. `good` carries the class."""
    random = np.random.default_rng(0)
    lines, slides, embeddings = ["slide_id,path,patient_id,subtype,days,dead"], [], {"good": [], "mean": []}
    for patient in range(N_PATIENTS):
        subtype, days = patient % 2, 5 + 40 * (patient % 2) + patient
        for part in range(2 if patient % 3 == 0 else 1):
            name = f"s{patient}-{part}"
            label = "" if name == "s0-1" else ["luad", "lusc"][subtype]
            lines.append(f"{name},{name}.svs,p{patient},{label},{days},{int(patient % 4 != 3)}")
            usable = name != "s3-1"
            status = {"status": "ok"} if usable else {"status": "excluded", "reason": "no_tissue"}
            slides.append({"slide_id": name, "patient_id": f"p{patient}", **status})
            if usable:
                noise = random.normal(size=(4, 6))
                embeddings["good"].append((name, noise + 4 * subtype))
                embeddings["mean"].append((name, random.normal(size=(4, 6))))
    (folder / "slides.csv").write_text("\n".join(lines) + "\n")
    write_table(folder / "slides.parquet", slides, schemas.SLIDES)
    for representation, bags in embeddings.items():
        meta = {"pretrained_on": "this cohort", "saw": "all"}
        regions = [
            {"slide_id": name, "region_id": f"{name}_{i}", "vector": vector.tolist()}
            for name, bag in bags
            for i, vector in enumerate(bag)
        ]
        vectors = [{"slide_id": name, "vector": bag.mean(axis=0).tolist()} for name, bag in bags]
        write_table(folder / representation / "regions.parquet", regions, schemas.REGION_EMBEDDINGS, meta)
        write_table(folder / representation / "slides.parquet", vectors, schemas.SLIDE_EMBEDDINGS, meta)


def _split(folder, task=SUBTYPE, **settings):
    config = json.dumps({"task": task, "folds": 3, "seed": 0, **settings})
    files = ["--manifest", f"{folder}/slides.csv", "--slides", f"{folder}/slides.parquet"]
    files += ["--labels", f"{folder}/labels.parquet", "--output", f"{folder}/splits.parquet"]
    split_patients.main(["--config", config, "--task", "t", *files])
    return folder / "splits.parquet"


def _settings(head):
    """The default ones, but of the networks only `abmil` takes as many steps as they would."""
    return HeadSettings().of(head) | ({} if HEADS[head].light or head == "abmil" else {"batch_size": 5})


def _fit(folder, *heads, representation="good", output=None, folders=None, memory_mb=None, **settings):
    output = output or folder / f"{representation}-{heads[0]}.parquet"
    known = {head: _settings(head) for head in heads}
    config = json.dumps({"heads": known, "seed": 0, **settings})
    files = ["--labels", f"{folder}/labels.parquet", "--splits", f"{folder}/splits.parquet"]
    embeddings = [f"{folder}/{name}" for name in folders or [representation]]
    options = ["--representation", representation, "--embeddings", *embeddings, "--output", str(output), "--gpu", "0"]
    options += [] if memory_mb is None else ["--memory-mb", str(memory_mb)]
    fit_head.main(["--config", config, *files, *options])
    return output


def _collect(folder, *predictions, compare=(("good", "mean"),)):
    primary = {"classification": "logistic", "ordinal": "logistic", "survival": "cox"}
    config = json.dumps({"compare": compare, "primary": primary})
    log, pairs = folder / "collect.log", folder / "comparisons.parquet"
    options = ["--output", f"{folder}/results.parquet", "--comparisons", str(pairs), "--log", str(log)]
    collect_results.main(["--config", config, "--predictions", *map(str, predictions), *options])
    return read_table(folder / "results.parquet").to_pylist(), read_table(pairs).to_pylist(), log.read_text()


@pytest.fixture
def cohort(tmp_path):
    _cohort(tmp_path)
    return tmp_path


def test_splits_list_labelled_usable_slides_in_every_fold(cohort):
    path = _split(cohort, validation_fraction=0.2)
    table, meta = read_table(path), read_meta(path)
    assert table.schema.equals(schemas.SPLITS)
    assert len(table) == 3 * 30
    names = set(table["slide_id"].to_pylist())
    assert "s0-1" not in names  # no label
    assert "s3-1" not in names  # not usable
    assert meta["excluded"] == {"no_label": 1, "not_usable": 1}
    assert (meta["n_excluded"], meta["n_slides"], meta["n_patients"]) == (2, 30, 24)
    assert (meta["classes"], meta["kind"], meta["counts"]) == (
        ["luad", "lusc"],
        "classification",
        {"luad": 12, "lusc": 12},
    )
    assert set(table["part"].to_pylist()) == {"train", "val", "test"}


def test_repeats_are_further_deals_of_the_same_slides(cohort):
    rows = read_table(_split(cohort, repeats=4)).to_pylist()
    assert len(rows) == 4 * 3 * 30
    assert {(row["repeat"], row["fold"], row["budget"]) for row in rows} == {
        (repeat, fold, "all") for repeat in range(4) for fold in range(3)
    }


def test_same_seed_same_bytes(cohort):
    first = _split(cohort).read_bytes()
    assert _split(cohort).read_bytes() == first
    assert _split(cohort, seed=1).read_bytes() != first


def test_labels_are_frozen_with_the_splits(cohort):
    _split(cohort)
    table = read_table(cohort / "labels.parquet")
    assert table.schema.equals(LABELS)
    rows = {row["slide_id"]: row for row in table.to_pylist()}
    assert len(rows) == 30 and rows["s7-0"]["label"] == "lusc" and rows["s7-0"]["patient_id"] == "p7"
    assert rows["s7-0"]["time"] is None


def test_permuted_labels_are_the_same_labels_of_other_patients(cohort):
    labels = {}
    for permuted in (False, True):
        _split(cohort, SUBTYPE | {"permuted": permuted})
        rows = read_table(cohort / "labels.parquet").to_pylist()
        labels[permuted] = {row["patient_id"]: row["label"] for row in rows}
        assert len({(row["patient_id"], row["label"]) for row in rows}) == N_PATIENTS
    assert labels[True] != labels[False]
    assert sorted(labels[True].values()) == sorted(labels[False].values())


@pytest.mark.parametrize("head", [name for name in heads_for("classification") if not HEADS[name].prototypes])
def test_every_labelled_slide_is_predicted_once(cohort, head):
    splits = read_table(_split(cohort)).to_pylist()
    path = _fit(cohort, head)
    table, meta = read_table(path), read_meta(path)
    assert table.schema.equals(PREDICTIONS)
    rows = table.to_pylist()
    tested = {(row["slide_id"], row["patient_id"], row["fold"]) for row in splits if row["part"] == "test"}
    assert {(row["slide_id"], row["patient_id"], row["fold"]) for row in rows} == tested
    assert len(rows) == 30 and {row["head"] for row in rows} == {head}
    assert {key: meta[key] for key in ("task", "kind", "heads", "representation", "classes", "pretrained_on")} == {
        "task": "t",
        "kind": "classification",
        "heads": [head],
        "representation": "good",
        "classes": ["luad", "lusc"],
        "pretrained_on": "this cohort",
    }
    assert meta["failures"] == {}
    found = sum(meta["classes"][int(np.argmax(row["probabilities"]))] == row["label"] for row in rows)
    assert found >= 27


@pytest.mark.parametrize("head", ["knn", "logistic", "mean_mil"])  # networks have the same bits in `test_training.py`
def test_fitted_again_a_head_gives_the_same_bytes(cohort, head):
    _split(cohort)
    assert _fit(cohort, head).read_bytes() == _fit(cohort, head, output=cohort / "again.parquet").read_bytes()


def _copy(folder, name, saw, zero=False):
    """Embeddings of another name, whose pretraining saw some slides; `zero` takes their content away."""
    for table in ("regions", "slides"):
        rows = read_table(folder / "good" / f"{table}.parquet").to_pylist()
        rows = [row | {"vector": [0.0] * 6} if zero else row for row in rows]
        schema = schemas.REGION_EMBEDDINGS if table == "regions" else schemas.SLIDE_EMBEDDINGS
        write_table(folder / name / f"{table}.parquet", rows, schema, {"pretrained_on": "a fold", "saw": saw})


def test_embeddings_by_fold_are_each_used_in_their_fold(cohort):
    splits = read_table(_split(cohort, few_shot=[2], draws=4, train_fractions=[1.0, 0.5])).to_pylist()
    learnt = [[row["slide_id"] for row in splits if (row["part"], row["fold"]) == ("train", k)] for k in range(3)]
    folders = [f"clean-fold{fold}" for fold in range(3)]
    for fold, name in enumerate(folders):
        _copy(cohort, name, learnt[fold], zero=fold == 1)
    path = _fit(cohort, "logistic", representation="clean", folders=folders)
    meta, whole = read_meta(path), _fit(cohort, "logistic")
    tested = [len({row["slide_id"] for row in splits if (row["part"], row["fold"]) == ("test", k)}) for k in range(3)]
    assert meta["saw"] == [[0, count] for count in tested]
    assert (meta["representation"], meta["pretrained_on"]) == ("clean", "a fold (for fold 0, others alike)")
    assert read_meta(whole)["saw"] == [[count, count] for count in tested]

    def by_case(file):
        keys = ("budget", "repeat", "fold", "slide_id")
        return {tuple(row[key] for key in keys): row["probabilities"] for row in read_table(file).to_pylist()}

    found, expected = by_case(path), by_case(whole)
    assert found.keys() == expected.keys() and {key[0] for key in found} == {"all", "50%", "2/class"}
    for (budget, repeat, fold, slide), values in found.items():
        if fold == 1:  # of embeddings without content, so all alike
            same = [v for key, v in found.items() if key[:3] == (budget, repeat, fold)]
            assert all(v == pytest.approx(values) for v in same)
        else:
            assert values == expected[budget, repeat, fold, slide]
    rows, _, _ = _collect(cohort, path, whole, compare=[("clean", "good")])
    seen = {row["representation"]: (row["n_test_seen"], row["n_tested"]) for row in rows}
    assert seen == {"clean": (0, 30), "good": (30, 30)}


def test_embeddings_by_fold_that_saw_a_test_slide_are_refused(cohort):
    splits = read_table(_split(cohort)).to_pylist()
    learnt = [[row["slide_id"] for row in splits if (row["part"], row["fold"]) == ("train", k)] for k in range(3)]
    for fold in range(3):
        _copy(cohort, f"clean-fold{fold}", learnt[2 - fold])
    with pytest.raises(UserError, match="clean is pretrained for each fold, yet for fold 0 on"):
        _fit(cohort, "logistic", representation="clean", folders=[f"clean-fold{fold}" for fold in range(3)])


def test_heads_that_share_a_job_predict_what_they_predict_alone(cohort):
    _split(cohort, repeats=2)
    together = read_table(_fit(cohort, "knn", "logistic"))
    for head in ("knn", "logistic"):
        alone = read_table(_fit(cohort, head, output=cohort / "alone.parquet"))
        assert together.filter(pc.equal(together["head"], head)).equals(alone)


def test_a_patient_is_one_bag_where_the_task_says_so(cohort):
    _split(cohort, SUBTYPE | {"slides_of_patient": "bag"})
    rows = read_table(_fit(cohort, "logistic")).to_pylist()
    assert len(rows) == N_PATIENTS == len({row["patient_id"] for row in rows})
    assert {row["slide_id"] for row in rows} == {None}


def _with_patches(folder):
    """The representation `patches`, and `copies`, whose regions are the same patches in float32."""
    names = [row["slide_id"] for row in read_table(folder / "slides.parquet").to_pylist() if row["status"] == "ok"]
    store = folder / "store" / "encoder"
    write_features(store, dict.fromkeys(names, 2))
    outputs = [f"--{name}-output={folder}/patches/{name}.parquet" for name in ("regions", "slides")]
    embed_patches.main(["--features", str(store), "--slides", f"{folder}/slides.parquet", *outputs])
    (folder / "copies").mkdir()
    slides, meta = folder / "patches/slides.parquet", read_meta(folder / "patches/slides.parquet")
    write_table(folder / "copies/slides.parquet", read_table(slides), schemas.SLIDE_EMBEDDINGS, meta)
    regions = [
        {"slide_id": name, "region_id": str(number), "vector": patch.astype(np.float32).tolist()}
        for name in names
        for number, patch in enumerate(tissue_patches(store, name))
    ]
    del meta["features"]
    write_table(folder / "copies/regions.parquet", regions, schemas.REGION_EMBEDDINGS, meta)


@pytest.mark.parametrize("slides_of_patient", ["average", "bag"])
def test_patches_as_stored_give_what_their_copies_give(cohort, slides_of_patient):
    _split(cohort, SUBTYPE | {"slides_of_patient": slides_of_patient})
    _with_patches(cohort)
    for head in ("abmil", "dsmil"):
        found = [read_table(_fit(cohort, head, representation=name)) for name in ("patches", "copies")]
        assert found[0].equals(found[1]) and len(found[0]) == (24 if slides_of_patient == "bag" else 30), head


def test_patches_are_held_by_networks_alone_and_refused_where_memory_is_too_little(cohort):
    _split(cohort)
    _with_patches(cohort)
    with pytest.raises(UserError, match=r"the patches of 30 slides take 0\.0 GB in memory and the job has 0\.0 GB"):
        _fit(cohort, "mean_mil", representation="patches", memory_mb=8)
    _fit(cohort, "knn", "logistic", representation="patches", memory_mb=8)


def test_slides_have_labels_of_their_own_at_level_slide(cohort):
    manifest = cohort / "slides.csv"
    manifest.write_text(manifest.read_text().replace("s6-1,s6-1.svs,p6,luad", "s6-1,s6-1.svs,p6,lusc"))
    with pytest.raises(UserError, match="patient p6 has two values"):
        _split(cohort)
    _split(cohort, SUBTYPE | {"level": "slide"})
    rows, _, _ = _collect(cohort, _fit(cohort, "logistic"))
    assert rows[0]["level"] == "slide" and rows[0]["n_patients"] == N_PATIENTS


def test_head_seeds_are_predicted_apart_where_chance_takes_part(cohort):
    _split(cohort)
    table = read_table(_fit(cohort, "mean_mil", seeds=2))
    assert set(table["seed"].to_pylist()) == {0, 1}
    first, second = (table.filter(pc.equal(table["seed"], seed))["probabilities"].to_pylist() for seed in (0, 1))
    assert first != second
    assert set(read_table(_fit(cohort, "logistic", seeds=2))["seed"].to_pylist()) == {0}


def test_survival_from_splits_to_results(cohort):
    _split(cohort, SURVIVAL)
    files = [_fit(cohort, "cox", representation=name) for name in ("good", "mean")]
    row = read_table(files[0]).to_pylist()[0]
    assert row["label"] is None
    assert row["probabilities"] is None
    assert isinstance(row["risk"], float)
    rows, _, _ = _collect(cohort, *files)
    assert [(row["representation"], row["metric"]) for row in rows] == [
        (name, metric) for name in ("good", "mean") for metric in ("c_index", "time_dependent_auc", "integrated_brier")
    ]
    assert rows[0]["value"] > 0.6 and rows[0]["aggregation"] == "within folds"
    assert 0 < rows[2]["value"] < 0.25 and rows[2]["aggregation"] == "pooled over folds"
    times = read_meta(cohort / "splits.parquet")["times"]
    assert read_meta(files[0])["times"] == times and len(times) == 20 == len(row["survival"])
    assert row["survival"] == sorted(row["survival"], reverse=True)


@pytest.mark.parametrize("slides_of_patient", ["average", "bag"])
@pytest.mark.parametrize("loss", ["cox", "discrete_time"])
def test_networks_predict_survival_probabilities_too(cohort, loss, slides_of_patient):
    _split(cohort, SURVIVAL | {"slides_of_patient": slides_of_patient})
    settings = json.dumps({"heads": {"mean_mil": {"survival_loss": loss}}, "seed": 0})
    files = ["--labels", f"{cohort}/labels.parquet", "--splits", f"{cohort}/splits.parquet", "--gpu", "0"]
    files += ["--representation", "good", "--embeddings", f"{cohort}/good", "--output", f"{cohort}/mil.parquet"]
    fit_head.main(["--config", settings, *files])
    curves = np.array(read_table(cohort / "mil.parquet")["survival"].to_pylist())
    assert ((curves >= 0) & (curves <= 1)).all() and (np.diff(curves, axis=1) <= 0).all() and curves[:, -1].min() < 0.9
    rows, _, _ = _collect(cohort, cohort / "mil.parquet", compare=())
    assert rows[2]["metric"] == "integrated_brier" and 0 < rows[2]["value"] < 0.35


def test_times_are_of_those_who_are_tested_each_patient_once(cohort):
    """Nine tenths of the events of an external cohort, whose follow-up is shorter than that of the first."""
    lines = (cohort / "slides.csv").read_text().splitlines()
    where = ["where", *("there" if int(line.split(",")[2][1:]) < 8 else "here" for line in lines[1:])]
    (cohort / "slides.csv").write_text("\n".join(f"{line},{at}" for line, at in zip(lines, where, strict=True)) + "\n")
    _split(cohort, SURVIVAL | {"splits": {"kind": "external", "column": "where", "value": "there"}})
    tested = {p: (5 + 40 * (p % 2) + p, p % 4 != 3) for p in range(8)}
    events = sorted(days for days, dead in tested.values() if dead)
    times = read_meta(cohort / "splits.parquet")["times"]
    assert 0 < read_meta(cohort / "splits.parquet")["brier_without_skill"] < 0.25
    assert times[-1] == pytest.approx(events[5] * 19.5 / 20)  # of six events, nine tenths are the sixth


def test_ordinal_task_adds_kappa_and_keeps_the_order_of_grades(cohort):
    task = {"kind": "ordinal", "label": "subtype", "classes": ["lusc", "luad"]}
    assert read_meta(_split(cohort, task))["classes"] == ["lusc", "luad"]
    rows, _, _ = _collect(cohort, _fit(cohort, "logistic"))
    assert [row["metric"] for row in rows] == list(KINDS["ordinal"].metrics)
    assert all(row["value"] > 0.8 for row in rows if METRICS[row["metric"]].larger_is_better)


def test_results_compare_the_pairs_that_are_named(cohort):
    _split(cohort, repeats=2)
    files = [_fit(cohort, "knn", "logistic", representation=name) for name in ("good", "mean")]
    rows, pairs, log = _collect(cohort, *files)
    assert read_table(cohort / "results.parquet").schema.equals(schemas.RESULTS)
    assert read_table(cohort / "comparisons.parquet").schema.equals(schemas.COMPARISONS)
    of = {(row["representation"], row["head"], row["metric"]): row for row in rows}
    good, mean = of["good", "logistic", "auc"], of["mean", "logistic", "auc"]
    assert good["value"] > 0.9 > mean["value"]
    pair = next(row for row in pairs if row["head"] == "logistic" and row["metric"] == "auc")
    assert pair["difference"] == pytest.approx(good["value"] - mean["value"])
    assert pair["low"] > 0 and pair["verdict"] == "better" and pair["primary"]
    assert (good["n_patients"], good["n_slides"], good["n_excluded"], len(good["folds"])) == (24, 30, 2, 6)
    assert f"{good['value']:.3f} [" in log and "good is better than mean in AUC" in log


def test_without_predictions_the_tables_are_empty(cohort):
    """A cohort without a task: the rule names no file."""
    rows, pairs, log = _collect(cohort)
    assert rows == pairs == [] and "no task is named" in log
    assert read_table(cohort / "results.parquet").schema.equals(schemas.RESULTS)


def test_a_head_that_fails_costs_no_other_head_anything(cohort):
    """Cox cannot learn from classes: it stands in for any head that breaks."""
    _split(cohort)
    path = _fit(cohort, "cox", "logistic")
    assert set(read_table(path)["head"].to_pylist()) == {"logistic"}
    assert "head cox is not made for classification" in read_meta(path)["failures"]["cox"]["all"]
    rows, _, log = _collect(cohort, path)
    failed = [row for row in rows if row["head"] == "cox"]
    assert len(failed) == 1 and "not made for classification" in failed[0]["failure"] and failed[0]["value"] is None
    assert "failed: head cox" in log


def test_a_budget_in_which_a_head_fails_costs_the_other_budgets_nothing(cohort, monkeypatch):
    _split(cohort, few_shot=[2], draws=3, train_fractions=[1.0, 0.5])
    files = [_fit(cohort, "knn", "logistic", representation=name) for name in ("good", "mean")]
    rows, pairs, _ = _collect(cohort, *files)
    fit = KnnHead.fit

    def needs_more(self, train, *more):
        if len(train) < 6:
            raise UserError("too few to learn from")
        return fit(self, train, *more)

    monkeypatch.setattr(KnnHead, "fit", needs_more)
    files[0] = _fit(cohort, "knn", "logistic", output=cohort / "some.parquet")
    assert read_meta(files[0])["failures"] == {"knn": {"2/class": "too few to learn from"}}
    some, fewer, log = _collect(cohort, *files)
    failed = [row for row in some if row["failure"]]
    assert [[row[key] for key in ("representation", "head", "budget", "metric", "value")] for row in failed] == [
        ["good", "knn", "2/class", "auc", None]
    ]
    lost = ("good", "knn", "2/class")
    stand = [row for row in rows if (row["representation"], row["head"], row["budget"]) != lost]
    assert [str(row) for row in some if not row["failure"]] == [str(row) for row in stand]
    assert [str(row) for row in fewer] == [str(row) for row in pairs if (row["head"], row["budget"]) != lost[1:]]
    assert "failed: too few to learn from" in log


def test_predictions_that_are_no_numbers_are_a_failure_and_no_class(cohort, monkeypatch):
    _split(cohort)

    def spoilt(self, vectors):
        return np.full((len(vectors), 2), np.nan)

    monkeypatch.setattr("workflow_scripts.mil.heads.knn.KnnHead.predict_vectors", spoilt)
    path = _fit(cohort, "knn")
    assert len(read_table(path)) == 0
    assert (
        read_meta(path)["failures"]["knn"]["all"] == "ValueError: the predictions of 3 of 3 fits are no finite numbers"
    )


def test_missing_embedding_is_told(cohort):
    _split(cohort)
    regions = read_table(cohort / "good" / "regions.parquet").to_pylist()
    kept = [row for row in regions if row["slide_id"] != "s7-0"]
    write_table(cohort / "good" / "regions.parquet", kept, schemas.REGION_EMBEDDINGS)
    with pytest.raises(UserError, match="no embedding of slide s7-0"):
        _fit(cohort, "knn")


def test_more_folds_than_patients_of_a_class(cohort):
    with pytest.raises(UserError, match="12 usable patients with class 'luad', fewer than the 13 folds"):
        _split(cohort, folds=13)
