"""``charlstm compare``."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli.runs import RUNS, echo, warn
from charlstm.messages import json_text

if TYPE_CHECKING:
    from charlstm.look.curves.comparison import RunSummary

Settings = dict[str, list[Any]]
HEADINGS = {
    "name": "name",
    "cell": "cell",
    "size": "size",
    "parameters": "parameters",
    "steps": "steps",
    "bits": "bits/char",
    "speed": "chars/s",
    "state": "state",
}
TEXTS = ("name", "cell", "state")
UNKNOWN = "-"


@click.command("compare")
@RUNS
@click.option(
    "--sort",
    metavar="COLUMN",
    show_default="the order given",
    help=f"{', '.join(HEADINGS)}, or a setting.",
)
@click.option("-r", "--reverse", is_flag=True, help="With --sort: from high to low.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated, numbers in full.")
def command(
    paths: tuple[Path, ...], *, sort: str | None, reverse: bool, as_json: bool, as_csv: bool
) -> None:
    r"""Runs side by side, and the settings in which they differ.

    Bits per character are the best on the validation text; characters per second the median of
    all reports. A run is running (a process trains in its folder), finished, stopped (--resume
    goes on) or failed (no checkpoint can be used, or the numbers went wrong after the last).
    Nothing is written into the folders. A folder that holds runs, as a sweep leaves it, stands
    for them.

    \b
    charlstm compare runs/*
    charlstm compare runs/* --sort bits
    charlstm compare runs/* --sort training.learning_rate --csv > runs.csv
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other.")
    if reverse and sort is None:
        raise click.UsageError("--reverse goes with --sort.")
    from charlstm.look.curves.comparison import differing_settings, ordered, summaries_of

    runs = summaries_of(paths)
    if sort is not None:
        runs = ordered(runs, sort, reverse=reverse)
    settings = differing_settings(runs)
    for run in runs:
        if run.state == "failed":
            warn(f"{run.name}: {run.problem}")
    if as_json:
        click.echo(json_text(as_dict(runs, settings)))
    elif as_csv:
        click.echo(csv_of(runs, settings), nl=False)
    else:
        echo(tables(runs, settings))


def as_dict(runs: Sequence["RunSummary"], settings: Settings) -> dict[str, Any]:
    rows = [
        {
            **figures(run),
            "problem": run.problem,
            "differing_settings": {path: values[place] for path, values in settings.items()},
        }
        for place, run in enumerate(runs)
    ]
    return {"runs": rows, "differing_settings": list(settings)}


def csv_of(runs: Sequence["RunSummary"], settings: Settings) -> str:
    """As RFC 4180 has it, but for the line ends of this system; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for place, run in enumerate(runs):
        row = figures(run)
        if place == 0:
            writer.writerow([*row, *settings])
        writer.writerow([*row.values(), *(plain(v[place], run, "") for v in settings.values())])
    return text.getvalue()


def figures(run: "RunSummary") -> dict[str, Any]:
    from charlstm.messages import show

    layers, hidden_size = run.size or (None, None)
    return {
        "name": run.name,
        "path": show(run.path),
        "state": run.state,
        "cell": run.cell,
        "layers": layers,
        "hidden_size": hidden_size,
        "parameters": run.parameters,
        "steps": run.steps,
        "best_bits_per_char": run.best_bits_per_char,
        "chars_per_second": run.chars_per_second,
    }


def tables(runs: Sequence["RunSummary"], settings: Settings) -> Iterator[str]:
    left = [name in TEXTS for name in HEADINGS]
    yield from aligned([list(HEADINGS.values()), *map(cells, runs)], left)
    if settings:
        yield ""
        yield from table_of_settings(runs, settings)


def cells(run: "RunSummary") -> list[str]:
    return [
        run.name,
        run.cell or UNKNOWN,
        "{} x {}".format(*run.size) if run.size else UNKNOWN,
        number(run.parameters),
        number(run.steps),
        UNKNOWN if run.best_bits_per_char is None else f"{run.best_bits_per_char:.4f}",
        number(run.chars_per_second),
        run.state,
    ]


def number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def table_of_settings(runs: Sequence["RunSummary"], settings: Settings) -> Iterator[str]:
    """A row for each run, or for each setting where that is narrower."""
    rows = [["settings that differ", *settings]]
    for place, run in enumerate(runs):
        rows.append([run.name, *(plain(v[place], run, UNKNOWN) for v in settings.values())])
    turned = [list(row) for row in zip(*rows, strict=True)]
    narrow = min(rows, turned, key=lambda table: sum(widths(table)))
    yield from aligned(narrow, [True] * len(narrow[0]))


def plain(value: Any, run: "RunSummary", unknown: str) -> str:
    from charlstm.config.writing import written

    return unknown if run.config is None else written(value)


def aligned(rows: Sequence[Sequence[str]], left: Sequence[bool]) -> Iterator[str]:
    columns = list(zip(widths(rows), left, strict=True))
    for row in rows:
        padded = (
            f"{cell:<{width}}" if to_left else f"{cell:>{width}}"
            for cell, (width, to_left) in zip(row, columns, strict=True)
        )
        yield "  ".join(padded).rstrip()


def widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]
