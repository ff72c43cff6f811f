"""Where the Python package of this workflow is, for these rules and for the jobs that they start."""

import os
import shlex
import sys

from snakemake_interface_executor_plugins.settings import DeploymentMethod

VERSION = "0.1.0"  # of the package that belongs to these rules, for where it is not beside them

# A clone has the package beside its rules; a workflow that Snakemake reads from a repository takes the installed one.
# `workflow.basedir` would not do: it is the folder of the main Snakefile, which may use this workflow as a module.
ROOT = os.path.dirname(workflow.current_basedir.get_path_or_uri(secret_free=True))
IN_CLONE = os.path.isfile(f"{ROOT}/workflow_scripts/__init__.py")
# Python looks into the working directory first, where another project may have a folder of that name.
ANOTHERS = os.path.isdir("workflow_scripts") and not (IN_CLONE and os.path.samefile(".", ROOT))

if IN_CLONE:
    sys.path.insert(0, ROOT)
elif ANOTHERS:
    raise WorkflowError(
        f"the folder workflow_scripts in {os.getcwd()} would be taken for this workflow's package; work in another folder"
    )

try:
    import workflow_scripts
except ModuleNotFoundError:
    raise WorkflowError(
        f"{ROOT} was read without its Python package, and none is installed; install slpd-workflow {VERSION} with its "
        "extra `workflow` from the same place (README.md) into the environment of Snakemake and of its jobs"
    ) from None

FOUND = workflow_scripts.__file__ or "a folder without __init__.py"
if IN_CLONE:
    OURS = os.path.isfile(FOUND) and os.path.samefile(FOUND, f"{ROOT}/workflow_scripts/__init__.py")
else:
    OURS = getattr(workflow_scripts, "__version__", "") == VERSION
if not OURS:
    raise WorkflowError(
        f"workflow_scripts was imported from {FOUND}, which is not the package of this workflow, slpd-workflow {VERSION}; "
        "install that, or take the other from PYTHONPATH and from what imports it first"
    )
if not IN_CLONE and DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method:
    raise WorkflowError(
        "--sdm conda works in a clone only: the environment of envs/conda.yaml cannot hold this workflow's own package; "
        "leave it out, and install slpd-workflow beside Snakemake"
    )
PACKAGE = os.path.dirname(FOUND)

# Jobs start with `python -m workflow_scripts.X` from any working directory, in any environment that has what it needs.
# A plug-in encoder may lie in a PYTHONPATH of the user's own.
PREFIX = f"export PYTHONPATH={shlex.quote(ROOT)}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; " if IN_CLONE else ""
if ANOTHERS:
    PREFIX += "export PYTHONSAFEPATH=1; "  # jobs do not look into the working directory
# The prefix is one for all rules of a run. What holds without it (set -euo pipefail), or is set by a workflow that uses
# this one as a module, stays before it.
PREFIX = shell._get_process_prefix("bash").replace("{", "{{").replace("}", "}}") + PREFIX
shell.prefix(PREFIX)
