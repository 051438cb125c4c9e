"""The kinds of values that options and arguments take, and what is wrong with others."""

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource


class WholeNumber(click.IntRange):
    """``N`` in the help."""

    name = "whole number"

    def get_metavar(self, param: click.Parameter, ctx: Any = None) -> str:
        del param, ctx
        return "N"


class Number(click.FloatRange):
    """``X`` in the help."""

    name = "number"

    def get_metavar(self, param: click.Parameter, ctx: Any = None) -> str:
        del param, ctx
        return "X"


class PathName(click.Path):
    """A `Path`. ``file_okay`` and ``dir_okay`` as in click, which completes names by them.

    An empty name, as ``--out "$UNSET"`` gives one, would mean the working directory.
    """

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        if not os.fspath(value):
            self.fail("the name is empty; write . for the working directory.", param, ctx)
        path = Path(value)
        if not self.file_okay and os.path.isfile(path):  # noqa: PTH113 (a NUL raises in pathlib)
            self.fail(f"{str(path)!r} is a file; name a folder.", param, ctx)
        if not self.dir_okay and os.path.isdir(path):  # noqa: PTH112
            self.fail(f"{str(path)!r} is a folder; name a file.", param, ctx)
        return path


def options_given() -> dict[str, str]:
    """What the command line says itself, by the names of the parameters: how each is written."""
    context = click.get_current_context()
    return {
        parameter.name: parameter.opts[0]
        for parameter in context.command.params
        if parameter.name
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    }
