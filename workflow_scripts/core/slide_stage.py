"""The stages that make a few files of one slide in a short time: what their commands have in common.

The command of such a stage has, beside `main`, the functions of `Stage`. `for_slides` runs it for many slides.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from workflow_scripts.core.entry import entry_parser
from workflow_scripts.core.status import Reason, SlideStatus


class Files(NamedTuple):
    """The files of one slide, and what they are made of.

    Attributes:
        outputs: the files; the last is a table with `args.made_of` in its metadata, written when all others are there.
        tables: of earlier stages; the slide itself is known by that of check_slide, if it is among them.
        slide: path of the slide, which need not exist, where none of the tables names it.
        others: the user's other files.
    """

    outputs: Sequence[str]
    tables: Sequence[str] = ()
    slide: str | None = None
    others: Sequence[str] = ()


class Stage(Protocol):
    """The module of a stage's command.

    Attributes:
        ENDED: reason of a slide whose process a signal has ended.
    """

    ENDED: Reason

    def slide_parser(self) -> ArgumentParser:
        """Options of the command, from `stage_parser`."""

    def files(self, args: Namespace) -> Files:
        """The files, and what they are made of."""

    def run(self, args: Namespace, ended: SlideStatus | None = None) -> None:
        """Make them; where `ended` is given, those of a slide that was excluded so."""


def stage_parser(description: str | None) -> ArgumentParser:
    """Argument parser with the option that the commands of these stages share, `--made-of`."""
    parser = entry_parser(description)
    parser.add_argument("--made-of", default="", help="digest of what it is made of, by which for_slides keeps it")
    return parser
