from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from workflow_scripts import make_demo_manifest
from workflow_scripts.core.manifest import read_manifest
from workflow_scripts.demo.manifest import manifest_text
from workflow_scripts.demo.plan import SUBTYPES, cohort_plan

COMMITTED = Path(__file__).parents[3] / "config" / "demo" / "slides.csv"


@pytest.fixture(scope="module")
def ordinary():
    return [plan for plan in cohort_plan(7) if plan.kind == "normal"]


def test_committed_manifest_is_what_the_command_writes(tmp_path):
    output = tmp_path / "slides.csv"
    make_demo_manifest.main(["--seed", "7", "--directory", "resources/demo", "--output", str(output)])
    assert output.read_bytes() == COMMITTED.read_bytes()


def test_manifest_reads_back_as_planned():
    plans, rows = cohort_plan(7), read_manifest(COMMITTED)
    assert [row.slide_id for row in rows] == [plan.slide_id for plan in plans]
    for plan, row in zip(plans, rows, strict=True):
        assert row.path == f"resources/demo/{plan.slide_id}.{plan.suffix}"
        assert row.mpp == (None if plan.mpp_in_file else plan.mpp)
        assert row.labels["subtype"] == plan.subtype
        assert float(row.labels["time"]) == plan.time > 0


def test_plan_depends_on_the_seed_alone():
    assert cohort_plan(7) == cohort_plan(7)
    assert manifest_text(cohort_plan(7), "a") != manifest_text(cohort_plan(8), "a")


@pytest.mark.parametrize("seed", [7, 8, 1234])
def test_counts(seed):
    plans = cohort_plan(seed)
    kinds = Counter(plan.kind for plan in plans)
    assert kinds == {"normal": 26, "truncated": 1, "blank": 1, "small": 1}
    usual = [plan for plan in plans if plan.kind == "normal"]
    slides_of = Counter(plan.patient_id for plan in usual)
    assert len(slides_of) == 21
    assert sorted(slides_of.values()) == [1] * 16 + [2] * 5
    assert Counter(plan.subtype for plan in usual) == {name: 13 for name in SUBTYPES}
    assert [plan.mpp_in_file for plan in plans].count(False) == 1
    assert sum(plan.event for plan in usual) < len(usual)


def test_slides_of_a_patient_share_labels():
    labels = defaultdict(set)
    for plan in cohort_plan(7):
        labels[plan.patient_id].add((plan.subtype, plan.grade, plan.time, plan.event))
    assert all(len(found) == 1 for found in labels.values())


@pytest.mark.parametrize("field", ["batch", "suffix", "mpp"])
def test_files_and_staining_are_crossed_with_the_subtype(ordinary, field):
    tables = [Counter(getattr(p, field) for p in ordinary if p.subtype == name) for name in SUBTYPES]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 2
    assert min(tables[0].values()) >= 4


def test_labels_follow_the_composition(ordinary):
    share = np.array([p.composition[0] / (p.composition[0] + p.composition[1]) for p in ordinary])
    of_solid = np.array([p.subtype == SUBTYPES[1] for p in ordinary])
    assert stats.mannwhitneyu(share[~of_solid], share[of_solid]).statistic > 0.95 * 13 * 13
    necrosis = [p.composition[5] for p in ordinary]
    assert stats.spearmanr(necrosis, [p.grade for p in ordinary]).statistic > 0.5
    assert stats.spearmanr(necrosis, [p.time for p in ordinary]).statistic < -0.2
    assert np.allclose([sum(p.composition) for p in ordinary], 1, atol=1e-3)
