"""The options of commands that let a model write: how it chooses, and what a text must be."""

from collections.abc import Callable
from typing import Any

import click

from charlstm.cli.arguments import Number, WholeNumber

Command = Callable[..., Any]

label_option = click.option(
    "--label", show_default="none", help="Of a list with labels: which items have it."
)
OPTIONS = (
    click.option(
        "-n", "--length", "--max-length", default=500, type=WholeNumber(0), help="Characters."
    ),
    click.option(
        "-t",
        "--temperature",
        default=1.0,
        type=Number(0, max=1e6),
        help="Below 1 safer, above 1 wilder; 0 always takes the likeliest.",
    ),
    click.option(
        "--top-k",
        default=0,
        type=WholeNumber(0),
        help="Choose among the K likeliest characters; 0: among all.",
    ),
    click.option(
        "--top-p",
        default=1.0,
        type=Number(0, 1, min_open=True),
        help="Choose among the likeliest that together have probability P.",
    ),
    click.option("--stop", show_default="none", help="End a text before this one."),
    click.option(
        "--only", metavar="CHARS", show_default="all", help="Write these characters only."
    ),
    click.option(
        "--ban",
        metavar="CHARS",
        default="",
        show_default="none",
        help="Write none of these characters.",
    ),
    click.option(
        "--match",
        metavar="REGEX",
        show_default="none",
        help="Write what matches this regular expression as a whole.",
    ),
    click.option(
        "--min-length",
        type=WholeNumber(0),
        show_default="0; of a list 1",
        help="Characters at least: with --match, or of a list.",
    ),
    label_option,
)


def sampling_options(command: Command) -> Command:
    """Those of `charlstm.writing.options.SampleOptions`, by which the command gets them, but for
    ``seed``, ``skip_unknown`` and ``errors``.
    """
    for option in reversed(OPTIONS):
        command = option(command)
    return command
