"""Arguments of the two training commands. Without torch: they are parsed before a GPU is leased."""

import argparse

from workflow_scripts.config import PretrainRun
from workflow_scripts.core.feature_store import add_feature_arguments


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Settings, features, and the outputs of a command that trains."""
    parser.add_argument("--config", type=PretrainRun.of_step_json, required=True, help="settings, JSON")
    add_feature_arguments(parser)
    parser.add_argument("--code", default="", help="digest of the code, for resuming")
    parser.add_argument("--state", required=True, help="output: state.safetensors")
    parser.add_argument("--metrics", required=True, help="output: metrics.parquet")
    parser.add_argument("--scratch", required=True, help="folder of the resumable state")
    parser.add_argument("--micro-batch", type=int, default=0, help="regions a device holds at once; 0 chooses")
    parser.add_argument("--compile", choices=("auto", "true", "false"), default="auto", help="compile and record steps")
    parser.add_argument("--deterministic", choices=("true", "false"), default="false", help="same bits on every run")
