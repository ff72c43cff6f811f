"""Configuration, manifest and helper functions shared by all rules. Nothing here imports torch or opens a slide."""

import json
import os
import re
import shlex
import sys

sys.path.insert(0, workflow.basedir)

from workflow_scripts.config import load_config, result_settings
from workflow_scripts.core.digest import code_digest, value_digest
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.manifest import read_manifest, shard_of

# Jobs start with `python -m workflow_scripts.X` from any working directory, in any environment.
shell.prefix(f"export PYTHONPATH={shlex.quote(workflow.basedir)}; ")

try:
    CFG = load_config(config)
    MANIFEST = CFG.cohort.manifest
    SLIDES = {row.slide_id: row for row in read_manifest(MANIFEST)}
except UserError as error:
    raise WorkflowError(str(error)) from None

COHORT = CFG.cohort.name
ENCODER = CFG.features.encoder
SHARDS = range(CFG.features.shards)
REPRESENTATIONS = [*CFG.embed.baselines, *CFG.pretrain.runs]


wildcard_constraints:
    cohort=re.escape(COHORT),
    encoder=re.escape(ENCODER),
    slide="|".join(map(re.escape, SLIDES)),
    shard=r"\d+",
    run="|".join(map(re.escape, CFG.pretrain.runs)),
    round=r"\d{2}",
    warm_up=r"warm_up_[0-9a-f]{8}",
    baseline="|".join(CFG.embed.baselines) or "none",
    representation="|".join(map(re.escape, REPRESENTATIONS)),
    task="|".join(map(re.escape, CFG.benchmark.tasks)),
    head=r"[a-z0-9_]+",


def settings(section):
    """What of a section decides whether a rule runs again, as JSON with sorted keys."""
    return json.dumps(section if isinstance(section, dict) else result_settings(section), sort_keys=True)


def code(module):
    """Digest of an entry and of every module it imports: a comment reruns nothing, a change what depends on it."""
    return code_digest(f"workflow_scripts.{module}")


def per_slide(pattern):
    """Files of all slides of the manifest, under the cohort's results."""
    return expand(f"results/{COHORT}/{pattern}", slide=SLIDES)


def of_shard(pattern):
    """Input function: files of the slides of the wildcard `shard`."""

    def files(wildcards):
        mine = [s for s in SLIDES if shard_of(s, CFG.features.shards) == int(wildcards.shard)]
        return expand(f"results/{COHORT}/{pattern}", slide=mine)

    return files
