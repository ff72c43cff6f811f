"""Patients in two parts of a given split: who they are, and what is done about them. Standard library only."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from workflow_scripts.core.cells import first_few
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.given_splits import GivenSplit

# What a patient of two parts keeps, the first of these that it has; its slides of the other parts leave the split.
_KEEPS = {"drop_from_train": ("test", "val", "train"), "drop_from_test": ("train", "val", "test")}


class Leak(NamedTuple):
    """What leaks in one split.

    Attributes:
        repeat: of the split.
        fold: of the split.
        patients: patients in train and test, sorted.
        in_validation: patients of val that are in train or test too, sorted.
        test_slides: test slides whose patient is in train or val.
        of_test_slides: all test slides.
    """

    repeat: int
    fold: int
    patients: list[str]
    in_validation: list[str]
    test_slides: int
    of_test_slides: int

    @property
    def any(self) -> bool:
        return bool(self.patients or self.in_validation)

    def counts(self) -> dict[str, Any]:
        """Numbers alone, as JSON."""
        return self._asdict() | {"patients": len(self.patients), "in_validation": len(self.in_validation)}


def _patients(split: GivenSplit, patient_of: Mapping[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for slide, part in split.parts.items():
        found[part].add(patient_of[slide])
    return found


def leak_of(split: GivenSplit, patient_of: Mapping[str, str]) -> Leak:
    """Patients of one split who stand in two parts of it.

    Args:
        split: parts by slide.
        patient_of: patient of each slide.
    """
    found = _patients(split, patient_of)
    tested = [slide for slide, part in split.parts.items() if part == "test"]
    return Leak(
        split.repeat,
        split.fold,
        sorted(found["train"] & found["test"]),
        sorted(found["val"] & (found["train"] | found["test"])),
        sum(patient_of[slide] in found["train"] | found["val"] for slide in tested),
        len(tested),
    )


def _mended(split: GivenSplit, patient_of: Mapping[str, str], keeps: tuple[str, ...]) -> GivenSplit:
    found = _patients(split, patient_of)
    kept = {patient: part for part in reversed(keeps) for patient in found[part]}
    return split._replace(parts={s: part for s, part in split.parts.items() if kept[patient_of[s]] == part})


def settle_leaks(
    splits: list[GivenSplit], patient_of: Mapping[str, str], leaks: str
) -> tuple[list[GivenSplit], list[Leak]]:
    """The splits after what `leaks` asks for, and what leaked before.

    Args:
        splits: given splits.
        patient_of: patient of each slide in them.
        leaks: `refuse`; `report` leaves them in; `drop_from_train` takes a patient's slides out of train and val where
            the patient is tested, `drop_from_test` out of the test where the patient is learnt from.

    Raises:
        UserError: a patient leaks and leaks is `refuse`.
    """
    found = [leak_of(split, patient_of) for split in splits]
    leaking = [(split, leak) for split, leak in zip(splits, found, strict=True) if leak.any]
    if leaking and leaks == "refuse":
        split, leak = leaking[0]
        parts = "train and test" if leak.patients else "val and another part"
        patients = leak.patients or leak.in_validation
        counted = "1 patient is" if len(patients) == 1 else f"{len(patients)} patients are"
        raise UserError(
            f"splits: {counted} in {parts} of split {split.name} ({first_few(patients)}), and "
            f"{len(leaking)} of {len(splits)} splits leak so; set splits.leaks to drop_from_train, drop_from_test or "
            "report, or correct the splits"
        )
    if leaks in _KEEPS:
        splits = [_mended(split, patient_of, _KEEPS[leaks]) for split in splits]
    return splits, found
