"""The planted cohorts of `tests.benchmarks.context`: what they hide, what they show, and how it is measured."""

import json
from collections import Counter
from itertools import combinations_with_replacement, pairwise

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

from tests.benchmarks.context import measures, table
from tests.benchmarks.context.__main__ import Todo, parsed, run
from tests.benchmarks.context.cohort import CLASSES, Planted, arranged, plant, strip
from tests.benchmarks.context.training import explained, majorities
from tests.benchmarks.context.variants import SIZES, VARIANTS, run_settings

SCATTERED, ROWS, NESTS, FRONT, RIM = range(len(CLASSES))


def types_of(number: int, count: int = 200, grid: int = 8, types: int = 2, disorder: float = 0.0) -> np.ndarray:
    return arranged(np.full(count, number), grid, types, disorder, np.random.default_rng(number))


@pytest.mark.parametrize("number", range(len(CLASSES)))
@pytest.mark.parametrize(("types", "grid", "disorder"), [(2, 8, 0.0), (2, 7, 0.5), (3, 8, 0.2), (3, 16, 1.0)])
def test_types_have_equal_shares_of_every_region(number, types, grid, disorder):
    found = types_of(number, 50, grid, types, disorder)
    counts = np.stack([(found == t).sum(axis=(1, 2)) for t in range(types)])
    assert (counts.max(axis=0) - counts.min(axis=0) <= 1).all()
    assert (counts.sum(axis=0) == grid * grid).all()


def alike(found: np.ndarray) -> np.ndarray:
    """Share of the pairs of tokens side by side that are of one type, `[n]`."""
    across, down = found[:, :, 1:] == found[:, :, :-1], found[:, 1:] == found[:, :-1]
    return (across.mean(axis=(1, 2)) + down.mean(axis=(1, 2))) / 2


def test_arrangements_are_what_they_are_named():
    shares = [alike(types_of(number)).mean() for number in range(len(CLASSES))]
    assert shares[SCATTERED] == pytest.approx(31 / 63, abs=0.01)  # of two drawn from 32 and 32
    assert shares[SCATTERED] + 0.1 < min(shares[1:])
    assert shares[FRONT] == max(shares)
    row, column = (x.ravel() for x in np.indices((8, 8)))
    line, circle = np.c_[row, column], np.c_[row, column, row**2 + column**2]
    for number, places, fits in ((FRONT, line, True), (RIM, line, False), (RIM, circle, True), (NESTS, circle, False)):
        apart = [LogisticRegression(C=1e6, max_iter=10_000).fit(places, t.ravel()) for t in types_of(number, 10)]
        right = [m.score(places, t.ravel()) for m, t in zip(apart, types_of(number, 10), strict=True)]
        assert (min(right) == 1) == fits
    # stripes of two tokens: a token four steps along the stripes' direction of change is of its type again
    spectrum = np.abs(np.fft.fft2(types_of(ROWS, 200, 16) - 0.5)).reshape(200, -1)
    wave = np.fft.fftfreq(16)
    peak = np.unravel_index(spectrum.argmax(axis=1), (16, 16))
    assert np.hypot(wave[peak[0]], wave[peak[1]]) == pytest.approx(0.25, abs=0.06)


def test_disorder_moves_its_share_of_the_tokens():
    kept = alike(types_of(FRONT, disorder=0.5)).mean()
    assert alike(types_of(FRONT)).mean() > kept > alike(types_of(FRONT, disorder=1.0)).mean()
    assert alike(types_of(FRONT, disorder=1.0)).mean() == pytest.approx(31 / 63, abs=0.01)


@pytest.mark.parametrize("kind", range(4))
def test_a_strip_has_four_classes_and_neighbours_by_its_order(kind):
    rng = np.random.default_rng(kind)
    a, b, c, d = (number for number in range(5) if number != kind + 1)
    for order, pairs in ((0, [{a, b}, {c, d}]), (1, [{a, c}, {b, d}])):
        classes = strip(kind, order, 20, rng).tolist()
        assert Counter(classes) == {a: 5, b: 5, c: 5, d: 5}
        beside = [{x, y} for x, y in pairwise(classes)]
        assert sum(pair in pairs for pair in beside) == 18  # and where the halves meet, any


def test_offsets_of_slides_and_regions_are_as_long_as_stated():
    cohort = plant(Planted(slides=64, regions=32, strength=0, stain=3, tint=2, dim=16, grid=8))
    means = cohort.tokens.astype(np.float64).mean(axis=(1, 2))  # the noise of 64 tokens: 16 / 64 of squared length
    by_slide = means.reshape(64, 32, 16).mean(axis=1)
    np.testing.assert_allclose(by_slide, cohort.offset, atol=5 * np.sqrt((4 / 16 + 1 / 64) / 32))
    assert (by_slide**2).sum(axis=1).mean() == pytest.approx(9 + 4.25 / 32, rel=4 * np.sqrt(2 / 16 / 64))
    within = ((means - by_slide[cohort.slide]) ** 2).sum(axis=1).mean() * 32 / 31
    assert within == pytest.approx(4 + 16 / 64, rel=4 * np.sqrt(2 / 16 / 2048))


def probe(cohort, x):
    """Accuracy of a linear model that learns on one half of the slides and is tested on the other."""
    train = cohort.slide % 2 == 0
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000)
    model.fit(x[train], cohort.region_class[train])
    return model.score(x[~train], cohort.region_class[~train])


def test_single_patches_tell_nothing_but_what_is_stated():
    sizes = {"slides": 40, "regions": 60, "strength": 6.0, "stain": 0.0, "tint": 0.0, "grid": 8}
    error = np.sqrt(0.25 / 1200)
    for told in (0.0, 0.4):
        cohort = plant(Planted(**sizes, told=told, sign=20.0))
        tokens = cohort.tokens.astype(np.float32)
        assert cohort.told.mean() == pytest.approx(told, abs=4 * np.sqrt(0.25 / 2400))
        told_at_best = cohort.told.mean() + (1 - cohort.told.mean()) / 5
        assert probe(cohort, tokens.mean(axis=(1, 2))) == pytest.approx(told_at_best, abs=4 * error)
        # moments of the tokens as a set, of each value, tell no more
        moments = np.concatenate([tokens.std(axis=(1, 2)), np.quantile(tokens, 0.9, axis=(1, 2))], axis=1)
        assert probe(cohort, moments) <= told_at_best + 4 * error
    near = (tokens[:, :, 1:] * tokens[:, :, :-1]).mean(axis=(1, 2))
    assert probe(cohort, near) > told_at_best + 8 * error  # where neighbours in the grid are looked at


def test_same_seed_same_bits():
    planted = Planted(slides=8, regions=9, types=3, told=0.5)
    one, again, other = plant(planted), plant(planted), plant(planted.of_seed(1))
    assert np.array_equal(one.tokens, again.tokens)
    assert not np.array_equal(one.tokens, other.tokens)
    assert sorted(zip(one.kind, one.order, strict=True)) == [(k, o) for k in range(4) for o in range(2)]


def test_shares_explained_and_majorities_against_loops():
    rng = np.random.default_rng(0)
    x, groups = rng.standard_normal((40, 3)), rng.integers(0, 4, 40)
    between = sum((groups == g).sum() * ((x[groups == g].mean(0) - x.mean(0)) ** 2).sum() for g in range(4))
    assert explained(x, groups) == pytest.approx(between / ((x - x.mean(0)) ** 2).sum())
    classes = rng.integers(0, 3, 40)
    wanted = [min((-n, c) for c, n in Counter(classes[groups == g]).items())[1] for g in range(4)]
    assert majorities(groups, classes, 4).tolist() == wanted


def test_neighbouring_pairs_against_loops():
    cohort = plant(Planted(slides=16, regions=6, grid=4, dim=9))
    x = np.random.default_rng(1).standard_normal((96, 9)).astype(np.float32)
    found = measures.neighbouring_pairs(x, cohort)
    centred = (x.reshape(16, 6, 9) - x.reshape(16, 6, 9).mean(1, keepdims=True)).reshape(96, 9)
    _, values, basis = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    scores = (centred @ basis.T / values * np.sqrt(95)).reshape(16, 6, 9)[..., :8]
    for column, (i, j) in enumerate(combinations_with_replacement(range(8), 2)):
        wanted = [np.mean([(s[k, i] * s[k + 1, j] + s[k, j] * s[k + 1, i]) / 2 for k in range(5)]) for s in scores]
        sign = np.sign(np.dot(found[:, column], wanted))  # of a direction, which may be either
        np.testing.assert_allclose(found[:, column] * sign, wanted, atol=1e-4)


def test_folds_and_draws_keep_slides_apart():
    cohort = plant(Planted(slides=48, regions=4, grid=4))
    fold = measures.slide_folds(cohort, 5)
    for group in range(8):
        assert np.ptp(np.bincount(fold[cohort.kind * 2 + cohort.order == group], minlength=5)) <= 1
    assert np.ptp(np.bincount(fold)) <= 1
    for job in measures.few_shots(cohort, 0, shots=4, draws=3):
        assert np.bincount(cohort.kind[job.train]).tolist() == [4] * 4
        assert sorted([*job.train, *job.test]) == list(range(48))


def test_difference_over_seeds_is_a_paired_t_test():
    one, other = np.random.default_rng(3).standard_normal((2, 5))
    wanted, found = stats.ttest_rel(one, other), table.difference(one, other)
    limits = wanted.confidence_interval(0.95)
    assert found == pytest.approx(((one - other).mean(), limits.low, limits.high, wanted.pvalue))
    assert np.isnan(table.difference(one[:1], other[:1]).p)
    alike = table.difference(np.array([0.675, 0.7]), np.array([0.65, 0.675]))  # equal but for rounding
    assert np.isnan(alike.p)


def written(folder, variant, seed, value):
    facts = {"size": "tiny", "cohort": "context", "variant": variant, "seed": seed, "curves": []}
    path = Todo("context", seed, variant).path(folder, "tiny")
    path.write_text(json.dumps(facts | {"measures": dict.fromkeys(measures.MEASURES, value)}))


def test_tables_are_of_the_variants_and_seeds_that_are_named(tmp_path):
    """Another variant or seed in the folder changes neither a mean nor the family of comparisons."""
    for seed, change in enumerate((0.10, 0.11, 0.12, 0.13)):
        written(tmp_path, "dino", seed, 0.3)
        written(tmp_path, "slpd", seed, 0.3 + change)
    alone = table.tables(tmp_path, ["slpd", "dino"], range(3))
    assert "| slpd | 3 | 0.410 |" in alone
    assert "+0.110 [+0.085, +0.135]* |" in alone  # p 0.0027: with Holm 0.027 as one of ten, 0.055 as one of twenty
    for seed in range(3):
        written(tmp_path, "M 8", seed, 0.3 + 0.1 * seed)
    assert table.tables(tmp_path, ["slpd", "dino"], range(3)) == alone
    assert "+0.110 [+0.085, +0.135] |" in table.tables(tmp_path, ["slpd", "dino", "M 8"], range(3))


@pytest.mark.parametrize("size", SIZES)
def test_all_variants_have_the_same_budget(size):
    for variant in VARIANTS:
        settings = run_settings(SIZES[size], variant, seed=3)
        assert settings.warmup_epochs + settings.rounds * settings.epochs_per_round == SIZES[size].epochs
        assert (settings.seed, settings.schedule_epochs) == (3, SIZES[size].epochs)


@pytest.mark.slow
def test_the_comparison_goes_on_where_it_stopped(tmp_path):
    """The floor is at chance, the ceiling is not, and a file that is missing is made again alike."""
    command = ["--out", str(tmp_path), "--size", "tiny", "--seeds", "0", "--variants"]
    args = parsed([*command, "mean", "supervised", "dino", "slpd"])
    args.minutes = -1
    assert [todo.variant for todo in run(args)] == ["mean", "supervised", "dino", "slpd"]
    assert not list(tmp_path.glob("*.json"))
    args.minutes = float("inf")
    assert run(args) == []
    paths = {name: Todo("context", 0, name).path(tmp_path, "tiny") for name in args.variants}
    found = {name: json.loads(path.read_text()) for name, path in paths.items()}
    region = {name: one["measures"]["region"] for name, one in found.items()}
    error = np.sqrt(0.2 * 0.8 / (SIZES["tiny"].planted.slides * SIZES["tiny"].planted.regions))
    assert region["mean"] < 0.2 + 4 * error
    assert found["supervised"]["accuracy"] > region["mean"] + 0.2
    assert found["slpd"]["curves"][0]["loss_intra"] > 0 == found["dino"]["curves"][0]["loss_intra"]
    times = {name: path.stat().st_mtime_ns for name, path in paths.items()}
    paths["slpd"].unlink()
    assert run(args) == []
    assert json.loads(paths["slpd"].read_text())["measures"] == found["slpd"]["measures"]
    assert all(path.stat().st_mtime_ns == times[name] for name, path in paths.items() if name != "slpd")
    printed = table.tables(tmp_path, args.variants, args.seeds)
    assert "| dino | 1 |" in printed
    assert f"{region['supervised']:.3f}" in printed
