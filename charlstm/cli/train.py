"""``charlstm train``."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlstm.cli.arguments import PathName
from charlstm.cli.completion import complete_setting
from charlstm.config.reading import load_config
from charlstm.config.writing import dump_config
from charlstm.system.mpi_launcher import hear, is_helper
from charlstm.system.signals import save_requests_may_come_early
from charlstm.training.resources import resources_for

if TYPE_CHECKING:
    from charlstm.training.dataset import Dataset


@click.command("train")
@click.argument("config_file", metavar="CONFIG", type=PathName())
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1, shell_complete=complete_setting)
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint, or start.")
@click.option("--overwrite", is_flag=True, help="Remove the run that is in the folder first.")
@click.option("--exact", is_flag=True, help="Refuse to resume where rounding would differ.")
@click.option(
    "--out",
    metavar="FOLDER",
    type=PathName(),
    show_default="runs/<name of CONFIG>",
    help="Run folder.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done; write nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only errors.")
def command(
    config_file: Path,
    overrides: tuple[str, ...],
    *,
    resume: bool,
    overwrite: bool,
    exact: bool,
    out: Path | None,
    dry_run: bool,
    quiet: bool,
) -> None:
    r"""Learn from a text.

    CONFIG is a YAML file (`charlstm config` prints one); settings after it replace those in it.
    Prints the run folder on stdout when done. Ctrl-C saves and stops.

    \b
    charlstm train configs/quickstart.yaml
    charlstm train configs/quickstart.yaml --resume
    charlstm train c.yaml training.learning_rate=1e-3 model.hidden_size=256 --out runs/h256
    """
    save_requests_may_come_early()
    if is_helper():
        help_rank_0()
        return
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other.")
    config = load_config(config_file, overrides)
    folder = out or Path(config.output.directory or Path("runs") / config_file.stem)
    os.environ.update(resources_for(config).environment)  # before NumPy is imported

    from charlstm.system.signals import end_by
    from charlstm.training import run
    from charlstm.training.console import say, say_nothing
    from charlstm.training.dataset import read_dataset
    from charlstm.training.resuming import Options

    if dry_run:
        show_plan(read_dataset(config), folder)
        return
    outcome = run.run_training(
        config,
        folder,
        Options(resume=resume, overwrite=overwrite, exact=exact, quiet=quiet),
        say_nothing if quiet else say,
    )
    again = shlex.join(["charlstm", "train", str(config_file), *overrides, "--resume"])
    if out is not None:
        again += f" --out {shlex.quote(str(out))}"
    if not quiet:
        say(run.ending(outcome, folder, again))
    if outcome.stopped_by is not None:
        end_by(outcome.stopped_by)
    click.echo(folder)


def help_rank_0() -> None:
    """Take part in the training that another process of an MPI job leads."""
    setup = hear()
    if setup is None:
        return
    os.environ.update(setup["environment"])  # before NumPy is imported

    from charlstm.system.mpi_comm import helping
    from charlstm.training.worker import work

    with helping() as comm:
        work(comm, setup)


def show_plan(dataset: "Dataset", folder: Path) -> None:
    from charlstm.training.estimate import check_memory, describe

    config = dataset.config
    needed = check_memory(config, dataset.corpus.vocabulary.size)
    click.echo(dump_config(config), nl=False)
    click.echo(describe(dataset), err=True)
    click.echo(f"memory: about {needed / 1e6:,.0f} MB beside the text", err=True)
    click.echo(f"would write to {folder}; nothing was written", err=True)
