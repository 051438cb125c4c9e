"""``charlstm look``."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlstm.cli.arguments import PathName, WholeNumber, options_given
from charlstm.cli.paths import refuse_to_replace
from charlstm.messages import json_text

if TYPE_CHECKING:
    from charlstm.look.cells.findings import Findings, Table
    from charlstm.look.cells.text import Text
    from charlstm.saved.checkpoint import LoadedModel
    from charlstm.text.vocabulary import Vocabulary


@click.command("look")
@click.argument("path", metavar="CHECKPOINT", type=PathName())
@click.argument("source", metavar="TEXT")
@click.option(
    "-o",
    "--out",
    metavar="PAGE.html",
    type=PathName(dir_okay=False),
    show_default="none",
    help="Write the page.",
)
@click.option(
    "--reach",
    default=64,
    show_default=True,
    type=WholeNumber(1, 500),
    help="How many characters back the page draws gradients.",
)
@click.option("--json", "as_json", is_flag=True, help="Telling cells: one JSON object on stdout.")
@click.option("--terminal", is_flag=True, help="Colour the text by one unit, here.")
@click.option(
    "--layer", type=WholeNumber(0), show_default="the most telling", help="With --terminal."
)
@click.option(
    "--unit", type=WholeNumber(0), show_default="the most telling", help="With --terminal."
)
@click.option(
    "--gate",
    default="c",
    show_default=True,
    type=click.Choice(["c", "h", "i", "f", "o", "g"]),
    help="With --terminal: tanh(c), h or a gate.",
)
def command(
    path: Path,
    source: str,
    *,
    out: Path | None,
    reach: int,
    as_json: bool,
    terminal: bool,
    layer: int | None,
    unit: int | None,
    gate: str,
) -> None:
    r"""See what the cells have learned.

    The model reads TEXT (a file, or - for stdin; its first 20,000 characters). PAGE.html shows it
    coloured by any unit, with the cells that go along with quotations, brackets, lines and more;
    it is one file and needs no network.

    \b
    charlstm look runs/quickstart data/harbour.txt -o page.html
    charlstm look runs/quickstart data/harbour.txt --json
    charlstm sample runs/quickstart | charlstm look runs/quickstart - --terminal
    """
    if out is None and not as_json and not terminal:
        raise click.UsageError("Nothing to do: give -o PAGE.html, --json or --terminal.")
    if as_json and terminal:
        raise click.UsageError("--json and --terminal both write to stdout; choose one.")
    if out is None and "reach" in options_given():
        raise click.UsageError("--reach is of the page: give -o PAGE.html.")
    if not terminal and (layer is not None or unit is not None or gate != "c"):
        raise click.UsageError("--layer, --unit and --gate go with --terminal.")
    from charlstm.from_config import text_rules_of
    from charlstm.look.cells.findings import findings_of, table_of
    from charlstm.look.cells.text import LONGEST, read_text
    from charlstm.look.unknown_characters import advised
    from charlstm.saved.checkpoint import load_model

    loaded = load_model(path)
    if out is not None:
        refuse_to_replace(out, (loaded.path, Path(source)))
    with advised(loaded):
        text = read_text(source, loaded.vocabulary, text_rules_of(loaded.config))
    if text.cut:
        click.echo(f"{text.name}: the first {LONGEST:,} characters are looked at.", err=True)
    if out is None:
        table = table_of(loaded.model, text)
    else:
        report = findings_of(loaded.model, text, reach)
        table = report.table
        write_page(out, report, loaded)
    if as_json:
        click.echo(json_text(as_dict(table, text, loaded)))
    if terminal:
        place = choose_unit(table, loaded, layer, unit)
        show_in_terminal(text, loaded, place, gate)


def write_page(out: Path, report: "Findings", loaded: "LoadedModel") -> None:
    from charlstm.look.cells.page import page
    from charlstm.messages import show
    from charlstm.system.files import write_named

    about = {"name": show(loaded.path), "step": loaded.progress.step}
    html = page(report, loaded.model, loaded.vocabulary, about).encode("utf-8")
    write_named(out, [html])
    click.echo(f"Written: {show(out)} ({len(html) / 1e6:.1f} MB)", err=True)


def as_dict(table: "Table", text: "Text", loaded: "LoadedModel") -> dict[str, object]:
    from charlstm.look.cells.features import FEATURES
    from charlstm.look.cells.telling import MEASURE

    return {
        "checkpoint": str(loaded.path),
        "step": loaded.progress.step,
        "text": text.name,
        "characters": len(text.ids),
        "bits_per_char": table.bits_per_char,
        "measure": MEASURE,
        "features": {feature.name: feature.definition for feature in FEATURES},
        "cells": [cell.as_dict() for cell in table.cells],
    }


def choose_unit(
    table: "Table", loaded: "LoadedModel", layer: int | None, unit: int | None
) -> tuple[int, int]:
    """The one asked for; what is not asked for is that of the strongest correlation."""
    from charlstm.errors import ConfigError

    shape = loaded.model.shape
    for name, asked, count in (("layer", layer, shape.layers), ("unit", unit, shape.hidden_size)):
        if asked is not None and asked >= count:
            raise ConfigError(f"--{name} {asked}: the model has {name}s 0 to {count - 1}")
    if layer is not None and unit is not None:
        return layer, unit
    best = table.best(layer, unit)
    if best is None:
        return layer or 0, unit or 0
    click.echo(f"{best.feature}: correlation {best.correlation:+.2f}", err=True)
    return best.layer, best.unit


def spelled_out(text: "Text", vocabulary: "Vocabulary") -> tuple[list[str], list[int], set[int]]:
    """Characters, the place in the text that each belongs to, and which of them begin an item. A
    reserved symbol has as many as its name.
    """
    from charlstm.look.cells.glyphs import of_reserved

    names = of_reserved(text.ids, vocabulary)
    starts = set() if text.items is None else set(text.items.begins.nonzero()[0].tolist())
    shown: list[str] = []
    places: list[int] = []
    begins: set[int] = set()
    for place in text.ends().tolist():
        if place in starts:
            begins.add(len(shown))
        signs = names.get(place, text.characters[place])
        shown += signs
        places += [place] * len(signs)
    return shown, places, begins


def show_in_terminal(
    text: "Text", loaded: "LoadedModel", place: tuple[int, int], gate: str
) -> None:
    import numpy as np

    from charlstm.look.cells.activations import activations, read
    from charlstm.look.cells.terminal import colours_of, lines

    layer, unit = place
    values = np.concatenate(
        [
            activations(piece.tapes[layer], gate)[:, unit].copy()
            for piece in read(loaded.model, text.ids, items=text.items)
        ]
    )
    click.echo(f"Layer {layer}, unit {unit}, {gate}", err=True)
    colours = colours_of(os.environ, is_terminal=sys.stdout.isatty())
    shown, ends, begins = spelled_out(text, loaded.vocabulary)
    for line in lines(shown, values[ends], gate, colours, begins):
        sys.stdout.buffer.write(line.encode("utf-8", "backslashreplace") + b"\n")
    sys.stdout.buffer.flush()
