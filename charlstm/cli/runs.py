"""What the commands that look at several runs have in common."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlstm.cli.arguments import PathName
from charlstm.errors import FileError
from charlstm.messages import printable

if TYPE_CHECKING:
    from charlstm.saved.history import History

RUNS = click.argument(
    "paths",
    metavar="RUN...",
    nargs=-1,
    required=True,
    type=PathName(file_okay=False),
)


def histories_of(paths: Sequence[Path]) -> "dict[str, History]":
    """The histories of runs by name; says which runs, and which lines, were left out.

    Raises `FileError` where no run can be read.
    """
    from charlstm.look.curves.comparison import names_of
    from charlstm.saved.finding import require_run, runs_within
    from charlstm.saved.history import read_history

    distinct = runs_within(paths)
    histories = {}
    for name, path in zip(names_of(distinct), distinct, strict=True):
        run = require_run(path)
        try:
            histories[name] = told_damage(read_history(run.metrics), name)
        except FileError as error:
            if len(distinct) == 1:
                raise
            warn(f"{name}: left out: {error}")
    if not histories:
        raise FileError("none of these runs can be read")
    return histories


def told_damage(history: "History", name: str) -> "History":
    if history.damaged:
        count, first = len(history.damaged), history.damaged[0]
        warn(f"{name}: {count} damaged lines in metrics.jsonl left out, the first is line {first}")
    return history


def warn(line: str) -> None:
    click.echo(printable(f"Warning: {line}"), err=True)


def echo(lines: Iterable[str]) -> None:
    """On stdout, whatever its encoding: what that lacks is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        click.echo(line.encode(encoding, "backslashreplace").decode(encoding))
