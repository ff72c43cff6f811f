"""Patients of a model's slides, told by salted digests alone, for a model's folder holds no patient ids.

The salt makes digests that were computed beforehand useless. It is no secret: whoever has a list of ids can try them,
and that is how a new slide's patient is compared.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

KEY = "patients"
"""Of the metadata of a model's prototypes, and of a head's JSON."""


def hide_patients(patient_of: Mapping[str, str], of: str) -> dict[str, Any] | None:
    """Under `salt` and `of_slides` the digest of each slide's patient; None where each slide counts as a patient.

    Args:
        patient_of: patient ids by slide; a slide whose patient is not told has its own name there.
        of: what the digests stand in, from which the salt comes, so that the same ones are always made.
    """
    if all(slide == patient for slide, patient in patient_of.items()):
        return None
    salt = hashlib.sha256(of.encode()).hexdigest()
    return {"salt": salt, "of_slides": {slide: _digest(salt, patient) for slide, patient in patient_of.items()}}


def same_patient(patient: str | None, hidden: Mapping[str, Any] | None, slides: Collection[str]) -> bool | None:
    """Whether one of the slides is of the patient; None where it cannot be known.

    Args:
        patient: id of a new slide's patient; None where none was given.
        hidden: what `hide_patients` gave.
        slides: of those that are hidden.
    """
    if patient is None or not hidden:
        return None
    digest = _digest(hidden["salt"], patient)
    return any(hidden["of_slides"].get(slide) == digest for slide in slides)


def _digest(salt: str, patient: str) -> str:
    return hashlib.sha256(f"{salt}/{patient}".encode()).hexdigest()
