"""Kernel logistic regression by matched prototypes, against scikit-learn on kernels made by loops of assignments."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import KernelCenterer

from tests.unit.mil.cohorts import NONE, class_bags, of_patients
from tests.unit.mil.test_matching_knn import set_bags
from workflow_scripts.core.errors import UserError
from workflow_scripts.mil.bags import Bags
from workflow_scripts.mil.head import Job
from workflow_scripts.mil.heads import make_head

JOB = (np.arange(10, 40), np.arange(10))


def predict(bags, *jobs, kind="classification", validation=NONE, **settings):
    head = make_head("matching_logistic", kind, settings)
    return head.predict(bags, [Job(train, validation, test, 3) for train, test in jobs]), head.chosen


def kernel_of(bags, m):
    """Mean cosine of the best assignment of the prototypes of each pair of slides."""
    sets = bags.vectors.reshape(len(bags), m, -1).astype(float)
    sets /= np.linalg.norm(sets, axis=2, keepdims=True)
    pairs = np.einsum("ipd,jqd->ijpq", sets, sets)
    return np.array([[pair[linear_sum_assignment(pair, maximize=True)].mean() for pair in row] for row in pairs])


def by_clipping(kernel, target, train, test, width, c):
    """The textbook's way: the positive part of the centred kernel, its feature map, scikit-learn's regression."""
    centring = KernelCenterer().fit(kernel[np.ix_(train, train)])
    seen, unseen = (centring.transform(kernel[np.ix_(rows, train)]) for rows in (train, test))
    values, vectors = np.linalg.eigh(seen)
    positive = values > 1e-7 * values[-1]
    to_features = vectors[:, positive] / np.sqrt(values[positive])
    features = seen @ to_features
    scale = np.sqrt(width / (features**2).sum(axis=1).mean())
    model = LogisticRegression(C=c, class_weight="balanced", tol=1e-9, max_iter=10_000)
    model.fit(features * scale, target[train])
    return model.predict_proba(unseen @ to_features * scale), values


@pytest.mark.parametrize(("m", "n_classes"), [(3, 2), (4, 3)])
def test_it_is_logistic_regression_on_the_positive_part_of_the_kernel(m, n_classes):
    bags = set_bags(40, m=m, n_classes=n_classes, seed=m)
    expected, values = by_clipping(kernel_of(bags, m), bags.target, *JOB, width=6, c=0.5)
    assert values[0] < -1e-4 * values[-1]  # else nothing is clipped here
    np.testing.assert_allclose(predict(bags, JOB, c=0.5)[0][0], expected, atol=1e-5)


def test_of_sets_of_one_prototype_over_and_over_it_is_regression_on_the_unit_vectors():
    random = np.random.default_rng(0)
    one = random.normal(size=(40, 5)).astype(np.float32)
    target = (one[:, 0] + random.normal(size=40) > 0).astype(np.int64)
    bags = Bags(np.tile(one, 3), list(one[:, None]), target, 2)
    unit = one.astype(float) / np.linalg.norm(one.astype(float), axis=1, keepdims=True)
    train, test = JOB
    centred = unit - unit[train].mean(axis=0)
    centred *= np.sqrt(5 / (centred[train] ** 2).sum(axis=1).mean())
    model = LogisticRegression(C=0.3, class_weight="balanced", tol=1e-9).fit(centred[train], target[train])
    np.testing.assert_allclose(predict(bags, JOB, c=0.3)[0][0], model.predict_proba(centred[test]), atol=1e-5)


def test_landmarks_are_nystroems_and_none_of_them_is_tested():
    bags = set_bags(60, m=3, seed=5)
    train, test = np.arange(20, 60), np.arange(20)
    few = predict(bags, (train, test), c=0.5, landmarks=12)[0][0]
    head = make_head("matching_logistic", "classification", {"landmarks": 12, "c": 0.5})
    head.predict(bags, [Job(train, NONE, test, 0)])
    landmarks = np.flatnonzero(head._column >= 0)
    assert len(landmarks) == 12 and np.isin(landmarks, train).all()
    kernel = kernel_of(bags, 3)
    centring = KernelCenterer().fit(kernel[np.ix_(landmarks, landmarks)])
    values, vectors = np.linalg.eigh(centring.transform(kernel[np.ix_(landmarks, landmarks)]))
    positive = values > 1e-7 * values[-1]
    features = centring.transform(kernel[:, landmarks]) @ (vectors[:, positive] / np.sqrt(values[positive]))
    features *= np.sqrt(6 / (features[landmarks] ** 2).sum(axis=1).mean())
    model = LogisticRegression(C=0.5, class_weight="balanced", tol=1e-9, max_iter=10_000)
    model.fit(features[train], bags.target[train])
    np.testing.assert_allclose(few, model.predict_proba(features[test]), atol=1e-5)
    np.testing.assert_array_equal(*(predict(bags, (train, test), c=0.5, landmarks=count)[0][0] for count in (40, 1000)))


def test_an_inner_fold_may_hold_out_all_landmarks():
    bags = set_bags(48, m=3, seed=5)
    head = make_head("matching_logistic", "classification", {"landmarks": 2})
    jobs = [Job(np.arange(38), NONE, np.arange(38, 48), seed) for seed in range(20)]
    assert all(np.isfinite(scores).all() for scores in head.predict(bags, jobs))


def test_c_is_chosen_by_held_out_patients_alone():
    bags = set_bags(60, seed=6)
    train, test = np.arange(20, 60), np.arange(20)
    found, chosen = predict(bags, (train, test))
    other = replace(bags, target=np.where(np.arange(60) < 20, 1 - bags.target, bags.target))  # of those tested
    np.testing.assert_array_equal(predict(other, (train, test))[0][0], found[0])
    np.testing.assert_array_equal(predict(bags, (train, test), c=chosen[0]["c"])[0][0], found[0])
    noise = replace(bags, target=np.random.default_rng(1).permutation(bags.target))
    assert predict(noise, (train, test))[1][0]["c"] < chosen[0]["c"]  # where nothing is to learn, the strongest
    held = np.arange(50, 60)
    by_part = predict(bags, (np.arange(20, 50), test), validation=held)[1][0]["c"]
    losses = {
        c: -np.log(predict(bags, (np.arange(20, 50), held), c=c)[0][0][np.arange(10), bags.target[held]]).mean()
        for c in (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
    }
    assert losses[by_part] == pytest.approx(min(losses.values()), rel=1e-3)


@pytest.mark.parametrize("landmarks", [8, 1000])
def test_what_is_tested_beside_a_slide_does_not_matter(landmarks):
    bags = set_bags(40, seed=7)
    train, test = np.arange(20), np.arange(20, 40)
    both = predict(bags, (train, test), landmarks=landmarks)[0][0]
    random = np.random.default_rng(8)
    others = np.where(np.arange(40)[:, None] < 21, bags.vectors, random.normal(size=bags.vectors.shape))
    fewer_others = replace(bags, vectors=others.astype(np.float32)).take(np.arange(30))
    alone = predict(fewer_others, (train, np.array([20])), landmarks=landmarks)
    np.testing.assert_allclose(alone[0][0][0], both[0], atol=1e-9)
    fewer = bags.take(np.arange(21))
    np.testing.assert_allclose(predict(fewer, (train, test[:1]), landmarks=landmarks)[0][0][0], both[0], atol=1e-9)


def test_a_patient_counts_once_and_slides_do_not_count():
    bags = set_bags(30, seed=9)
    slides = np.concatenate([np.repeat(np.arange(20), [3 if i % 3 else 1 for i in range(20)]), np.arange(20, 30)])
    copies = of_patients(bags.take(slides), [str(i) for i in slides])
    n = len(slides)
    expected = predict(bags, (np.arange(20), np.arange(20, 30)), c=1.0)[0][0]
    found = predict(copies, (np.arange(n - 10), np.arange(n - 10, n)), c=1.0)[0][0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_finds_a_planted_signal_that_the_mean_of_prototypes_hides():
    """Each class has the same prototypes in another arrangement of pairs: their mean is the same in all slides."""
    random = np.random.default_rng(10)
    a, b, c, d = np.eye(4, 12) * 3
    pairs = {0: ((a + b), (c + d)), 1: ((a + c), (b + d))}
    label = np.arange(80) % 2
    sets = np.array([random.permutation(pairs[k]) for k in label]) + 0.4 * random.normal(size=(80, 2, 12))
    bags = Bags(sets.reshape(80, -1).astype(np.float32), list(sets.astype(np.float32)), label, 2)
    found = predict(bags, (np.arange(40), np.arange(40, 80)), kind="ordinal")[0][0]
    assert (found.argmax(axis=1) == label[40:]).mean() > 0.9
    means = replace(bags, vectors=sets.mean(axis=1).astype(np.float32))
    plain = make_head("logistic", "classification", {}).predict(means, [Job(np.arange(40), NONE, np.arange(40, 80), 0)])
    assert (plain[0].argmax(axis=1) == label[40:]).mean() < 0.7


def test_slides_that_are_all_alike_tell_nothing():
    sets = np.ones((12, 6), np.float32)
    bags = Bags(sets, [np.ones((2, 3), np.float32)] * 12, np.arange(12) % 2, 2)
    np.testing.assert_allclose(predict(bags, (np.arange(10), np.arange(10, 12)))[0][0], 0.5)


def test_what_is_no_set_of_prototypes_is_refused():
    with pytest.raises(UserError, match="matching_logistic compares sets of prototypes, and here a slide's vector"):
        predict(class_bags(10), (np.arange(5), np.arange(5, 10)))
