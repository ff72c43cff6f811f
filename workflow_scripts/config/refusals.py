"""What configuration and manifest alone can tell will not work, said before anything runs.

No slide is opened, no torch imported: it takes less than a second. What depends on which slides turn out usable is
refused only where it is certain. `Config` itself refuses what needs no manifest and no file.
"""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from os.path import exists, isdir  # unlike those of Path, they take any text for the name of a file
from pathlib import Path
from typing import Protocol

from workflow_scripts.config import Config, Features
from workflow_scripts.config.encoders import ENCODERS
from workflow_scripts.config.limits import require_no_braces, require_own_functions, require_short_commands
from workflow_scripts.config.model_name import parse_model
from workflow_scripts.config.published import departure_notes
from workflow_scripts.config.timm_names import timm_names
from workflow_scripts.config.truth import require_truth_maps
from workflow_scripts.config.written import require_writable
from workflow_scripts.core.cells import first_few, looks_missing
from workflow_scripts.core.duplicates import require_different_slides
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import is_remote, local_path, read_record
from workflow_scripts.core.label_cells import require_distinct_names
from workflow_scripts.core.manifest import SlideRow
from workflow_scripts.core.series import slide_exists
from workflow_scripts.core.shares import require_answers
from workflow_scripts.core.task_splits import ToSplit, fewest_learnt, read_to_split, require_splits
from workflow_scripts.core.text_tables import TABLE_SUFFIXES


class SourceFiles(Protocol):
    """Files of a slide's features by another tool (`interchange.places`)."""

    @property
    def features(self) -> Path | None: ...

    @property
    def looked(self) -> Sequence[str]: ...


FindFiles = Callable[[SlideRow], SourceFiles]
RequireCached = Callable[[Features], None]
WithoutVectors = Callable[[str, Sequence[SlideRow], str], Sequence[SlideRow]]


def refuse(
    config: Config,
    rows: list[SlideRow],
    source_files: FindFiles | None = None,
    require_cached: RequireCached | None = None,
    without_vectors: WithoutVectors | None = None,
    tests: Sequence[SlideRow] = (),
) -> list[str]:
    """Refuse what is sure to end the run later.

    Args:
        config: the whole configuration.
        rows: the manifest's rows.
        source_files: finds the files of a slide's features by another tool; None leaves them unasked for.
        require_cached: refuses a model of the hub that is not in its cache; None leaves the cache unasked.
        without_vectors: slides that a table of `embed.tables` lacks, but for those that an earlier run has excluded, by
            the table, the slides and the folder of results; None leaves tables unread.
        tests: rows of the test cohort.

    Returns:
        What had better be known before the run starts and is no problem, a line each.

    Raises:
        UserError: the first problem, in one sentence.
    """
    require_short_commands(config)
    require_no_braces(config.model_dump())
    require_writable(config, any(config.demo.makes(row.path) for row in [*rows, *tests]))
    require_answers((row.path for row in [*rows, *tests]), _manifests(config))
    _repeats(config, [*rows, *tests])
    notes = _labels(config, rows, tests)
    for manifest, cohort in ((config.cohort.manifest, rows), (config.cohort.test_manifest, [*tests])):
        if manifest and cohort:
            _files(config, manifest, cohort, source_files)
    require_own_functions(config)
    if not config.source.kind:
        _encoder(config)
        _weights(config, require_cached)
    _starts(config)
    _prototypes(config)
    _tables(config, [*rows, *tests], source_files, without_vectors)
    require_truth_maps(config, rows)
    return [*departure_notes(config), *notes]


def _manifests(config: Config) -> str:
    return " and ".join(filter(None, (config.cohort.manifest, config.cohort.test_manifest)))


def _repeats(config: Config, rows: list[SlideRow]) -> None:
    """A slide in two rows, or a patient in two spellings, is learnt from and tested; `?` is nobody's name."""
    manifest = _manifests(config)
    named = {row.patient_id for row in rows if row.patient_id != row.slide_id}
    doubtful = sorted(name for name in named if looks_missing(name) and not name.isdecimal())
    if doubtful:
        slides = first_few(row.slide_id for row in rows if row.patient_id == doubtful[0])
        raise UserError(
            f"{manifest}: patient_id is {doubtful[0]!r} (slides {slides}), which looks like a missing value and would "
            "be one patient; leave it empty where each slide is of a patient of its own, or write who it is"
        )
    require_distinct_names(named, "column patient_id", manifest)
    require_different_slides(rows, manifest)


def _files(config: Config, manifest: str, rows: list[SlideRow], source_files: FindFiles | None) -> None:
    """Slides of one cohort, or another tool's features in their place."""
    if not config.source.kind:
        _slide_files(config, manifest, rows)
        _network(config, manifest, rows)
    elif source_files:
        _source_files(config, manifest, rows, source_files)


def _labels(config: Config, rows: list[SlideRow], tests: Sequence[SlideRow]) -> list[str]:
    """Labels and splits of all tasks; what does not meet in them, for all tasks of which it is true."""
    manifest, notes = config.cohort.manifest, dict[str, list[str]]()
    for name, task in config.benchmark.tasks.items():
        try:
            dealing = config.benchmark.dealing(name)
            found = read_to_split(rows, task, manifest, None, tests, config.cohort.test_manifest)
            require_splits(found, dealing["folds"], dealing["few_shot"], manifest, "patients")
        except UserError as error:
            raise UserError(f"benchmark.tasks.{name}: {error}") from None
        for note in [*found.notes(), *_voters(config, name, found)]:
            notes.setdefault(note, []).append(name)
    return [f"task{'s' * (len(names) > 1)} {first_few(names)}: {note}" for note, names in notes.items()]


def _voters(config: Config, task: str, found: ToSplit) -> list[str]:
    """Heads of nearest neighbours of which fewer vote than are asked for, a line each."""
    dealing, kind = config.benchmark.dealing(task), config.benchmark.tasks[task].kind
    heads = [head for sets in (False, True) for head in config.benchmark.heads_of(kind, sets)]
    asked = {head: config.benchmark.head_settings.of(head).get("neighbours", 0) for head in heads}
    learnt = fewest_learnt(found, *(dealing[key] for key in ("folds", "few_shot", "train_fractions")))
    return [
        f"benchmark.head_settings.{head}.neighbours is {count}, and a training part has as few as {learnt} patients, "
        f"of whom at most half vote: {max(1, learnt // 2)}"
        for head, count in asked.items()
        if count > max(1, learnt // 2)
    ]


def _source_files(config: Config, manifest: str, rows: list[SlideRow], source_files: FindFiles) -> None:
    """The slides themselves may be gone, but not the features of all of them."""
    if any(source_files(row).features for row in rows):
        return
    raise UserError(
        f"source.folder: none of the {len(rows)} slides of {manifest} has a file of {config.source.kind}, the first "
        f"looked for is {source_files(rows[0]).looked[0]}; check source.folder, the slide_ids and the column path"
    )


def _network(config: Config, manifest: str, rows: list[SlideRow]) -> None:
    """Remote slides that are not fetched yet need the config's leave."""
    cohort = config.cohort
    remote = [row for row in rows if is_remote(row.path)]
    wanted = [row for row in remote if read_record(local_path(cohort.name, row.slide_id, row.path)) is None]
    if wanted and not cohort.allow_network:
        raise UserError(
            f"{len(wanted)} slides of the manifest {manifest} are remote, the first is {wanted[0].path}; "
            "set cohort.allow_network: true to fetch them"
        )


def _slide_files(config: Config, manifest: str, rows: list[SlideRow]) -> None:
    """A missing file is an excluded slide; of these there may be no more than the cohort allows, nor may all miss."""
    local = [row for row in rows if not (config.demo.makes(row.path) or is_remote(row.path))]
    missing = [row for row in local if not slide_exists(row.path)]
    most = config.cohort.max_failed_fraction
    if len(missing) == len(rows):
        raise UserError(
            f"none of the {len(rows)} slide files of the manifest {manifest} exists, the first is {missing[0].path}; "
            "check its column path, the folder that the command is run in, and that the slides' disk is mounted"
        )
    if len(missing) > most * len(rows):
        raise UserError(
            f"{len(missing)} of {len(rows)} slide files of the manifest {manifest} do not exist, the first "
            f"is {missing[0].path}, and cohort.max_failed_fraction ({most:g}) allows fewer; check its column path, the "
            "folder that the command is run in, and that the slides' disk is mounted"
        )


def _encoder(config: Config) -> None:
    """A name that nobody knows, and a model of timm's that may not be fetched."""
    features, model = config.features, parse_model(config.features.model)
    if model.random and features.weights:
        raise UserError(f"features.model is {features.model}, yet features.weights is given; drop one of the two")
    if model.kind != "timm":
        return
    known = timm_names()
    if known is not None and model.name.split(".")[0] not in known:
        near = [name for name in ENCODERS if name == model.name.lower()]
        near = near or get_close_matches(model.name.lower(), [*ENCODERS, *sorted(known)])
        advice = f"did you mean {' or '.join(near)}?" if near else "check the name"
        raise UserError(
            f"features.model is {features.model}, which is neither in the registry (docs/encoders.md) nor a model of "
            f"timm; {advice}"
        )
    if not (model.random or features.weights or features.allow_network):
        raise UserError(
            f"features.model {features.model} would be fetched from a network; set features.allow_network: true, give "
            "features.weights, or choose an encoder whose weights are here (docs/encoders.md)"
        )


def _weights(config: Config, require_cached: RequireCached | None) -> None:
    """Weights that are named and not there, and an encoder that comes without any."""
    features, model = config.features, parse_model(config.features.model)
    for key, file in (("weights", features.weights), ("model", model.name if model.kind == "folder" else None)):
        if file and not exists(file):
            raise UserError(f"features.{key} names {file}, which does not exist; put it there, or correct the path")
    facts = model.facts
    if facts and not (facts.packaged or facts.hub or features.weights or model.random):
        needs_none = ", ".join(name for name, entry in ENCODERS.items() if entry.packaged)
        raise UserError(
            f"features.model {features.model} comes without weights; set features.weights to "
            f"{facts.published or 'its checkpoint'}, or "
            f"features.model to an encoder that a package brings with its weights: {needs_none}"
        )
    if require_cached and not features.weights:
        require_cached(features)


def _starts(config: Config) -> None:
    """Weights to start from that are neither there nor made by another run."""
    for name in config.pretrain.runs:
        file = config.pretrain.run(name).init
        if file and not exists(file) and config.made_by(file) is None:
            raise UserError(
                f"pretrain run {name}: init names {file}, which does not exist and no run makes; put it there, or "
                "correct the path"
            )


def _prototypes(config: Config) -> None:
    most = config.regions.max_per_slide
    for name in config.pretrain.runs:
        run = config.pretrain.run(name)
        least = run.prototypes.min_regions
        if run.uses_prototypes and most is not None and most < least and not config.source.kind:
            raise UserError(
                f"pretrain run {name}: no slide can have prototypes, for regions.max_per_slide ({most}) is below "
                f"prototypes.min_regions ({least}); raise the one or lower the other"
            )


def _may_be_usable(config: Config, row: SlideRow, source_files: FindFiles | None) -> bool:
    """Whether a slide's file, or another tool's features of it, are there or still to come."""
    if config.source.kind:
        return source_files is None or source_files(row).features is not None
    if is_remote(row.path):
        record = read_record(local_path(config.cohort.name, row.slide_id, row.path))
        return record is None or not record.reason
    return config.demo.makes(row.path) or slide_exists(row.path)


def _tables(
    config: Config, rows: list[SlideRow], source_files: FindFiles | None, without_vectors: WithoutVectors | None
) -> None:
    """Vectors by other tools: a file or folder that is there, and that has the slides of the manifests."""
    for name, table in config.embed.tables.items():
        key = f"embed.tables.{name}.file"
        if not exists(table.file):
            raise UserError(f"{key} names {table.file}, which does not exist; put it there, or correct the path")
        if not (isdir(table.file) or table.file.lower().endswith(TABLE_SUFFIXES)):
            raise UserError(f"{key}: {table.file} is neither .csv nor .parquet nor a folder; save it as one of these")
        if without_vectors is None:
            continue
        lacking = without_vectors(table.file, rows, f"results/{config.cohort.name}")
        lacking = [row for row in lacking if _may_be_usable(config, row, source_files)]
        if lacking:
            raise UserError(
                f"{key}: {table.file} has no vector of {len(lacking)} of the {len(rows)} slides to be embedded "
                f"({first_few(row.slide_id for row in lacking)}); add them, name its rows or files by slide_id, take "
                "these slides out of the manifest, or drop the table from embed.tables"
            )
