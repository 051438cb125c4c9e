"""``charlstm train``."""

import os
import shlex
import time
from pathlib import Path

import click

from charlstm.cli.arguments import Number, PathName
from charlstm.cli.completion import complete_setting
from charlstm.cli.paths import echo_path
from charlstm.config.settings import Config
from charlstm.config.writing import dump_config
from charlstm.messages import show
from charlstm.system.mpi_launcher import hear, is_helper
from charlstm.training.resources import environment_for


@click.command("train")
@click.argument("source", metavar="TEXT|CONFIG|RUN", type=PathName())
@click.argument(
    "overrides", metavar="[TEXT]... [KEY=VALUE]...", nargs=-1, shell_complete=complete_setting
)
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint, or start.")
@click.option("--overwrite", is_flag=True, help="Remove the run that is in the folder first.")
@click.option("--exact", is_flag=True, help="Refuse to resume where rounding would differ.")
@click.option(
    "--out",
    metavar="FOLDER",
    type=PathName(),
    show_default="runs/<name of the text or CONFIG>",
    help="Run folder.",
)
@click.option(
    "--minutes",
    metavar="X",
    type=Number(min=0, min_open=True),
    help="How long it may take; the size of the model follows from it.",
    show_default="as the settings say",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done; write nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only errors.")
def command(
    source: Path,
    overrides: tuple[str, ...],
    *,
    resume: bool,
    overwrite: bool,
    exact: bool,
    out: Path | None,
    minutes: float | None,
    dry_run: bool,
    quiet: bool,
) -> None:
    r"""Learn from a text.

    TEXT is one file or several, globs, or - for standard input. CONFIG is a YAML file (`charlstm
    config` prints one); texts after it replace the text in it, and KEY=VALUE its settings. RUN is
    the folder of a run, to go on with. Prints the run folder on stdout when done. Ctrl-C saves and
    stops.

    \b
    charlstm train notes.txt
    charlstm train notes.txt --minutes 3
    charlstm train runs/notes --resume
    charlstm train c.yaml training.learning_rate=1e-3 model.hidden_size=256 --out runs/h256
    """
    if is_helper():
        help_rank_0()
        return
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other.")
    from charlstm.cli.sources import source_of
    from charlstm.cli.streams import texts_in_files

    length = () if minutes is None else (f"training.minutes={minutes:g}", "training.steps=null")
    words = (str(source), *length, *overrides)
    found = source_of(words)
    folder = out or found.folder()
    if resume and found.run is not None:
        tell_apart(found.run.path, folder, source)
    with texts_in_files(found.texts, folder, dry_run=dry_run) as texts:
        config = found.config(texts)
        again = ["charlstm", "train", *words, "--resume", *(["--out", str(out)] if out else [])]
        if texts != found.texts and not dry_run:
            if not quiet:
                click.echo(f"The text is kept in {show(folder)}, to be read again.", err=True)
            again = ["charlstm", "train", str(folder), "--resume"]
        os.environ.update(environment_for(config))  # before NumPy is imported
        if dry_run:
            show_plan(config, folder, resume=resume, overwrite=overwrite)
        else:
            asked = {"resume": resume, "overwrite": overwrite, "exact": exact, "quiet": quiet}
            train(config, folder, asked, shlex.join(again))


def tell_apart(named: Path, folder: Path, source: Path) -> None:
    """Going on with a run is never turned into starting another one unseen."""
    if named.resolve() == folder.resolve():
        return
    if source.is_dir():
        raise click.UsageError(f"--resume goes on in {source}; leave out the other folder.")
    click.echo(f"The run is that of {show(folder)}, with the settings of {show(named)}.", err=True)


def train(config: Config, folder: Path, asked: dict[str, bool], again: str) -> None:
    from charlstm.system.signals import end_by
    from charlstm.training import run
    from charlstm.training.console import say, say_nothing
    from charlstm.training.resuming import Options

    options = Options(**asked)
    outcome = run.run_training(config, folder, options, say_nothing if options.quiet else say)
    if not options.quiet:
        say(run.ending(outcome, folder, again))
    if outcome.stopped_by is not None:
        end_by(outcome.stopped_by)
    echo_path(folder)


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


def show_plan(asked: Config, folder: Path, *, resume: bool, overwrite: bool) -> None:
    from charlstm.saved.run_folder import RunFolder
    from charlstm.training.advice import advice
    from charlstm.training.budget import fit_to_time, is_due
    from charlstm.training.dataset import read_dataset
    from charlstm.training.estimate import check_memory, decided, describe
    from charlstm.training.growth import on_new_characters
    from charlstm.training.resuming import check_kind_of_source, check_same_experiment, so_far

    known = so_far(RunFolder(folder)) if resume else None
    dataset = read_dataset(asked, known=known)
    if known is None:
        check_kind_of_source(dataset)
    else:
        check_same_experiment(known, dataset)
    if is_due(asked, None if known is None else known.config):
        timed = fit_to_time(dataset, None, time.monotonic())
        dataset = timed.dataset
        click.echo(f"Measured: {timed.characters_per_second:,.0f} characters a second.", err=True)
    needed = check_memory(dataset.config, dataset.corpus.vocabulary.size)
    click.echo(dump_config(dataset.config), nl=False)
    warnings = (f"Warning: {line}" for line in advice(dataset))
    for line in [describe(dataset), *on_new_characters(dataset), *decided(dataset), *warnings]:
        click.echo(line, err=True)
    click.echo(f"memory: about {needed / 1e6:,.0f} MB beside the text", err=True)
    is_taken = RunFolder(folder).holds_a_run() and not resume and not overwrite
    held = ", which holds a run: with --resume, or --overwrite" if is_taken else ""
    click.echo(f"would write to {show(folder)}{held}; nothing was written", err=True)
