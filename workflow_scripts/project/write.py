"""Writing a project's files, and the text for the terminal."""

from pathlib import Path

from workflow_scripts.config.schema import schema_text
from workflow_scripts.core.files import write_text
from workflow_scripts.project.my_yaml import my_yaml, schema_line
from workflow_scripts.project.places import CONFIG, MANIFEST, SCHEMA, Source
from workflow_scripts.project.plan import Plan
from workflow_scripts.project.summary import run_commands, summary


def write_project(plan: Plan, source: Source, manifest_text: str, root: Path) -> str:
    """Write the files of a project; what was found and what is to be run, for a person.

    Where no clone is beside the package, the configuration's schema is written too, for editors.

    Args:
        plan: the project.
        source: where its slides are listed, its folder, and what is kept of an earlier configuration.
        manifest_text: the list of slides.
        root: the workflow's clone, with `Snakefile` and the configuration's schema.
    """
    files = {} if source.own else {MANIFEST: manifest_text}
    schema = root / "config" / SCHEMA
    if not schema.is_file():  # an installed package has no clone beside it
        schema = source.output / SCHEMA
        files[SCHEMA] = schema_text()
    files[CONFIG] = my_yaml(plan, str(source.origin), schema_line(schema, source.output), source.benchmark)
    for name, text in files.items():
        write_text(source.output / name, text)
    commands = run_commands(root, source.output, plan.machine.gpus)
    here = source.output.resolve() == Path.cwd()
    return summary(plan, [source.output / name for name in files], commands, None if here else source.output)
