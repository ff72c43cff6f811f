"""Patients that a model's folder tells by digests alone."""

import json

from workflow_scripts.core.patients import hide_patients, same_patient

PATIENTS = {"a": "TCGA-01", "b": "TCGA-01", "c": "TCGA-02"}


def test_a_patient_is_found_by_the_digest_and_the_id_stands_nowhere():
    hidden = hide_patients(PATIENTS, "model")
    assert "TCGA" not in json.dumps(hidden)
    assert hidden["of_slides"]["a"] == hidden["of_slides"]["b"] != hidden["of_slides"]["c"]
    assert same_patient("TCGA-02", hidden, ["a", "c"]) is True
    assert same_patient("TCGA-02", hidden, ["a", "b"]) is False
    assert same_patient("TCGA-03", hidden, PATIENTS) is False


def test_the_salt_is_the_same_for_the_same_and_another_elsewhere():
    assert hide_patients(PATIENTS, "model") == hide_patients(PATIENTS, "model")
    one, other = hide_patients(PATIENTS, "model"), hide_patients(PATIENTS, "other")
    assert one["salt"] != other["salt"] and not set(one["of_slides"].values()) & set(other["of_slides"].values())


def test_what_is_not_known_is_not_denied():
    assert hide_patients({"a": "a", "b": "b"}, "model") is None
    assert same_patient("a", None, ["a"]) is None
    assert same_patient(None, hide_patients(PATIENTS, "model"), ["a"]) is None
