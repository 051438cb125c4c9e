"""What ``charlstm sample`` writes of a model of a list: items, one after the other."""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from charlstm.cli.arguments import PathName, WholeNumber
from charlstm.cli.elsewhere import ask_before_reading_elsewhere
from charlstm.messages import json_text

if TYPE_CHECKING:
    from charlstm.saved.checkpoint import LoadedModel
    from charlstm.writing.items import Item, ItemWriter, Selection
    from charlstm.writing.options import Options
    from charlstm.writing.sieve import Sieve

Command = Callable[..., Any]


class Wanted(NamedTuple):
    """The options that a model of a list alone has."""

    new: bool = False
    not_in: tuple[Path, ...] = ()
    unique: bool = False
    best: int | None = None
    as_json: bool = False

    def check_best_of(self, count: int) -> None:
        if self.best is not None and self.best > count:
            raise click.UsageError("--best N is of --count items, which must be as many or more.")

    @property
    def selection(self) -> "Selection":
        from charlstm.writing.items import Selection

        return Selection(self.new, self.not_in, self.unique)


def item_writer(
    loaded: "LoadedModel", prompt: str, options: "Options", wanted: Wanted
) -> "ItemWriter":
    """Asks before it reads, for --new, a list that lies far from here."""
    from charlstm.writing.items import ItemWriter
    from charlstm.writing.sieve import NAMED_BY

    if wanted.new:
        for one in loaded.all:
            ask_before_reading_elsewhere(one, NAMED_BY)
    return ItemWriter(loaded, prompt, options, wanted.selection)


def list_options(command: Command) -> Command:
    """Five options, which the command gets as one argument ``wanted``."""

    @click.option("--new", is_flag=True, help="Of a list: no items that the model was trained on.")
    @click.option(
        "--not-in",
        multiple=True,
        metavar="FILE",
        type=PathName(),
        show_default="none",
        help="Of a list: no items of this one.",
    )
    @click.option("--unique", is_flag=True, help="Of a list: no item twice.")
    @click.option(
        "--best",
        type=WholeNumber(1),
        show_default="all",
        help="Of a list: of --count items those with the fewest bits a character, these first.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Of a list: an object a line.")
    @wraps(command)
    def with_wanted(*words: Any, **options: Any) -> Any:
        own = {name: options.pop(name) for name in Wanted._fields}
        return command(*words, wanted=Wanted(**own), **options)

    return with_wanted


def lines_of(
    writer: "ItemWriter", wanted: Wanted, count: int, prompt: str, between: str
) -> Iterator[str]:
    """Every item and what stands ``between`` items of the list; or a line of JSON each."""
    chosen: Iterable[Item] = (
        writer.items(count) if wanted.best is None else writer.best(wanted.best, count)
    )
    for item in chosen:
        if wanted.as_json:
            yield json_text(in_full(item, prompt, writer.seed)) + "\n"
        else:
            yield prompt + item.text + between


def in_full(item: "Item", prompt: str, seed: int) -> dict[str, object]:
    text = (prompt + item.text).encode("utf-8", "surrogateescape")
    return {
        "text": text.decode("utf-8", "backslashreplace"),
        "bits": item.bits,
        "bits_per_char": item.bits_per_character,
        "ended": item.ended,
        "seed": seed,
        "number": item.number,
    }


def report(sieve: "Sieve") -> None:
    """On stderr: what was refused."""
    if sieve.refuses_any:
        click.echo(
            f"{sieve.drawn:,} drawn: {sieve.kept:,} kept, {sieve.in_list:,} known,"
            f" {sieve.repeated:,} repeated",
            err=True,
        )
