"""Who is in the demo cohort: patients, labels, file kinds and tissue composition, decided from the seed alone."""

from typing import Literal, NamedTuple

import numpy as np

from workflow_scripts.core.seeds import derive_seed

Kind = Literal["normal", "truncated", "blank", "small"]
Suffix = Literal["svs", "tiff"]

CLASSES = ("glass", "glands", "solid", "stroma", "lymphoid", "fat", "necrosis")
SUBTYPES = ("glandular", "solid")
BATCHES = ("lab_1", "lab_2")
GRADES = ("G1", "G2", "G3")
MPP = 0.5  # um/px at which every slide is rendered
SLIDES_OF_SUBTYPE = 13
PATIENTS_OF_SUBTYPE = (11, 10)  # so 2 and 3 patients with two slides


class SlidePlan(NamedTuple):
    """All that decides one slide's file and labels.

    Attributes:
        slide_id: demo_01 to demo_29.
        patient_id: slides of a patient share subtype, grade, time and event.
        kind: normal; truncated (cannot be opened), blank (glass only) or small (less than a region).
        suffix: svs (opens as `aperio`) or tiff (opens as `generic-tiff`).
        mpp: true scale of level 0, um/px.
        mpp_in_file: whether the file records that scale; where not, the manifest does.
        subtype: glandular or solid.
        grade: G1, G2 or G3; rises with the patient's necrosis.
        time: months to the event or to censoring.
        event: 1 for an event, 0 for censoring.
        batch: staining laboratory.
        staining: number of the slide's staining; both subtypes use the same 13.
        composition: wanted fraction of the tissue for each of `CLASSES[1:]`.
        size_px: (width, height) at 0.5 um/px.
    """

    slide_id: str
    patient_id: str
    kind: Kind
    suffix: Suffix
    mpp: float
    mpp_in_file: bool
    subtype: str
    grade: str
    time: float
    event: int
    batch: str
    staining: int
    composition: tuple[float, ...]
    size_px: tuple[int, int]


class Patient(NamedTuple):
    """Labels and mean composition shared by the slides of one patient."""

    patient_id: str
    subtype: str
    grade: str
    time: float
    event: int
    composition: np.ndarray


def cohort_plan(seed: int) -> list[SlidePlan]:
    """The 29 slides of the cohort: 26 ordinary ones of 21 patients, then a truncated, a blank and a small one."""
    rng = np.random.default_rng(derive_seed(seed, "demo cohort"))
    patients = _patients(rng)
    ordinary, special = patients[:-3], patients[-3:]
    slides = _ordinary(ordinary, rng)
    bare = next(i for i, slide in enumerate(slides) if slide.suffix == "svs" and slide.mpp == MPP)
    slides[bare] = slides[bare]._replace(mpp_in_file=False)
    odd: tuple[tuple[Kind, Suffix], ...] = (("truncated", "svs"), ("blank", "tiff"), ("small", "svs"))
    for patient, (kind, suffix) in zip(special, odd, strict=True):
        slide = _slide(patient, rng, len(slides), suffix, MPP)
        size = (600, 500) if kind == "small" else slide.size_px
        slides.append(slide._replace(kind=kind, size_px=size))
    return [slide._replace(slide_id=f"demo_{i + 1:02d}") for i, slide in enumerate(slides)]


def _patients(rng: np.random.Generator) -> list[Patient]:
    """21 patients in shuffled order, then three for the special slides."""
    subtypes = [name for name, count in zip(SUBTYPES, PATIENTS_OF_SUBTYPE, strict=True) for _ in range(count)]
    subtypes = [*rng.permutation(subtypes).tolist(), SUBTYPES[0], SUBTYPES[1], SUBTYPES[0]]
    amounts = _even_amounts(subtypes, rng)
    necrosis, lymphoid, fat = 0.02 + 0.16 * amounts[0], 0.05 + 0.12 * amounts[1], 0.03 + 0.06 * amounts[2]
    tumour = 0.46 + 0.08 * amounts[3]
    share = np.where(np.array(subtypes) == SUBTYPES[0], 0.75, 0.25) + rng.normal(0, 0.05, len(subtypes))
    stroma = (1 - tumour - lymphoid - fat - necrosis).clip(0.12)
    parts = np.stack([tumour * share, tumour * (1 - share), stroma, lymphoid, fat, necrosis], axis=1).clip(0.02)
    parts = parts / parts.sum(axis=1, keepdims=True)
    grades = _grades(necrosis, rng)
    times, events = _survival(necrosis, lymphoid, rng)
    rows = zip(subtypes, grades, times, events, parts, strict=True)
    return [Patient(f"patient_{i + 1:02d}", *row) for i, row in enumerate(rows)]


def _even_amounts(subtypes: list[str], rng: np.random.Generator) -> np.ndarray:
    """Four independent amounts of each patient [4, n], spread evenly over 0..1 within each subtype."""
    amounts = np.zeros((4, len(subtypes)))
    for name in SUBTYPES:
        own = np.flatnonzero(np.array(subtypes) == name)
        for row in amounts:
            row[own] = (rng.permutation(len(own)) + rng.random(len(own))) / len(own)
    return amounts


def _z(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def _grades(necrosis: np.ndarray, rng: np.random.Generator) -> list[str]:
    """Thirds of a noisy score of necrosis."""
    score = _z(necrosis) + rng.normal(0, 0.4, len(necrosis))
    rank = score.argsort().argsort()
    return [GRADES[3 * r // len(rank)] for r in rank]


def _survival(necrosis: np.ndarray, lymphoid: np.ndarray, rng: np.random.Generator) -> tuple[list[float], list[int]]:
    """Weibull times in months, shorter with necrosis and longer with lymphoid tissue, under uniform censoring."""
    hazard = np.exp(0.9 * _z(necrosis) - 0.7 * _z(lymphoid))
    shape = 1.6
    death = 32.0 * (rng.exponential(size=len(hazard)) / hazard) ** (1 / shape)
    censored = rng.uniform(15, 90, len(hazard))
    times = np.maximum(np.minimum(death, censored), 0.5).round(1)
    return times.tolist(), (death <= censored).astype(int).tolist()


def _ordinary(patients: list[Patient], rng: np.random.Generator) -> list[SlidePlan]:
    """26 slides in the order of their patients; batch, format and scale crossed within each subtype."""
    slides = []
    suffixes: tuple[Suffix, Suffix] = ("svs", "tiff")
    for name, count in zip(SUBTYPES, PATIENTS_OF_SUBTYPE, strict=True):
        of_subtype = [patient for patient in patients if patient.subtype == name]
        twice = set(rng.choice(count, SLIDES_OF_SUBTYPE - count, replace=False).tolist())
        owners = [patient for i, patient in enumerate(of_subtype) for _ in range(2 if i in twice else 1)]
        for owner, i in zip(owners, rng.permutation(SLIDES_OF_SUBTYPE).tolist(), strict=True):
            slides.append(_slide(owner, rng, i, suffixes[(i // 2) % 2], MPP / 2 if (i // 4) % 2 else MPP))
    return sorted(slides, key=lambda slide: slide.patient_id)


def _slide(patient: Patient, rng: np.random.Generator, staining: int, suffix: Suffix, mpp: float) -> SlidePlan:
    """One ordinary slide 2.0 to 2.5 mm wide: the patient's composition with noise of its own."""
    parts = patient.composition + rng.normal(0, 0.02, len(patient.composition))
    parts = parts.clip(0.01)
    width = int(rng.integers(4000, 5001))
    height = int(width * rng.uniform(0.84, 0.98))
    return SlidePlan(
        slide_id="",
        patient_id=patient.patient_id,
        kind="normal",
        suffix=suffix,
        mpp=mpp,
        mpp_in_file=True,
        subtype=patient.subtype,
        grade=patient.grade,
        time=patient.time,
        event=patient.event,
        batch=BATCHES[staining % 2],
        staining=staining,
        composition=tuple((parts / parts.sum()).round(4).tolist()),
        size_px=(width, height),
    )
