"""Settings of a task's splits: dealt anew, or given; and of how many patients heads learn from."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, model_validator

from workflow_scripts.config.base import Count, Section


def _descending(values: list[float]) -> list[float]:
    if 1.0 not in values:
        raise ValueError("1.0 is not among the train_fractions; add it, for the tables are of all training patients")
    return sorted(set(values), reverse=True)


def _ascending(values: list[int] | None) -> list[int] | None:
    return None if values is None else sorted(set(values))


Folds = Annotated[int, Field(ge=2)]
Fractions = Annotated[list[Annotated[float, Field(gt=0, le=1)]], AfterValidator(_descending)]

# Keys that each kind of splits takes besides `kind` and `leaks`; the first group must be given.
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "folds": ((), ("folds", "repeats", "preserve")),
    "leave_one_out": (("column",), ()),
    "column": ((), ("column",)),
    "external": ((), ("column", "value")),
    "file": (("file",), ()),
    "hipt": (("folder",), ("as_published",)),
}


class Splits(Section):
    kind: Literal["folds", "leave_one_out", "column", "external", "file", "hipt"] = "folds"
    """folds dealt by patient; leave_one_out tests each site of `column` once; column has the parts in the manifest;
    external tests cohort.test_manifest, or one cohort of `column`; file and hipt read parts from a `file` or from
    HIPT's published `folder`."""
    folds: Folds | None = None
    """As benchmark.folds, for this task; null takes that (folds)."""
    repeats: Count | None = None
    """As benchmark.repeats, for this task; null takes that (folds)."""
    preserve: str | None = None
    """Column of the manifest, such as the site, whose slides of one value are tested together (folds)."""
    column: str | None = None
    """Column of the manifest with the site (leave_one_out), with train, val and test (column; null is `part`), or with
    the cohort (external; null tests the slides of cohort.test_manifest)."""
    value: str | None = None
    """Value of `column` whose patients are tested; all others are learnt from (external)."""
    file: str | None = None
    """CSV, TSV or Parquet with slide_id, patient_id or case_id, and either part, fold and repeat, or a column a fold:
    fold_0, fold_1 ... (file)."""
    folder: str | None = None
    """Folder with splits_0.csv, splits_0_bool.csv, splits_0_descriptor.csv ... of one cohort (hipt)."""
    as_published: StrictBool = False
    """By slide and with leaks reported, as the published numbers were made (hipt)."""
    leaks: Literal["refuse", "report", "drop_from_train", "drop_from_test"] = "refuse"
    """Patients in two parts of a given split: refuse them; report leaves them in, counted; or drop their slides from
    training or from the test."""

    @model_validator(mode="after")
    def _keys_of_the_kind(self) -> "Splits":
        needed, other = _KEYS[self.kind]
        for key in (key for keys in _KEYS.values() for key in (*keys[0], *keys[1])):
            value = getattr(self, key)
            if key in needed and not value:
                raise ValueError(f"splits of kind {self.kind} need the key {key}")
            if key not in (*needed, *other) and value:
                raise ValueError(f"{key} is no key of splits of kind {self.kind}; drop it, or name another kind")
        if self.kind == "leave_one_out" and self.leaks not in ("refuse", "drop_from_test"):
            raise ValueError(
                f"leave_one_out with leaks: {self.leaks} would test a patient of two sites by two models; write "
                "drop_from_test, which learns from it alone, or correct its sites"
            )
        if self.kind == "external" and bool(self.column) != bool(self.value):
            raise ValueError("column and value of external splits belong together; give both, or neither")
        return self

    @property
    def test_manifest(self) -> bool:
        """Whether the slides of `cohort.test_manifest` are tested, by what those of `cohort.manifest` teach."""
        return self.kind == "external" and self.column is None


class FewShot(Section):
    patients: Annotated[list[Count], AfterValidator(_ascending)] | None = None
    """Patients of each class that heads learn from, smaller numbers within larger, such as [1, 2, 4, 8]; null is none,
    in a task what the benchmark says."""
    draws: Count | None = None
    """How often they are drawn; null draws 10 times, in a task as often as the benchmark says."""
