"""A plausible results folder, small and quick to make: 24 slides of which 4 are excluded, two runs, three tasks."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from lifelines.utils import concordance_index
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from sklearn.metrics import accuracy_score, cohen_kappa_score, roc_auc_score

from workflow_scripts.config import PretrainRun
from workflow_scripts.core import schemas
from workflow_scripts.core.tables import write_table
from workflow_scripts.mil.predictions import PREDICTIONS

WIDTH, HEIGHT, SIDE = 1120, 840, 70
REPRESENTATIONS = ["mean", "colour", "slpd", "dino"]
SKILL = {"mean": 0.9, "colour": 0.3, "slpd": 2.6, "dino": 1.2}
TRAINED = {
    "mean": "nothing beyond the encoder (ImageNet-1k)",
    "colour": "nothing",
    "slpd": "this cohort, without labels",
    "dino": "this cohort, without labels",
}
TASKS = {
    "subtype": {"kind": "classification", "label": "subtype"},
    "grade": {"kind": "ordinal", "label": "grade", "classes": ["G1", "G2", "G3"]},
    "survival": {"kind": "survival", "time": "days", "event": "dead"},
}
CLASSES = {"subtype": ["adeno", "squamous"], "grade": ["G1", "G2", "G3"], "survival": []}
HEADS = {"subtype": ["knn", "logistic"], "grade": ["logistic"], "survival": ["cox"]}
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
    write_table(root / "benchmark/textures_slpd.parquet", textures, schemas.TEXTURES)
    for name in REPRESENTATIONS:
        rows = [{"slide_id": s, "vector": [0.0] * 192} for s in good]
        write_table(
            root / f"embeddings/{name}/slides.parquet", rows, schemas.SLIDE_EMBEDDINGS, {"pretrained_on": TRAINED[name]}
        )
        rows = [{"slide_id": a["slide_id"], "region_id": a["region_id"], "vector": [0.0] * 192} for a in assignments]
        write_table(root / f"embeddings/{name}/regions.parquet", rows, schemas.REGION_EMBEDDINGS)


def _values(task: str, truth: np.ndarray, score: np.ndarray) -> dict[str, float]:
    if task == "survival":
        return {"c_index": concordance_index(truth[:, 0], -score, truth[:, 1])}
    if task == "grade":
        return {"quadratic_kappa": cohen_kappa_score(truth, score.argmax(1), weights="quadratic")}
    return {"auc": roc_auc_score(truth, score[:, 1]), "accuracy": accuracy_score(truth, score.argmax(1))}


def _predict(task: str, representation: str, n: int, random) -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores of `n` patients: the truth is the same for all representations."""
    fixed = np.random.default_rng(5)
    if task == "survival":
        hazard = fixed.normal(size=n)
        time, event = fixed.exponential(900 * np.exp(-hazard)) + 5, fixed.random(n) < 0.7
        return np.stack([time, event], 1), hazard * SKILL[representation] + random.normal(size=n)
    truth = np.arange(n) % len(CLASSES[task])
    logits = SKILL[representation] * np.eye(len(CLASSES[task]))[truth] + random.normal(size=(n, len(CLASSES[task])))
    return truth, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def _benchmark(root: Path, random) -> list[dict]:
    n, results = 60, []
    draws = np.random.default_rng(1).integers(0, n, (100, n))
    for task, head in [(name, head) for name, heads in HEADS.items() for head in heads]:
        resampled = {}
        for name in REPRESENTATIONS:
            truth, score = _predict(task, name, n, random)
            survival = task == "survival"
            rows = [
                {"slide_id": f"t{i}", "patient_id": f"q{i}", "fold": i % 5}
                | ({"time": truth[i, 0], "event": bool(truth[i, 1]), "risk": score[i]} if survival else {})
                | ({} if survival else {"label": CLASSES[task][truth[i]], "probabilities": score[i].tolist()})
                for i in range(n)
            ]
            meta = {"classes": CLASSES[task], "kind": TASKS[task]["kind"]}
            write_table(root / f"benchmark/{task}/{name}/{head}/predictions.parquet", rows, PREDICTIONS, meta)
            pooled = _values(task, truth, score)
            samples = [_values(task, truth[d], score[d]) for d in draws]
            folds = [_values(task, truth[k::5], score[k::5]) for k in range(5)]
            for metric, value in pooled.items():
                boot = np.array([s[metric] for s in samples])
                resampled[name, metric] = (value, boot)
                low, high = np.quantile(boot, [0.025, 0.975])
                row = {
                    "task": task,
                    "kind": TASKS[task]["kind"],
                    "representation": name,
                    "pretrained_on": TRAINED[name],
                }
                row |= {"head": head, "metric": metric, "pooled": value, "ci_low": low, "ci_high": high}
                row |= {"folds": [f[metric] for f in folds], "n_patients": n, "n_slides": n, "n_excluded": 4}
                row |= {"mean": np.mean(row["folds"]), "sd": np.std(row["folds"], ddof=1)}
                if name != "mean":
                    base, base_boot = resampled["mean", metric]
                    low, high = np.quantile(boot - base_boot, [0.025, 0.975])
                    row |= {
                        "baseline": "mean",
                        "difference": value - base,
                        "difference_low": low,
                        "difference_high": high,
                    }
                results.append(row)
    write_table(root / "benchmark/results.parquet", results, schemas.RESULTS)
    return results


def make_results(root: Path, seed: int = 0) -> None:
    """Write the results folder."""
    random = np.random.default_rng(seed)
    _, regions, truth = _slides(root, random)
    _metrics(root, random)
    _prototypes(root, random, regions, truth)
    _benchmark(root, random)
