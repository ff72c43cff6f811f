"""A plausible results folder, small and quick to make: 24 slides of which 4 are excluded, two runs, four tasks."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from workflow_scripts.config import PretrainRun
from workflow_scripts.core import schemas
from workflow_scripts.core.tables import read_meta, read_table, write_table
from workflow_scripts.mil.metrics.survival import brier_times, brier_without_skill
from workflow_scripts.mil.predictions import PREDICTIONS
from workflow_scripts.mil.results import Cell, comparison_rows, mean_cells, result_rows, score_cells

WIDTH, HEIGHT, SIDE = 1120, 840, 70
REPRESENTATIONS = ["mean", "colour", "slpd", "dino"]
AGAIN = ["slpd-seed1"]  # another training of slpd
TRAININGS = {"slpd": ["slpd", "slpd-seed1"], "dino": ["dino"]}
SKILL = {"mean": 0.2, "colour": 0.1, "slpd": 2.9, "dino": 2.0, "slpd-seed1": 2.7}
TRAINED = {
    "mean": "nothing beyond the encoder (ImageNet-1k)",
    "colour": "nothing",
    "slpd": "this cohort, without labels",
    "slpd-seed1": "this cohort, without labels",
    "dino": "this cohort, without labels",
}
PERMUTED = "subtype-permuted"
TASKS = {
    "subtype": {"kind": "classification", "label": "subtype"},
    PERMUTED: {"kind": "classification", "label": "subtype", "permuted": True},
    "grade": {"kind": "ordinal", "label": "grade", "classes": ["G1", "G2", "G3"]},
    "survival": {"kind": "survival", "time": "days", "event": "dead"},
}
CLASSES = {
    "subtype": ["adeno", "squamous"],
    PERMUTED: ["adeno", "squamous"],
    "grade": ["G1", "G2", "G3"],
    "survival": [],
}
HEADS = {"subtype": ["logistic", "abmil"], PERMUTED: ["logistic"], "grade": ["logistic"], "survival": ["cox"]}
PRIMARY = {"classification": "logistic", "ordinal": "logistic", "survival": "cox"}
PAIRS = [("slpd", "dino"), ("slpd", "mean"), ("dino", "mean"), ("slpd", "colour")]
FAMILY = {"subtype": "histology", "grade": "histology"}
BUDGETS = {"subtype": ["all"], PERMUTED: ["all"], "grade": ["all", "50%"], "survival": ["all"]}
SEEDS = {"abmil": 2}
FAILURE = "ValueError: the predictions of 3 of 15 fits are no finite numbers"
PATIENTS, REPEATS = 32, 2
HAZARD = np.random.default_rng(5).normal(size=PATIENTS)
TIME = np.random.default_rng(6).exponential(900 * np.exp(-HAZARD)) + 5
EVENT = np.random.default_rng(7).random(PATIENTS) < 0.7
TIMES = brier_times(TIME, EVENT)
EXCLUDED = {
    "s20": ("no_mpp", "the file records no scale; give it in the column mpp of the manifest"),
    "s21": ("unreadable_file", "the file is truncated; copy it again"),
    "s22": ("no_tissue", "nothing is above the threshold; check tissue.method"),
    "s23": ("unreadable_fraction", "31 % of the patches could not be read <b>& more</b>"),
}
RUNS = {
    "slpd": PretrainRun(warmup_epochs=3, rounds=4, schedule_epochs=10),
    "dino": PretrainRun(warmup_epochs=3, rounds=4, schedule_epochs=10, loss={"intra_weight": 0, "inter_weight": 0}),
}
_INKS = np.array([[226, 160, 196], [150, 96, 168], [236, 196, 214], [196, 90, 120]], float)


def config_json(**changes) -> str:
    """The value of `--config`."""
    settings = {
        "report": {"title": "SLPD cohort report", "example_slides": 3},
        "cohort": "demo",
        "representations": REPRESENTATIONS,
        "runs": {name: run.model_dump(mode="json") for name, run in RUNS.items()},
        "run_rounds": {name: 4 for name in RUNS},
        "warm_ups": {name: f"warm_up_{run.warm_up_key()}" for name, run in RUNS.items()},
        "tasks": TASKS,
        "encoder": "efficientnet_lite0",
    }
    return json.dumps(settings | changes)


def _picture(random) -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """A slide-like picture, its tissue mask and its map of four textures."""
    fields = [gaussian_filter(random.standard_normal((HEIGHT // 10, WIDTH // 10)), 9) for _ in range(4)]
    classes = np.kron(np.argmax(fields, axis=0), np.ones((10, 10), int))
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    wobble = np.kron(gaussian_filter(random.standard_normal((HEIGHT // 10, WIDTH // 10)), 6), np.ones((10, 10)))
    tissue = ((x - WIDTH / 2) / 480) ** 2 + ((y - HEIGHT / 2) / 340) ** 2 + 6 * wobble < 1
    grain = gaussian_filter(random.standard_normal((HEIGHT, WIDTH)), 1.5)[..., None] * 60
    rgb = np.where(tissue[..., None], _INKS[classes] + grain, 244.0)
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8)), tissue, classes


def _regions(slide_id, tissue):
    rows = []
    for row, col in np.ndindex(HEIGHT // SIDE, WIDTH // SIDE):
        share = float(tissue[row * SIDE : (row + 1) * SIDE, col * SIDE : (col + 1) * SIDE].mean())
        if share >= 0.3:
            rows.append(
                {"slide_id": slide_id, "region_id": f"{row}_{col}", "x": col * SIDE, "y": row * SIDE, "size_x": SIDE}
                | {"size_y": SIDE, "grid_row": row, "grid_col": col, "tissue_fraction": share, "patch_tissue": [share]}
            )
    return rows


def _slides(root: Path, random) -> tuple[list[dict], dict[str, list[dict]], dict[str, np.ndarray]]:
    slides, regions, truth = [], {}, {}
    for number in range(24):
        slide_id = f"s{number:02d}"
        reason, detail = EXCLUDED.get(slide_id, ("", ""))
        path = root / "source" / f"{slide_id}.png"
        picture, tissue, classes = _picture(random)
        regions[slide_id] = [] if reason else _regions(slide_id, tissue)
        for folder in (path.parent, root / "tissue"):
            folder.mkdir(parents=True, exist_ok=True)
        if not reason and slide_id != "s03":  # s03 has gone missing since: the report falls back on its overlay
            picture.save(path)
        overlay = picture if not reason else Image.new("RGB", (480, 160), (150, 150, 150))
        ImageDraw.Draw(overlay).rectangle((8, 8, overlay.width - 8, overlay.height - 8), outline=(0, 160, 80), width=4)
        overlay.save(root / "tissue" / f"{slide_id}.png")
        write_table(root / f"regions/{slide_id}.parquet", regions[slide_id], schemas.REGIONS)
        truth[slide_id] = classes
        slides.append(
            {"slide_id": slide_id, "patient_id": f"p{number * 2 // 3:02d}", "path": str(path), "vendor": "plain-image"}
            | {
                "width": WIDTH,
                "height": HEIGHT,
                "levels": 1,
                "mpp_x": None if reason == "no_mpp" else 0.2525 + number / 1e4,
            }
            | {"mpp_y": None if reason == "no_mpp" else 0.2525 + number / 1e4, "mpp_source": "" if reason else "aperio"}
            | {"status": "excluded" if reason else "ok", "reason": reason, "detail": detail}
            | {"tissue_mm2": None if reason else 31.5 + number, "n_regions": len(regions[slide_id])}
            | {"unreadable_fraction": None if reason else number / 900}
        )
    write_table(root / "slides.parquet", slides, schemas.SLIDES, {"code": "0a1b2c3d4e5f"})
    return slides, regions, truth


def _metrics(root: Path, random) -> None:
    for run, settings in RUNS.items():
        parts = [(f"warm_up_{settings.warm_up_key()}", 0, 60)]
        parts += [(f"{run}/round_{n:02d}", 40 + 20 * n, 20) for n in range(1, 5)]
        for folder, first, count in parts:
            step = np.arange(first, first + count)
            own = 6 + 5 * np.exp(-step / 50) + random.normal(0, 0.08, count)
            extra = (4 + 3 * np.exp(-(step - 60) / 40)) * (run == "slpd" and first > 0)
            columns = {name: np.full(count, 0.5) for name in schemas.METRICS.names}
            columns |= {"epoch": step // 20, "step": step, "loss": own + 1.8 * extra, "loss_self": own}
            columns |= {"loss_intra": extra, "loss_inter": 0.8 * extra, "lr": 1e-3 * np.minimum(1, step / 40)}
            columns |= {"teacher_entropy": 3 + 6 * np.exp(-step / 60)}
            write_table(root / f"pretrain/{folder}/metrics.parquet", pa.table(columns), schemas.METRICS)


def _prototypes(root: Path, random, regions, truth) -> None:
    prototypes, assignments, neighbours, textures = [], [], [], []
    good = [s for s, rows in regions.items() if rows]
    for index, slide_id in enumerate(good):
        own = [
            int(np.bincount(truth[slide_id][r["y"] : r["y"] + SIDE, r["x"] : r["x"] + SIDE].ravel()).argmax())
            for r in regions[slide_id]
        ]
        own = [k if random.random() < 0.9 else int(random.integers(4)) for k in own]
        for region, k in zip(regions[slide_id], own, strict=True):
            keys = {"slide_id": slide_id, "region_id": region["region_id"]}
            assignments.append(keys | {"prototype": k, "similarity": float(random.uniform(0.6, 0.99))})
        for k in range(4):
            prototypes.append({"slide_id": slide_id, "prototype": k, "n_regions": own.count(k), "vector": [1.0, 0.0]})
        neighbours.append(
            {
                "slide_id": slide_id,
                "rank": 1,
                "neighbour_id": good[(index + 1) % len(good)],
                "similarity": 3.1 + index / 100,
            }
            | {"matching": [2, 0, 3, 1]}
        )
        scores = {"ari": float(random.uniform(0.4, 0.9)), "ari_random": float(random.normal(0, 0.02))}
        textures.append({"slide_id": slide_id, "n_regions": len(own), "n_classes": 4, **scores})
    folder = root / "pretrain/slpd/round_04"
    write_table(folder / "prototypes.parquet", prototypes, schemas.PROTOTYPES)
    write_table(folder / "assignments.parquet", assignments, schemas.ASSIGNMENTS)
    write_table(folder / "neighbours.parquet", neighbours, schemas.NEIGHBOURS)
    cohort = {"n_slides": len(textures), "n_regions": 1644, "n_classes": 4, "n_groups": 3}
    cohort |= {"ari": 0.3712, "ari_random": 0.0013, "ari_random_prototypes": 0.0231}
    write_table(root / "benchmark/textures_slpd.parquet", textures, schemas.TEXTURES, {"cohort": cohort})
    shares = {"tissue": {"share": 0.8123, "chance": 0.0712, "adjusted": 0.798}}
    scored = {"n_slides": len(good), "n_regions": 1644, "truth": 0.4567, "truth_slides": len(good), **shares}
    explained = [{"run": "slpd", "clustering": name, **scored} for name in ("prototypes", "mean", "true classes")]
    write_table(root / "benchmark/explained.parquet", explained, schemas.EXPLAINED)
    for name in REPRESENTATIONS:
        rows = [{"slide_id": s, "vector": random.normal(size=192).tolist()} for s in good]
        facts = {"pretrained_on": TRAINED[name]}
        write_table(root / f"embeddings/{name}/slides.parquet", rows, schemas.SLIDE_EMBEDDINGS, facts)
        rows = [{"slide_id": a["slide_id"], "region_id": a["region_id"], "vector": [0.0] * 192} for a in assignments]
        write_table(root / f"embeddings/{name}/regions.parquet", rows, schemas.REGION_EMBEDDINGS, facts)


def _draw(task: str, representation: str, random) -> np.ndarray:
    """Scores of the patients, `[N, classes]` probabilities or `[N]` risks, of the skill of the representation."""
    if task == "survival":
        return HAZARD * SKILL[representation] + random.normal(size=PATIENTS)
    classes = len(CLASSES[task])
    skill = 0.0 if task == PERMUTED else SKILL[representation]
    logits = skill * np.eye(classes)[np.arange(PATIENTS) % classes] + random.normal(size=(PATIENTS, classes))
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def _truth(task: str) -> list[dict]:
    if task == "survival":
        return [{"time": float(t), "event": bool(e)} for t, e in zip(TIME, EVENT, strict=True)]
    return [{"label": CLASSES[task][i % len(CLASSES[task])]} for i in range(PATIENTS)]


def _splits(root: Path, task: str) -> list[dict]:
    """Deals of five folds; patient i has slide i, and those whose number ends in 0 a second one."""
    owners = [*range(PATIENTS), *range(0, PATIENTS, 10)]
    rows = []
    for budget, repeat, fold in product(BUDGETS[task], range(REPEATS), range(5)):
        deal = np.random.default_rng(repeat).permutation(PATIENTS) % 5
        for slide, patient in enumerate(owners):
            part = "test" if deal[patient] == fold else "unused" if budget != "all" and patient % 2 else "train"
            rows.append({"slide_id": f"t{slide}", "patient_id": f"q{patient}", "repeat": repeat, "fold": fold})
            rows[-1] |= {"budget": budget, "part": part}
    labels = [row.get("label") or ("event" if row["event"] else "censored") for row in _truth(task)]
    groups = {name: labels.count(name) for name in sorted(set(labels))}
    facts = {"task": task, "kind": TASKS[task]["kind"], "family": FAMILY.get(task, task), "level": "patient"}
    facts |= {"classes": CLASSES[task], "counts": groups, "n_slides": len(owners), "n_excluded": 4}
    facts |= {"excluded": {"no_label": 1, "not_usable": 3}, "splits_in_words": f"{REPEATS} x 5 folds"}
    facts["times"] = TIMES.tolist() if task == "survival" else []
    facts["brier_without_skill"] = brier_without_skill(TIME, EVENT, TIMES) if task == "survival" else None
    facts |= {"slides_of_patient": "average", "leaks": {"policy": "refuse", "splits": []}, "design": "folds"}
    facts["balanced"] = True
    write_table(root / f"benchmark/{task}/splits.parquet", rows, schemas.SPLITS, facts)
    return rows


def _predictions(task: str, head: str, scores: list[np.ndarray], splits: list[dict]) -> list[dict]:
    """Rows of predictions.parquet; `scores` has one of each seed."""
    truth, column = _truth(task), "risk" if task == "survival" else "probabilities"
    rows = []
    for split, (seed, score) in product([row for row in splits if row["part"] == "test"], enumerate(scores)):
        patient = int(split["patient_id"][1:])
        own = {key: value for key, value in split.items() if key != "part"} | truth[patient]
        shift = np.random.default_rng(split["repeat"]).normal(size=score.shape)[patient] * (
            0.02 if split["budget"] == "all" else 0.5
        )
        if column == "probabilities":
            values = np.abs(score[patient] + shift) / np.abs(score[patient] + shift).sum()
        rows.append(own | {"head": head, "seed": seed})
        rows[-1][column] = values.tolist() if column == "probabilities" else float(score[patient] + shift)
        if column == "risk":
            rows[-1]["survival"] = np.exp(-np.exp(rows[-1]["risk"]) * TIMES / np.median(TIME)).tolist()
    return rows


def _cell(root: Path, task: str, name: str, cell: str, heads: list[str], splits: list[dict], random) -> list[Cell]:
    """Write predictions.parquet of one job as `fit_head` does, and score it."""
    failures = {"abmil": dict.fromkeys(BUDGETS[task], FAILURE)} if (name, cell) == ("colour", "abmil") else {}
    rows = []
    for head in heads:
        scores = [_draw(task, name, random) for _ in range(SEEDS.get(head, 1))]
        rows += [] if head in failures else _predictions(task, head, scores, splits)
    path = root / f"benchmark/{task}/{name}/{cell}/predictions.parquet"
    split = read_meta(root / f"benchmark/{task}/splits.parquet")
    copied = ("task", "kind", "family", "level", "classes", "counts", "n_slides", "n_excluded", "excluded", "times")
    copied += ("balanced",)
    facts = {key: split[key] for key in copied} | {"splits": split["splits_in_words"], "representation": name}
    facts |= {"heads": heads, "failures": failures, "pretrained_on": TRAINED[name]}
    facts["width"] = 16
    facts["saw"] = [[split["n_slides"] if name in RUNS else 0, split["n_slides"]]]
    facts["budgets"] = {budget: {"design": "folds", "learnt_per_left": 4.0} for budget in BUDGETS[task]}
    write_table(path, rows, PREDICTIONS, facts)
    return score_cells(read_table(path), read_meta(path))


def _benchmark(root: Path, random) -> None:
    cells = []
    for task, heads in HEADS.items():
        splits = _splits(root, task)
        jobs = {"vectors": [head for head in heads if head != "abmil"], "abmil": ["abmil"]}
        for name, (cell, own) in product([*REPRESENTATIONS, *AGAIN], jobs.items()):
            if set(own) & set(heads):
                cells += _cell(root, task, name, cell, own, splits, random)
    cells = mean_cells(cells, TRAININGS)
    write_benchmark(root, result_rows(cells, PRIMARY), comparison_rows(cells, PAIRS, PRIMARY))


def with_a_clear_best(rows: list[dict], pairs: list[dict]) -> None:
    """In task subtype slpd is made the best with both heads, shown to beat the second in a pair of each."""
    values = dict(zip(REPRESENTATIONS, (0.6, 0.5, 0.9, 0.8), strict=True))
    for row in rows:
        if row["task"] == "subtype" and row["headline"] and not row["failure"]:
            row["value"] = values[row["representation"]]
    for pair in pairs:
        if pair["verdict"]:
            pair["verdict"] = "better" if (pair["first"], pair["second"]) == ("slpd", "dino") else "not shown"
            pair["verdict"] = pair["verdict"] if pair["task"] == "subtype" else "not shown"


def write_benchmark(root: Path, rows: list[dict], pairs: list[dict], sets: list[dict] | None = None) -> None:
    """Write results.parquet, comparisons.parquet and sets.parquet as `collect_results` does."""
    meta = {"settings": {"compare": PAIRS, "primary": PRIMARY, "trainings": TRAININGS}}
    write_table(root / "benchmark/results.parquet", rows, schemas.RESULTS, meta)
    write_table(root / "benchmark/comparisons.parquet", pairs, schemas.COMPARISONS, meta)
    write_table(root / "benchmark/sets.parquet", sets or [], schemas.SETS, meta)


def make_results(root: Path, seed: int = 0) -> None:
    """Write the results folder."""
    random = np.random.default_rng(seed)
    _, regions, truth = _slides(root, random)
    _metrics(root, random)
    _prototypes(root, random, regions, truth)
    _benchmark(root, random)
