import pytest

from workflow_scripts.core.errors import UserError
from workflow_scripts.project.earlier import Earlier, read_earlier


def test_where_nothing_was_there_nothing_is_kept(tmp_path):
    assert read_earlier(tmp_path / "my.yaml") == Earlier(None, "")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", Earlier(None, "")),
        ("# benchmark:\ncohort: { name: a }\n", Earlier("a", "")),
        ("cohort:\n  name: '2024'\nbenchmark: { folds: 3 }\nslides: {}\n", Earlier("2024", "benchmark: { folds: 3 }")),
        ("benchmark:\n  folds: 3 # three\n", Earlier(None, "benchmark:\n  folds: 3 # three")),
        ("benchmark:\n  tasks:\n    a: null\n\npretrain: {}\n", Earlier(None, "benchmark:\n  tasks:\n    a: null")),
        ("cohort: { name: 5 }\nstages: { benchmark: 1 }\n", Earlier(None, "")),
    ],
)
def test_name_and_benchmark_are_kept_as_they_are_written(tmp_path, text, kept):
    (tmp_path / "my.yaml").write_text(text)
    assert read_earlier(tmp_path / "my.yaml") == kept


@pytest.mark.parametrize(("text", "sentence"), [("a: [", "my.yaml is not YAML"), ("- a", "is not a mapping of keys")])
def test_what_cannot_be_read_is_not_thrown_away(tmp_path, text, sentence):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(UserError, match=f"{sentence}.*, so its benchmark section cannot be kept") as caught:
        read_earlier(tmp_path / "my.yaml")
    assert "\n" not in str(caught.value)
