"""``charlstm plot``."""

import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli.arguments import PathName, options_given
from charlstm.cli.runs import RUNS, echo, histories_of, warn
from charlstm.errors import FileError
from charlstm.messages import json_text

if TYPE_CHECKING:
    from charlstm.look.curves.panels import Panel
    from charlstm.saved.history import Axis, History


@click.command("plot")
@RUNS
@click.option(
    "-o",
    "--out",
    metavar="PICTURE",
    type=PathName(dir_okay=False),
    show_default="a chart in the terminal",
    help="Write a .png or .svg; needs matplotlib.",
)
@click.option(
    "--metric",
    metavar="NAME,...",
    default="train_loss,val_loss",
    show_default=True,
    help="Also learning_rate, grad_norm, clipped_share, chars_per_second, train_bits_per_char,"
    " val_bits_per_char, bits_above_source.",
)
@click.option(
    "--x",
    "axis",
    type=click.Choice(["step", "epoch", "seconds"]),
    default="step",
    show_default=True,
    help="Against what.",
)
@click.option("--log", "logarithmic", is_flag=True, help="Logarithmic y axis.")
@click.option("--json", "as_json", is_flag=True, help="The curves as one JSON object on stdout.")
@click.option(
    "--tensorboard",
    metavar="FOLDER",
    type=PathName(file_okay=False),
    show_default="none",
    help="Write all metrics as event files instead; needs tensorboardX.",
)
def command(
    paths: tuple[Path, ...],
    *,
    out: Path | None,
    metric: str,
    axis: "Axis",
    logarithmic: bool,
    as_json: bool,
    tensorboard: Path | None,
) -> None:
    r"""Draw the curves of one or many runs.

    Reads metrics.jsonl, also while a run is training. Several runs get a panel for each metric; a
    single one has training and validation loss in one.

    \b
    charlstm plot runs/quickstart
    charlstm plot runs/* -o curves.png --metric val_loss --x seconds
    charlstm plot runs/quickstart -o curves.svg --metric train_loss,val_loss,learning_rate,grad_norm
    charlstm plot runs/* --tensorboard events && tensorboard --logdir events
    """
    if sum((out is not None, as_json, tensorboard is not None)) > 1:
        raise click.UsageError("-o, --json and --tensorboard exclude each other.")
    if as_json and logarithmic:
        raise click.UsageError("--log is for a picture; --json has the numbers.")
    if tensorboard is not None:
        refuse_what_is_of_a_picture()
    from charlstm.look.curves.panels import metric_names, panels_of

    metrics = metric_names(metric)
    if out is not None:
        from charlstm.look.curves.charts import format_of

        format_of(out)
    histories = histories_of(paths)
    if tensorboard is not None:
        write_events(histories, tensorboard)
        return
    if as_json:
        click.echo(json_text(as_dict(histories, metrics, axis)))
        return
    panels = panels_of(histories, metrics, axis, logarithmic=logarithmic)
    tell_what_is_missing(histories, metrics)
    if not panels:
        above = " above 0, which --log needs" if logarithmic else ""
        raise FileError(
            f"{', '.join(histories)}: nothing to draw; no report has {metric}{above} yet"
        )
    if out is not None:
        write_picture(panels, out)
    else:
        show_in_terminal(panels)


def refuse_what_is_of_a_picture() -> None:
    for name, option in options_given().items():
        if name in ("metric", "axis", "logarithmic"):
            raise click.UsageError(f"{option} is for a picture; --tensorboard writes all metrics.")


def tell_what_is_missing(histories: "Mapping[str, History]", metrics: Sequence[str]) -> None:
    for name, history in histories.items():
        missing = [metric for metric in metrics if not history.finite(metric)]
        if missing:
            warn(f"{name} has no {' and no '.join(missing)}")


def as_dict(
    histories: "Mapping[str, History]", metrics: Sequence[str], axis: "Axis"
) -> dict[str, Any]:
    return {
        "x": axis,
        "runs": {
            name: {metric: points(history, metric, axis) for metric in metrics}
            for name, history in histories.items()
        },
    }


def points(history: "History", metric: str, axis: "Axis") -> dict[str, list[Any]]:
    curve = history.curve(metric, axis)
    return {"x": curve.x, "y": [None if math.isnan(y) else y for y in curve.y]}


def write_picture(panels: "Sequence[Panel]", out: Path) -> None:
    from charlstm.look.curves.charts import save_picture
    from charlstm.messages import show

    save_picture(panels, out)
    click.echo(f"Written: {show(out)}", err=True)


def show_in_terminal(panels: "Sequence[Panel]") -> None:
    from charlstm.look.curves.charts import style_of, terminal_chart

    encoding = sys.stdout.encoding or "utf-8"
    width = shutil.get_terminal_size().columns
    style = style_of(os.environ, encoding, width, sys.stdout.isatty())
    for number, panel in enumerate(panels):
        echo([""] if number else [])
        echo(terminal_chart(panel, style))


def write_events(histories: "Mapping[str, History]", folder: Path) -> None:
    from charlstm.look.curves.tensorboard import write_events
    from charlstm.messages import show

    write_events(histories, folder)
    click.echo(f"Written: {show(folder)} (tensorboard --logdir {show(folder)})", err=True)
