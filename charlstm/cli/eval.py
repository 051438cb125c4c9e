"""``charlstm eval``."""

import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli.arguments import PathName, WholeNumber
from charlstm.cli.elsewhere import ask_before_reading_elsewhere
from charlstm.cli.items import is_of_a_list, items_to_score, rows_of_items
from charlstm.cli.pace import pace_options, require_use
from charlstm.messages import json_text, printable, without_surrogates

if TYPE_CHECKING:
    from charlstm.look.item_scores import ItemsToScore
    from charlstm.look.score import Part, TextToScore
    from charlstm.nn.pace import Pace
    from charlstm.saved.checkpoint import LoadedModel
    from charlstm.text.parts import Name

    AnyText = TextToScore | ItemsToScore


@click.command("eval")
@click.argument("path", metavar="CHECKPOINT", type=PathName())
@click.argument("names", metavar="[CHECKPOINT]... [TEXT]...", nargs=-1, type=PathName())
@click.option(
    "--part",
    type=click.Choice(["train", "validation", "test"]),
    show_default="the whole TEXT",
    help="This part of the text the model was trained on; TEXT: where that is now, if it moved.",
)
@click.option(
    "--by",
    type=click.Choice(["line", "character", "item"]),
    show_default="the whole text",
    help="Bits of every line or character; of a list, of every item.",
)
@click.option(
    "--lanes",
    type=WholeNumber(1),
    show_default="one, exactly",
    help="Read a long text soon: in so many pieces side by side, each warmed up.",
)
@click.option("--sort", is_flag=True, help="With --by item: the most surprising first.")
@click.option(
    "--percentile",
    is_flag=True,
    help="With --by item: how many of a hundred items held out surprise it less.",
)
@click.option(
    "--adapt", is_flag=True, help="Also as the model goes on learning from what it reads."
)
@pace_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--tsv", "as_tsv", is_flag=True, help="With --by: tab-separated, numbers in full.")
def command(
    path: Path,
    names: tuple[Path, ...],
    *,
    part: "Name | None",
    by: str | None,
    lanes: int | None,
    sort: bool,
    percentile: bool,
    adapt: bool,
    pace: "Pace",
    as_json: bool,
    as_tsv: bool,
) -> None:
    r"""Loss on a text, exactly.

    The model reads the whole TEXT (- is stdin; of several, one after the other) from its first
    character on, its state carried throughout, and predicts each character but the first from all
    before it. With --by, rows
    come while they are computed, control characters in them are escaped, and a line feed belongs
    to the line that it ends; so the bits of all rows add up to those of the text. The items of a
    list (data.items) are read each alone, and their rank is by bits a character.

    Several CHECKPOINTs of one vocabulary are mixed: the probability of a character is the mean of
    theirs.

    With --adapt it reads TEXT once more, and goes on learning from what it has read: each character
    is predicted before it is learned from (dynamic evaluation). Both figures are told. Of several
    CHECKPOINTs each learns by itself, and they are mixed as before.

    Asks before it reads, with --part, a text that lies neither below the working directory nor
    beside the run: a checkpoint from elsewhere may name any.

    With --lanes 64 a model of 512 units reads three to five times as much in a second on two cores,
    by the processor: each 32 lanes have a thread. A lane knows nothing of what lies more than 64
    characters before it: some 1e-5 nats of difference on Tiny Shakespeare.

    \b
    charlstm eval runs/quickstart data/harbour.txt
    charlstm eval runs/quickstart --part validation
    charlstm eval runs/quickstart data/harbour.txt --part validation
    charlstm eval runs/quickstart notes.txt --json
    charlstm eval runs/quickstart notes.txt --lanes 64
    charlstm eval runs/quickstart notes.txt --adapt
    charlstm eval runs/sweep/a runs/sweep/b notes.txt
    charlstm eval runs/quickstart notes.txt --by line --tsv | sort -t "$(printf '\t')" -k4 -g
    charlstm eval runs/ships strange.txt --by item --sort --percentile
    """
    if (sort or percentile) and by != "item":
        raise click.UsageError("--sort and --percentile go with --by item.")
    if as_tsv and (as_json or by is None):
        raise click.UsageError("--tsv goes with --by, and not with --json.")
    from charlstm.saved.finding import models_first

    others, names = models_first(names)
    check_names(names, part)
    require_use(pace, "--adapt", given=adapt)
    if lanes is not None and (adapt or by is not None):
        raise click.UsageError("--lanes gives the loss of the whole text alone, without --by.")
    from charlstm.look.score import part_to_score, text_to_score
    from charlstm.saved.checkpoint import load_mixture
    from charlstm.saved.own_text import NAMED_BY_EVAL

    loaded = load_mixture([path, *others])
    check_kind(by, listed=is_of_a_list(loaded), adapt=adapt, lanes=lanes)
    if (part is not None and not names) or percentile:
        ask_before_reading_elsewhere(loaded, NAMED_BY_EVAL)
    text: AnyText
    if is_of_a_list(loaded):
        text = items_to_score(names, part, loaded, sort=sort, percentile=percentile)
    else:
        text = text_to_score(names, loaded) if part is None else part_to_score(part, loaded, names)
        text.pace, text.lanes = pace if adapt else None, lanes
    if by is not None:
        write = write_json if as_json else write_tsv if as_tsv else write_table
        write(text, loaded, by)
        return
    for losses in readings(text, loaded):
        for _ in with_a_bar(losses, text):
            pass
    if as_json:
        click.echo(json_text(text.figures(loaded)))
    else:
        write_figures(text.figures(loaded), loaded.vocabulary.unit)


def check_names(names: tuple[Path, ...], part: str | None) -> None:
    if not names and part is None:
        raise click.UsageError("Give TEXT, or --part of the model's own text.")
    if Path("-") in names and (part is not None or len(names) > 1):
        raise click.UsageError("- stands alone: what is read from there is a whole text.")


def check_kind(by: str | None, *, listed: bool, adapt: bool, lanes: int | None) -> None:
    """What can be asked of the model of a list, and of one text."""
    if listed and by not in (None, "item"):
        raise click.UsageError(f"The model reads items: --by item, not --by {by}.")
    if listed and adapt:
        raise click.UsageError("The model reads items, each on its own: it cannot --adapt.")
    if listed and lanes is not None:
        raise click.UsageError("The model reads items, which are read side by side: no --lanes.")
    if by == "item" and not listed:
        raise click.UsageError("The model reads one text, not a list (data.items): --by line.")


def write_figures(figures: dict[str, Any], unit: str) -> None:
    """Static and adapted figures side by side, where there are both."""
    one, adapted = "byte" if unit == "bytes" else "char", figures.get("adapted")

    def row(name: str, of: str, what: str = "") -> None:
        values = [form(kind[of]) for kind in (figures, adapted) if kind is not None]
        click.echo(f"{name:14} {'  '.join(values)}{what}")

    if adapted is not None:
        click.echo(f"{'':14} static    adapted")
    if "items" in figures:
        click.echo(f"{'items':14} {figures['items']:,}")
    click.echo(f"{unit:14} {figures['characters']:,}")
    row("loss", "loss", f" nats per {one}{'acter' * (one == 'char')}")
    row(f"bits per {one}", "bits_per_char")
    if "items" in figures:
        row("bits per item", "bits_per_item")
    row("perplexity", "perplexity")
    if figures["source_bits_per_char"] is not None:
        click.echo(f"its source     {figures['source_bits_per_char']:.6f} bits per {one}")


def form(value: float | None) -> str:
    return f"{math.inf if value is None else value:.6f}"


def readings(text: "AnyText", loaded: "LoadedModel") -> list[Iterable[Any]]:
    """The losses of the text as they are computed: static, and adapted if that is asked for."""
    static = text.losses(loaded)
    return [static] if text.pace is None else [static, text.adapted_losses(loaded)]


def with_a_bar(losses: Iterable[Any], text: "AnyText") -> Iterator[Any]:
    """On a terminal, as long as nothing else is being written there."""
    from charlstm.training.console import watched

    return watched(losses, text.predictions)


def rows_of(text: "AnyText", loaded: "LoadedModel", by: str) -> Iterator[dict[str, Any]]:
    """One a line or character, with the adapted bits beside the static ones if asked for."""
    from charlstm.look.score import TextToScore, by_character, by_line

    if not isinstance(text, TextToScore):
        yield from rows_of_items(text, loaded)
        return
    parts_of, row_of = (by_line, line_row) if by == "line" else (by_character, character_row)
    static, *adapted = readings(text, loaded)
    readers = [static if sys.stdout.isatty() else with_a_bar(static, text), *adapted]
    for part, *others in zip(
        *(parts_of(text.ids, loaded.vocabulary, losses) for losses in readers), strict=True
    ):
        adapted_bits = {"adapted_bits": others[0].bits} if others else {}
        yield row_of(part) | adapted_bits | {"text": part.text}


def line_row(part: "Part") -> dict[str, Any]:
    return {
        "line": part.number,
        "characters": part.predicted,
        "bits": part.bits,
        "bits_per_char": part.bits / part.predicted if part.predicted else None,
    }


def character_row(part: "Part") -> dict[str, Any]:
    return {"character": part.number, "bits": part.bits}


def write_json(text: "AnyText", loaded: "LoadedModel", by: str) -> None:
    """One object, written while it is computed: the rows first, then the figures of the text."""
    click.echo(f'{{"by": "{by}", "rows": [', nl=False)
    for number, row in enumerate(rows_of(text, loaded, by)):
        row["text"] = without_surrogates(row["text"])
        click.echo((",\n" if number else "\n") + json_text(row), nl=False)
    click.echo("],\n" + json_text(text.figures(loaded))[1:])


def write_tsv(text: "AnyText", loaded: "LoadedModel", by: str) -> None:
    for number, row in enumerate(rows_of(text, loaded, by)):
        if number == 0:
            click.echo("\t".join(row))
        row["text"] = escaped(row["text"])
        click.echo("\t".join("" if value is None else str(value) for value in row.values()))


def write_table(text: "AnyText", loaded: "LoadedModel", by: str) -> None:
    for number, row in enumerate(rows_of(text, loaded, by)):
        if number == 0:
            click.echo("".join(f"{name:>14}" for name in row if name != "text") + "  text")
        shown = escaped(row.pop("text"))
        click.echo("".join(f"{cell(value):>14}" for value in row.values()) + f"  {shown}")
    figures = text.figures(loaded)
    adapted = figures.get("adapted")
    also = "" if adapted is None else f", {adapted['bits_per_char']:.6f} adapted"
    click.echo(
        f"{figures['characters']:,} characters, {figures['bits_per_char']:.6f} bits per char{also}",
        err=True,
    )


def cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}"


def escaped(text: str) -> str:
    r"""On one line, and no control characters: \n, \t, \\, \x1b, \u202e; bytes as \xff."""
    return printable(without_surrogates(text.replace("\\", "\\\\")))
