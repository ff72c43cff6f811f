import json

import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.core.model_facts import cohort_facts, read_facts, run_name


def test_a_model_says_how_its_cohort_was_treated(tmp_path):
    facts = {"architecture": {}, "cohort": {"name": "demo", "stages": {"slides": {}, "regions": {"mpp": 0.5}}}}
    (tmp_path / "config.json").write_text(json.dumps(facts))
    assert read_facts(tmp_path) == facts and cohort_facts(tmp_path) == facts["cohort"]


@pytest.mark.parametrize("cohort", [None, "demo", {"name": "demo"}])
def test_a_model_of_before_is_told_in_a_sentence(tmp_path, cohort):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": {}, "cohort": cohort}))
    with pytest.raises(UserError, match="exported by an earlier version; run the workflow of its cohort again"):
        cohort_facts(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"), [(None, "is missing"), ("{", "is no JSON file"), ("[]", "does not describe")]
)
def test_what_is_no_model_is_told_in_a_sentence(tmp_path, text, told):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=told):
        cohort_facts(tmp_path)


def test_a_model_is_called_by_its_run_or_where_it_was_copied_to_by_its_folder(tmp_path, monkeypatch):
    (tmp_path / "pretrain/slpd/model").mkdir(parents=True)
    (tmp_path / "copied").mkdir()
    monkeypatch.chdir(tmp_path / "copied")
    assert [run_name(at) for at in ("../pretrain/slpd/model", ".", "../copied/")] == ["slpd", "copied", "copied"]
