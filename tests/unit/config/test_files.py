"""Files of the configuration that YAML cannot read, or reads otherwise than they look."""

import pytest

from workflow_scripts.config.files import require_config_file
from workflow_scripts.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cohort:\n  name: a\n name: b\n", "my.yaml line 3 is no YAML ("),
        ("cohort:\n\tname: a\n", "my.yaml line 2 is no YAML (found character"),
        ("title: 'a\n", "is no YAML (found unexpected end of stream)"),
        ("- a\n- b\n", "my.yaml holds no keys at its top, but a list or a text"),
        ("cohort name\n", "my.yaml holds no keys at its top"),
        ("cohort: {name: a}\nregions: {}\ncohort: {name: b}\n", "my.yaml gives cohort twice, in lines 1 and 3"),
        ("cohort:\n  name: a\n  name: b\n", "gives cohort.name twice, in lines 2 and 3, of which the last would count"),
        ("regions: {grid: 4, grid: 8}\n", "gives regions.grid twice, in line 1"),
        ("a:\n- b: 1\n  b: 2\n", "gives a.b twice, in lines 2 and 3"),
        ('{"a": 1,\n "a": 2}', "gives a twice, in lines 1 and 2"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, text, words):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        require_config_file(tmp_path / "my.yaml")
    assert words in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_not_there_or_no_text(tmp_path):
    with pytest.raises(UserError, match=r"my\.yaml cannot be read \(No such file or directory\); correct its path"):
        require_config_file(tmp_path / "my.yaml")
    (tmp_path / "my.yaml").write_bytes(b"a: \xe4")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        require_config_file(tmp_path / "my.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "a: {b: 1}\nc: {b: 1}\n",
        '{"a": {"b": [1, 2]}}',
        "\ufeffa: 1\n",
        "base: &base {a: 1}\none: {<<: *base, b: 2}\n",
        "__use_yte__: true\n?if x:\n  a: 1\n?if x:\n  b: 1\n",
    ],
)
def test_what_yaml_takes_as_it_looks(tmp_path, text):
    (tmp_path / "my.yaml").write_text(text)
    require_config_file(tmp_path / "my.yaml")
