"""``charlstm demo``."""

import os
import shlex
from pathlib import Path

import click

from charlstm.cli.arguments import PathName
from charlstm.cli.completion import complete_setting
from charlstm.cli.train import train
from charlstm.config.recipes import TEXT, shipped
from charlstm.config.writing import written
from charlstm.training.resources import resources_for


@click.command("demo")
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1, shell_complete=complete_setting)
@click.option(
    "--out",
    metavar="FOLDER",
    type=PathName(),
    default="runs/demo",
    show_default=True,
    help="Run folder.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, only errors.")
def command(overrides: tuple[str, ...], *, out: Path, quiet: bool) -> None:
    r"""Train on a text that ships with charlstm.

    A small town's newspaper, written by a grammar, so that the best possible loss is known. Takes
    one or two minutes; Ctrl-C saves and stops, and the same command goes on. Prints the run folder
    on stdout when done.

    \b
    charlstm demo
    """
    from charlstm.config.reading import load_config

    where = f"data.files={written(str(shipped(TEXT)))}"
    config = load_config(shipped("quickstart.yaml"), [where, *overrides])
    os.environ.update(resources_for(config).environment)  # before NumPy is imported
    asked = {"resume": True, "overwrite": False, "exact": False, "quiet": quiet}
    train(config, out, asked, shlex.join(["charlstm", "demo", *overrides, "--out", str(out)]))
