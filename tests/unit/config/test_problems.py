"""Values of the wrong type or range are refused in this workflow's words: the key, what it is, what to write."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from workflow_scripts.config import Config, Section, load_config
from workflow_scripts.core.errors import UserError


def refusal(raw: Any) -> str:
    with pytest.raises(UserError) as caught:
        load_config(raw)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("configuration: ") and message.endswith("; see config/README.md")
    return message.removeprefix("configuration: ").removesuffix("; see config/README.md")


def task(**keys: Any) -> dict[str, Any]:
    return {"benchmark": {"tasks": {"t": {"kind": "classification", "label": "x", **keys}}}}


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (
            {"benchmark": {"heads": {"classification": "knn"}}},
            "benchmark.heads.classification is knn, where a list is expected; write [knn], with commas between several",
        ),
        (
            {"benchmark": {"heads": ["knn"]}},
            "benchmark.heads is [knn], where names with a value each are expected; write each below it, indented, as "
            "name: value",
        ),
        (
            {"benchmark": 3},
            "benchmark is 3, where keys (tasks, heads, set_heads, head_settings ...) are expected; write them below it"
            ", indented",
        ),
        (
            {"benchmark": {"folds": "five"}},
            "benchmark.folds is five, where a whole number is expected; write it in digits, without brackets or a unit",
        ),
        ({"benchmark": {"folds": 2.5}}, "benchmark.folds is 2.5, where a whole number is expected; correct it"),
        ({"benchmark": {"folds": 1}}, "benchmark.folds is 1, where a number of at least 2 is expected; correct it"),
        (
            {"benchmark": {"compare": ["slpd", "dino"]}},
            "value 1 of benchmark.compare is slpd, where a list is expected; write [slpd], with commas between several",
        ),
        (
            {"benchmark": {"compare": [["slpd"]]}},
            "value 1 of benchmark.compare is [slpd], where at least 2 values are expected; correct it",
        ),
        (
            {"benchmark": {"compare": [["slpd", "dino", "mean"]]}},
            "value 1 of benchmark.compare is [slpd, dino, mean], where at most 2 values are expected; correct it",
        ),
        (task(label=["x"]), "benchmark.tasks.t.label is [x], where text is expected; write one text"),
        (
            task(label=3),
            'benchmark.tasks.t.label is 3, where text is expected; put it in quotes, "3", if that is meant',
        ),
        (
            task(permutation_control="often"),
            "benchmark.tasks.t.permutation_control is often, where true or false is expected; correct it",
        ),
        (
            task(splits={"kind": "fold"}),
            "benchmark.tasks.t.splits.kind is fold, where folds, leave_one_out, column, external, file or hipt is "
            "expected; did you mean folds?",
        ),
        (
            {"benchmark": {"tasks": {"a b": {}}}},
            "'a b' is a name under benchmark.tasks, where a name of letters, digits, _ and -, a letter or digit first "
            "is expected; correct it",
        ),
        (
            {"benchmark": {"head_settings": {"ridge": {"alpha": -1}}}},
            "benchmark.head_settings.ridge.alpha is -1, where auto or a number above 0 is expected; correct it",
        ),
        (
            {"benchmark": {"head_settings": {"mil": {"epochs": "x"}}}},
            "benchmark.head_settings.mil.epochs is x, where auto or a whole number is expected; write one of them",
        ),
        (
            {"embed": {"tables": {"titan": {"file": "a"}}}},
            "embed.tables.titan.pretrained_on is missing; add it",
        ),
        (
            {"features": {"weights_sha256": "abc"}},
            "features.weights_sha256 is abc, where 64 hexadecimal digits in lower case are expected; correct it",
        ),
        ({"cohort": {"max_failed_fraction": 2}}, "cohort.max_failed_fraction is 2, where a number of at most 1 is"),
        (
            {"pretrain": {"micro_batch": True}},
            "pretrain.micro_batch is true, where a whole number is expected; correct it",
        ),
        ({"report": {"groups": True}}, "report.groups is true, where a whole number is expected; correct it"),
        (
            {"benchmark": {"head_settings": {"ridge": {"alpha": True}}}},
            "benchmark.head_settings.ridge.alpha is true, where auto or a number is expected; correct it",
        ),
        (
            {"pretrain": {"defaults": {"compile": 1.0}}},
            "pretrain.defaults.compile is 1.0, where auto or true or false is expected; correct it",
        ),
        (
            {"pretrain": {"defaults": {"compile": "fast"}}},
            "pretrain.defaults.compile is fast, where auto or true or false is expected; write one of them",
        ),
        ({"pretrain": {"compile": True}}, "unknown key pretrain.compile; compile belongs to pretrain.defaults"),
        (
            {"pretrain": {"runs": {"slpd": {"micro_batch": 8}}}},
            "pretrain: run slpd: unknown key micro_batch; micro_batch belongs to pretrain",
        ),
        (
            {"benchmark": {"tasks": {"t": {"kind": "classification", "label": "x", "folds": 3}}}},
            "unknown key benchmark.tasks.t.folds; folds belongs to benchmark",
        ),
        ({"pretrain": {"folds": 3}}, "unknown key pretrain.folds; folds belongs to benchmark"),
        ({"benchmark": {1: 2}}, "the key benchmark.1 is no text; put it in quotes, or correct the name"),
        ({"benchmark": {"folds": None}}, "benchmark.folds is empty, where a whole number is expected"),
        ({"pretrain": {"defaults": {"seeds": "a"}}}, "pretrain.defaults.seeds is a, where a whole number or a list is"),
        ({"pretrain": {"defaults": {"seeds": []}}}, "pretrain.defaults.seeds is [], where at least 1 values are"),
        (
            {"pretrain": {"defaults": {"seeds": [0, "b"]}}},
            "value 2 of pretrain.defaults.seeds is b, where a whole number is expected; write it in digits",
        ),
        ([1], "the whole is [1], where keys (cohort, demo, slides, tissue ...) are expected"),
    ],
)
def test_a_wrong_value_is_told_with_its_key_and_how_to_write_it(raw, sentence):
    assert refusal(raw).startswith(sentence)


def fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all keys, of the first entry of named sections too."""
    for name, field in model.model_fields.items():
        yield (*path, name)
        for inner in sections(field.annotation):
            named = get_origin(field.annotation) is dict
            yield from fields(inner, (*path, name, "entry") if named else (*path, name))


def sections(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    inner = [annotation.__origin__] if get_origin(annotation) is Annotated else get_args(annotation)
    return [section for one in inner for section in sections(one)]


WRONG = {"a mapping": {"a": 1}, "a list of lists": [[[1]]], "a text": "nonsense", "a number": -7.5, "a truth": True}


@pytest.mark.parametrize("path", fields(Config), ids=".".join)
def test_no_key_is_refused_in_the_words_of_the_library(path):
    refused = 0
    for wrong in WRONG.values():
        raw: Any = wrong
        for key in reversed(path):
            raw = {key: raw}
        try:
            load_config(raw)
        except UserError as error:
            message = str(error)
            refused += 1
            assert path[-1] in message or "entry" in path
            assert not any(words in message for words in ("nput should", "Field required", "valid ", "instance of"))
    assert refused
