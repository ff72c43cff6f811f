"""What pydantic finds wrong with a configuration, in the words of this workflow: key, what it is, what to write."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError

from workflow_scripts.config.base import NAME_PATTERN, Section, leaves

_SHOWN = 60
_PATTERNS = {
    NAME_PATTERN: "a name of letters, digits, _ and -, a letter or digit first",
    r"^[0-9a-f]{64}$": "64 hexadecimal digits in lower case",
}
# What pydantic adds to the place of a value of several types: which of them it has tried.
_TRIED = re.compile(r"literal\[|constrained-|list\[|(int|float|str|bool)$")

# What is expected by the start of the problem's type, from its context; the first that fits.
_EXPECTED: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "list_": lambda found: "a list",
    "tuple_": lambda found: "a list",
    "set_": lambda found: "a list",
    "dict_type": lambda found: "names with a value each",
    "mapping_type": lambda found: "names with a value each",
    "model_": lambda found: _keys_of(found.get("class_name", "")),
    "int_": lambda found: "a whole number",
    "float_": lambda found: "a number",
    "finite_number": lambda found: "a finite number",
    "truth_or_number": lambda found: found["words"],
    "bool_": lambda found: "true or false",
    "string_type": lambda found: "text",
    "string_pattern_mismatch": lambda found: _PATTERNS.get(found["pattern"], f"text of the form {found['pattern']}"),
    "string_too_short": lambda found: f"text of at least {found['min_length']} letters",
    "literal_error": lambda found: found["expected"].replace("'", ""),
    "greater_than_equal": lambda found: f"a number of at least {found['ge']:g}",
    "greater_than": lambda found: f"a number above {found['gt']:g}",
    "less_than_equal": lambda found: f"a number of at most {found['le']:g}",
    "less_than": lambda found: f"a number below {found['lt']:g}",
    "too_short": lambda found: f"at least {found['min_length']} values",
    "too_long": lambda found: f"at most {found['max_length']} values",
}


def first_problem(error: ValidationError, mend: bool = True) -> str:
    """The first problem as a part of a sentence: the key, what was found, what is expected, and how to write it.

    Args:
        error: what pydantic has found.
        mend: False leaves out how to write it, for values that the user has not written.
    """
    problems = _within_lists(error.errors())
    first = problems[0]
    kind, loc, value = first["type"], first["loc"], first["input"]
    if kind == "extra_forbidden":
        return f"unknown key {_key(loc)}{_instead(loc)}"
    if kind == "invalid_key":
        return f"the key {'.'.join(map(str, loc))} is no text" + (
            "; put it in quotes, or correct the name" if mend else ""
        )
    if kind == "missing" and not isinstance(loc[-1], int):
        return f"{_key(loc)} is missing" + ("; add it" if mend else "")
    if kind == "missing":
        loc, expected = loc[:-1], f"at least {int(loc[-1]) + 1} values"
    else:
        tried = [problem for problem in problems if problem["input"] is value and _is_tried(problem["loc"], loc)]
        expected = " or ".join(dict.fromkeys(_expected(problem) for problem in tried or [first]))
        loc = loc[:-1] if tried else loc
    if not expected:
        message = first["msg"].removeprefix("Value error, ")
        return f"{_key(loc)}: {message}" if loc else message
    if loc and loc[-1] == "[key]":
        where = f"{value!r} is a name under {_key(loc[:-2])}"
    else:
        where = f"{_key(loc) or 'the whole'} is {_shown(value)}"
    return f"{where}, where {expected} {_is(expected)} expected" + (f"; {_how(first, expected)}" if mend else "")


def _within_lists(problems: Sequence[Any]) -> Sequence[Any]:
    """The problems; of a list where one value or a list may stand, those that it has as a list."""
    first = problems[0]
    place = len(first["loc"]) - 1
    found = [one for one in problems if len(one["loc"]) > place >= 0 and str(one["loc"][place]).startswith("list[")]
    if not (isinstance(first["input"], list) and found):
        return problems
    return [{**one, "loc": one["loc"][:place] + one["loc"][place + 1 :]} for one in found]


def _is_tried(loc: Sequence[str | int], first: Sequence[str | int]) -> bool:
    """Whether a problem is of one of several types of the value that the first problem is of."""
    return loc[:-1] == first[:-1] and bool(loc) and _TRIED.match(str(loc[-1])) is not None


def _expected(problem: Any) -> str:
    """What is expected in the place of a value; empty where the problem is told in the words of a check of our own."""
    return next(
        (words(problem.get("ctx", {})) for start, words in _EXPECTED.items() if problem["type"].startswith(start)), ""
    )


def _is(expected: str) -> str:
    return "are" if expected.endswith(("values", "each", ")", "digits in lower case")) else "is"


def _how(problem: Any, expected: str) -> str:
    """How to write what is expected."""
    kind, value = problem["type"], problem["input"]
    if kind in ("list_type", "tuple_type", "set_type"):
        entry = "..." if value is None or isinstance(value, dict) else _shown(value)
        return f"write [{entry}], with commas between several"
    if kind.startswith("model_"):
        return "write them below it, indented"
    if kind in ("dict_type", "mapping_type"):
        return "write each below it, indented, as name: value"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f'put it in quotes, "{_shown(value)}", if that is meant'
    if kind.startswith(("int_", "float_")) and not isinstance(value, float) and " or " not in expected:
        return "write it in digits, without brackets or a unit"
    if kind == "literal_error" and isinstance(value, str):
        near = get_close_matches(value, re.split(r", | or ", expected), n=1, cutoff=0.7)
        return f"did you mean {near[0]}?" if near else "write one of them"
    if kind == "string_type":
        return "write one text"
    return "correct it"


def _shown(value: Any) -> str:
    """A value as it stands in a config file, a long one cut."""
    if value is None or value == "":
        return "empty"
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False).replace('"', "")
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _key(loc: Sequence[str | int]) -> str:
    """A place in the configuration: the key, and the number of a value in a list."""
    values = [part for part in loc if isinstance(part, int)]
    key = ".".join(str(part) for part in loc if not isinstance(part, int))
    return "".join(f"value {number + 1} of " for number in reversed(values)) + key if key else ".".join(map(str, loc))


def _sections(section: type[BaseModel]) -> list[type[BaseModel]]:
    """A section and all that are made of it."""
    return [section, *(inner for part in section.__subclasses__() for inner in _sections(part))]


def _all_keys(section: type[BaseModel]) -> list[str]:
    """Names of the keys of all sections below one."""
    return [key for part in _sections(section) for key in part.model_fields]


def _instead(loc: Sequence[str | int]) -> str:
    """What is to be written in place of an unknown key: the place that one of that name has, or a name like it."""
    name = str(loc[-1])
    whole = [part for part in _sections(Section) if part.__name__ == "Config"]
    places = [place for part in whole for place in _places(part, name)]
    same = [place for place in places if len(loc) > 1 and place.split(".")[0] == str(loc[0])]
    if places:
        return f"; {name} belongs to {' or '.join((same or places)[:3])}"
    near = get_close_matches(name, _all_keys(Section), n=1)
    return f", did you mean {near[0]}?" if near else ""


def _places(section: type[BaseModel], name: str, path: str = "") -> list[str]:
    """Where in the configuration a key of the name stands, as paths of sections; of named entries `<name>` is one."""
    found = [path or "the first level"] if name in section.model_fields else []
    for key, field in section.model_fields.items():
        for inner in leaves(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                entry = ".<name>" if get_origin(field.annotation) is dict else ""
                found += _places(inner, name, f"{path}.{key}{entry}".lstrip("."))
    return found


def _keys_of(name: str) -> str:
    """The keys of the section of a name, the first of them."""
    section = next((part for part in _sections(Section) if part.__name__ == name), None)
    keys = list(section.model_fields) if section else []
    return f"keys ({', '.join(keys[:4])}{' ...' if len(keys) > 4 else ''})" if keys else "keys with a value each"
