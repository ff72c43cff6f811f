"""What the sections of the configuration are built from: field types, free fields, merging."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


def free(default: Any, **options: Any) -> Any:
    """Field that cannot change a result, kept out of what decides a rerun."""
    return Field(default, json_schema_extra={"free": True}, **options)


def leaves(annotation: Any) -> list[Any]:
    """Types without arguments, and values of literals, that an annotation is made of."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    inner = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    return [leaf for one in inner for leaf in leaves(one)] if inner else [annotation]


def _values(value: Any) -> list[Any]:
    """A value, or those that a list or mapping holds."""
    inner = list(value.values()) if isinstance(value, dict) else value
    return [leaf for one in inner for leaf in _values(one)] if isinstance(inner, list | tuple) else [value]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _of_commented_lines(cls, values: Any) -> Any:
        """A section whose lines are all commented out is null in YAML; it names no key."""
        return {} if values is None else values

    @field_validator("*", mode="before")
    @classmethod
    def _truths_are_no_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic takes true for 1 and 1.0 for true, which nobody means in a configuration."""
        kinds = leaves(cls.model_fields[info.field_name or ""].annotation)
        numbers = {int: "a whole number", float: "a number"}
        found = {bool if isinstance(one, bool) else float for one in _values(value) if isinstance(one, int | float)}
        takes_numbers = any(kind in kinds for kind in numbers)
        if found and takes_numbers != (bool in kinds) and (bool in found) != (bool in kinds):
            words = [leaf for leaf in kinds if isinstance(leaf, str)]
            words += [text for kind, text in (numbers | {bool: "true or false"}).items() if kind in kinds]
            raise PydanticCustomError("truth_or_number", "{words} expected", {"words": " or ".join(words)})
        return value


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Recursive update of nested dicts; neither argument is changed."""
    merged = dict(base)
    for key, value in over.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if nested else value
    return merged


def without_dropped(named: Any) -> Any:
    """Named entries without those set to null, so that a config layered on top can drop one."""
    if not isinstance(named, dict):
        return named
    return {name: entry for name, entry in named.items() if entry is not None}


def names_in(folder: str, prefix: str = "") -> list[str]:
    """Names of the methods that a room offers: one file each, `{prefix}{name}.py`.

    Looking at files keeps the configuration free of heavy imports, and makes a new method known by its file alone.
    """
    files = (Path(__file__).parents[1] / folder).glob(f"{prefix}*.py")
    return sorted(file.stem.removeprefix(prefix) for file in files if not file.stem.startswith("_"))


def known(key: str, value: str, names: list[str]) -> str:
    """The value itself.

    Raises:
        ValueError: it is none of `names`.
    """
    if value not in names:
        raise ValueError(f"{key}: {value} is none of {', '.join(names)}")
    return value


def without_repeats(values: list[str]) -> list[str]:
    """The values themselves.

    Raises:
        ValueError: one of them is named twice.
    """
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice:
        raise ValueError(f"{twice} is named twice; name it once")
    return values


def result_settings(section: BaseModel, exclude_defaults: bool = False) -> dict[str, Any]:
    """Values without the free fields, nor those of sections within: what decides whether a stage runs again."""
    return section.model_dump(mode="json", exclude=_free_fields(type(section)), exclude_defaults=exclude_defaults)


def _free_fields(model: type[BaseModel]) -> dict[str, Any]:
    """The free fields of a model and of the models in it, as pydantic's `exclude` takes them."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        extra, inner = field.json_schema_extra, field.annotation
        if isinstance(extra, dict) and extra.get("free"):
            found[name] = True
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            found[name] = _free_fields(inner)
    return found
