"""Two manifests: what may not stand in both."""

import pytest

from workflow_scripts.core.cohorts import read_cohorts
from workflow_scripts.core.errors import UserError


@pytest.fixture
def manifests(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours.csv").write_text("slide_id,path,patient_id,grade\na,a.svs,p1,x\nb,b.svs,p2,y\nc,c.svs,p3,y\n")
    (tmp_path / "theirs.csv").write_text("slide_id,path,patient_id,grade\nd,d.svs,q1,x\ne,e.svs,q2,y\n")
    return tmp_path


def _refusal():
    with pytest.raises(UserError) as error:
        read_cohorts("ours.csv", "theirs.csv")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_two_cohorts_stay_apart(manifests):
    rows, tests = read_cohorts("ours.csv", "theirs.csv")
    assert [row.slide_id for row in rows] == ["a", "b", "c"] and [row.slide_id for row in tests] == ["d", "e"]
    assert read_cohorts("ours.csv", None) == (rows, [])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("a,x.svs,q1\nd,d.svs,q2", "ours.csv and theirs.csv share slide_id a (1 in all); what is tested"),
        ("d,d.svs,p2\ne,e.svs,p2\nf,f.svs,p3", "ours.csv and theirs.csv share patient_id p2, p3 (2 in all)"),
        ("d,b.svs,q1", "b.svs (1 in all)"),
        ("d,./x/../b.svs,q1", "ours.csv and theirs.csv share path "),
    ],
)
def test_what_is_learnt_from_is_not_tested(manifests, lines, words):
    (manifests / "theirs.csv").write_text(f"slide_id,path,patient_id\n{lines}\n")
    assert words in _refusal()


def test_a_slide_named_as_a_patient_of_the_other_cohort_is_its_slide(manifests):
    (manifests / "theirs.csv").write_text("slide_id,path\np3,d.svs\n")  # without patient_id, the slide is the patient
    assert "share patient_id p3 (1 in all)" in _refusal()


def test_a_manifest_that_is_not_there(manifests):
    (manifests / "theirs.csv").unlink()
    assert _refusal() == "the manifest theirs.csv does not exist; correct cohort.test_manifest, or set it to null"
