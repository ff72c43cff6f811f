"""A small cohort whose labels one of two representations carries, and the benchmark's commands on it."""

import json

import numpy as np

from workflow_scripts import collect_results, fit_head, split_patients
from workflow_scripts.config import HeadSettings
from workflow_scripts.core import schemas
from workflow_scripts.core.heads import HEADS
from workflow_scripts.core.tables import read_table, write_table

SUBTYPE = {"kind": "classification", "label": "subtype"}
SURVIVAL = {"kind": "survival", "time": "days", "event": "dead"}
N_PATIENTS = 24


def make_cohort(folder):
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


def split_cohort(folder, task=SUBTYPE, **settings):
    config = json.dumps({"task": task, "folds": 3, "seed": 0, **settings})
    files = ["--manifest", f"{folder}/slides.csv", "--slides", f"{folder}/slides.parquet"]
    files += ["--labels", f"{folder}/labels.parquet", "--output", f"{folder}/splits.parquet"]
    split_patients.main(["--config", config, "--task", "t", *files])
    return folder / "splits.parquet"


def _settings(head):
    """The default ones, but of the networks only `abmil` takes as many steps as they would."""
    return HeadSettings().of(head) | ({} if HEADS[head].light or head == "abmil" else {"batch_size": 5})


def attention_of(predictions):
    """The table that is written with one of predictions."""
    return predictions.with_name(f"{predictions.stem}-attention.parquet")


def fit_heads(folder, *heads, representation="good", output=None, folders=None, memory_mb=None, **settings):
    output = output or folder / f"{representation}-{heads[0]}.parquet"
    known = {head: _settings(head) for head in heads}
    config = json.dumps({"heads": known, "seed": 0, **settings})
    files = ["--labels", f"{folder}/labels.parquet", "--splits", f"{folder}/splits.parquet"]
    embeddings = [f"{folder}/{name}" for name in folders or [representation]]
    options = ["--representation", representation, "--embeddings", *embeddings, "--output", str(output), "--gpu", "0"]
    options += ["--attention", str(attention_of(output))]
    options += [] if memory_mb is None else ["--memory-mb", str(memory_mb)]
    fit_head.main(["--config", config, *files, *options])
    return output


def collect(folder, *predictions, compare=(("good", "mean"),), retrieval=(), **settings):
    primary = {"classification": "logistic", "ordinal": "logistic", "survival": "cox"}
    config = json.dumps({"compare": compare, "primary": primary, **settings})
    log, pairs = folder / "collect.log", folder / "comparisons.parquet"
    options = ["--output", f"{folder}/results.parquet", "--comparisons", str(pairs), "--log", str(log)]
    options += ["--sets", f"{folder}/sets.parquet"]
    more = ["--retrieval", *map(str, retrieval)]
    collect_results.main(["--config", config, "--predictions", *map(str, predictions), *more, *options])
    return read_table(folder / "results.parquet").to_pylist(), read_table(pairs).to_pylist(), log.read_text()


def copy_embeddings(folder, name, saw, zero=False):
    """Embeddings of another name, whose pretraining saw some slides; `zero` takes their content away."""
    for table in ("regions", "slides"):
        rows = read_table(folder / "good" / f"{table}.parquet").to_pylist()
        rows = [row | {"vector": [0.0] * 6} if zero else row for row in rows]
        schema = schemas.REGION_EMBEDDINGS if table == "regions" else schemas.SLIDE_EMBEDDINGS
        write_table(folder / name / f"{table}.parquet", rows, schema, {"pretrained_on": "a fold", "saw": saw})
