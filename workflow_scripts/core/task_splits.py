"""A task's labels and what its splits are made of, put together and checked; before anything runs, and when dealt.

Standard library only.
"""

from collections.abc import Collection, Hashable, Sequence
from typing import NamedTuple, Protocol

from workflow_scripts.core.cells import first_few, is_missing
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.given_splits import GivenSplit, GivenSplits, SplitSource, read_given
from workflow_scripts.core.label_cells import require_distinct_names
from workflow_scripts.core.label_checks import require_columns
from workflow_scripts.core.labels import LabelledTask, Labels, read_labels, require_patients
from workflow_scripts.core.leaks import Leak, settle_leaks
from workflow_scripts.core.manifest import SlideRow


class _Splits(SplitSource, Protocol):
    @property
    def preserve(self) -> str | None: ...
    @property
    def leaks(self) -> str: ...


class SplitTask(LabelledTask, Protocol):
    """A task with its section `splits`."""

    @property
    def splits(self) -> _Splits: ...


class ToSplit(NamedTuple):
    """What is split.

    Attributes:
        labels: of the slides that are in some split.
        given: given splits of these slides alone, their leaks settled; None where the splits are dealt.
        leaks: what leaked in each given split before.
        sites: S sites that are not to be divided; None for none.
        dealt: how the labels were dealt by chance, in words; empty for those that are true.
        in_no_part: slides of the manifest, labelled or not, that the given splits or the column of sites leave out.
        n_listed: slides of the manifest, with those of the test cohort where it is tested.
    """

    labels: Labels
    given: GivenSplits | None
    leaks: list[Leak]
    sites: list[str] | None
    dealt: str = ""
    in_no_part: Sequence[str] = ()
    n_listed: int = 0

    def notes(self) -> list[str]:
        """What labels may mean otherwise, and what of given splits and the manifest does not meet, a line each."""
        told, unknown = [*self.labels.doubts], self.given.unknown if self.given else []
        if unknown:
            told.append(
                f"the splits list {len(unknown)} slides or patients that the manifest has not: {first_few(unknown, 5)}"
            )
        if self.in_no_part:
            told.append(
                f"the splits have no part for {len(self.in_no_part)} of the {self.n_listed} slides of the manifest, "
                f"which are neither learnt from nor tested: {first_few(self.in_no_part, 5)}"
            )
        return told

    def kept_together(self) -> list[Hashable] | None:
        """S names of the sites, or of the parts in which slides stand in all given splits; None where there are none.

        Nor are there any where these names divide the patients into fewer than two each.
        """
        names: list[Hashable] | None = None
        if self.sites is not None:
            names = [*self.sites]
        elif self.given is not None:
            names = [tuple(split.parts.get(slide) for split in self.given.splits) for slide in self.labels.slide_ids]
        return names if names and 2 * len(set(names)) <= len(set(self.labels.patient_ids)) else None


def read_to_split(
    rows: list[SlideRow],
    task: SplitTask,
    manifest: str,
    usable: Collection[str] | None = None,
    tests: Sequence[SlideRow] = (),
    test_manifest: str | None = None,
) -> ToSplit:
    """Labels and given splits of a task.

    Args:
        rows: the manifest's rows.
        task: with its labels and splits.
        manifest: the manifest's path, for messages.
        usable: slide ids with status ok; None takes all.
        tests: rows of the test cohort, of which only splits that test it take any.
        test_manifest: its path, for messages.

    Raises:
        UserError: labels or splits cannot be used.
    """
    if task.splits.test_manifest:
        if not task.table:
            require_columns(list(tests[0].labels) if tests else [], task.columns, str(test_manifest))
            require_columns(list(rows[0].labels) if rows else [], task.columns, manifest)
        rows, manifest = [*rows, *tests], f"{manifest} and {test_manifest}"
    given = read_given(rows, task.splits, manifest, {row.slide_id for row in tests})
    site_of = _site_of(rows, task.splits.preserve, manifest)
    in_parts = given.slides() if given else site_of
    labels = read_labels(rows, task, manifest, usable, in_parts)
    patient_of = dict(zip(labels.slide_ids, labels.patient_ids, strict=True))
    leaks: list[Leak] = []
    if given:
        of_labelled = [_only(split, patient_of) for split in given.splits]
        splits, leaks = settle_leaks(of_labelled, patient_of, task.splits.leaks)
        given = given._replace(splits=splits)
    sites = [site_of[slide] for slide in labels.slide_ids] if site_of is not None else None
    left_out = [row.slide_id for row in rows if row.slide_id not in in_parts] if in_parts is not None else []
    return ToSplit(labels, given, leaks, sites, in_no_part=left_out, n_listed=len(rows))


def _only(split: GivenSplit, slides: Collection[str]) -> GivenSplit:
    return split._replace(parts={slide: part for slide, part in split.parts.items() if slide in slides})


def _site_of(rows: list[SlideRow], column: str | None, manifest: str) -> dict[str, str] | None:
    """Site of each slide that has one; None where no site is to be preserved."""
    if column is None:
        return None
    require_columns(list(rows[0].labels) if rows else [], [column], manifest, "splits.preserve")
    known: dict[str, str] = {}
    cells = {row.slide_id: row.labels[column] for row in rows if not is_missing(row.labels[column])}
    require_distinct_names(set(cells.values()), f"column {column}", manifest)
    for row in rows:
        site = cells.get(row.slide_id)
        if site is not None and known.setdefault(row.patient_id, site) != site:
            raise UserError(
                f"splits.preserve: patient {row.patient_id} has slides of {known[row.patient_id]!r} and {site!r} in "
                f"column {column} of {manifest}, so neither can be kept together; write one for all its slides"
            )
    return cells


def require_splits(
    found: ToSplit, folds: int, few_shot: Collection[int], manifest: str, patients: str = "usable patients"
) -> None:
    """Refuse splits that leave nothing to learn from or to test.

    Args:
        found: what is split.
        folds: number of folds, where the splits are dealt.
        few_shot: patients of each class of the few-shot budgets.
        manifest: the manifest's path, for messages.
        patients: what is counted, for messages.

    Raises:
        UserError: a class or event has fewer patients than folds or than a few-shot budget takes, stands at one site
            only where sites are kept together, or is not in a training part; a split has no test slides left; or cases
            are to be ranked and every test part is of one class.
    """
    if found.given is None:
        require_patients(found.labels, folds, manifest, patients)
        _require_sites(found, folds, manifest)
        counts = found.labels.counts()
        learning = {name: count - -(-count // folds) for name, count in counts.items()}
        _require_shots(learning, few_shot, "a training part")
        return
    for split in found.given.splits:
        _require_parts(split, found.labels, few_shot)
    _require_ranks(found.given.splits, found.labels)


def fewest_learnt(found: ToSplit, folds: int, few_shot: Collection[int], fractions: Collection[float]) -> int:
    """Patients in the smallest training part, or where splits are yet to be dealt and patients drawn, about so many.

    Args:
        found: what is split.
        folds: number of folds, where the splits are dealt.
        few_shot: patients of each class of the few-shot budgets.
        fractions: of the training patients.
    """
    patient_of = dict(zip(found.labels.slide_ids, found.labels.patient_ids, strict=True))
    patients = len(set(patient_of.values()))
    whole = patients - -(-patients // folds)
    if found.given is not None:
        learnt = [{patient_of[s] for s, part in one.parts.items() if part == "train"} for one in found.given.splits]
        whole = min(map(len, learnt), default=0)
    groups = len(found.labels.group_names())
    shots = [number * groups for number in few_shot]
    return min([max(groups, int(whole * min(fractions, default=1.0) + 0.5)), *shots])


def _require_sites(found: ToSplit, folds: int, manifest: str) -> None:
    if found.sites is None:
        return
    sites = len(set(found.sites))
    if sites < folds:
        raise UserError(
            f"splits.preserve: {manifest} has labelled slides of {sites} sites, fewer than the {folds} folds; lower "
            "splits.folds, or drop splits.preserve"
        )
    pairs = set(zip(found.labels.groups(), found.sites, strict=True))
    for group in found.labels.needed():
        at = [site for name, site in pairs if name == group]
        if len(at) < 2:
            raise UserError(
                f"splits.preserve: all patients of {group!r} are at one site, {at[0]!r}, so no fold can learn it and "
                "test it; drop splits.preserve, or leave that class out"
            )


def _require_ranks(splits: Collection[GivenSplit], labels: Labels) -> None:
    """Given splits are ranked within each test part, so one of them at least needs two classes."""
    kind = labels.kind
    if not (kind.has_classes and kind.metrics[kind.headline].ranks):
        return
    classes = [{name for name, count in _patients(labels, split, ["test"]).items() if count} for split in splits]
    if max(map(len, classes)) < 2:
        raise UserError(
            f"splits: each test part has patients of one class alone ({', '.join(sorted(set().union(*classes)))}), so "
            f"{kind.metrics[kind.headline].label} cannot be told; test patients of two classes together"
        )


def _require_shots(counts: dict[str, int], few_shot: Collection[int], where: str) -> None:
    few = min(counts, key=lambda name: counts[name])
    if few_shot and counts[few] < max(few_shot):
        raise UserError(
            f"few_shot: {max(few_shot)} patients of each class are asked for, and {where} has {counts[few]} of "
            f"{few!r}; ask for fewer"
        )


def _patients(labels: Labels, split: GivenSplit, parts: Collection[str]) -> dict[str, int]:
    """Patients of each group in some parts of a split."""
    found: dict[str, set[str]] = {name: set() for name in labels.group_names()}
    for slide, patient, group in zip(labels.slide_ids, labels.patient_ids, labels.groups(), strict=True):
        if split.parts.get(slide) in parts:
            found[group].add(patient)
    return {name: len(patients) for name, patients in found.items()}


def _require_parts(split: GivenSplit, labels: Labels, few_shot: Collection[int]) -> None:
    if "test" not in split.parts.values():
        raise UserError(f"splits: split {split.name} has no labelled slide left in test; label some, or drop it")
    learnt = _patients(labels, split, ["train"])
    missing = [name for name in labels.needed() if not learnt[name]]
    least = len(labels.kind.in_every_fold) or 2
    if len(labels.needed()) - len(missing) < least:
        raise UserError(
            f"splits: the training part of split {split.name} has no labelled patient of {missing[0]!r}, so nothing "
            "can be learnt; label some, or drop that split"
        )
    _require_shots(_patients(labels, split, ["train", "val"]), few_shot, f"split {split.name}")
