"""``charlstm next``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli.arguments import PathName, WholeNumber
from charlstm.cli.sampling import label_option
from charlstm.messages import json_text, printable, without_surrogates

if TYPE_CHECKING:
    from charlstm.writing.following import Next, To


@click.command("next")
@click.argument("path", metavar="CHECKPOINT", type=PathName())
@click.argument("text", default="")
@click.option("--top", default=10, show_default=True, type=WholeNumber(1), help="How many of each.")
@click.option(
    "--to",
    default="word",
    show_default=True,
    type=click.Choice(["word", "line"]),
    help="Complete to the end of this.",
)
@label_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(path: Path, text: str, *, top: int, to: "To", label: str | None, as_json: bool) -> None:
    r"""What comes next.

    The likeliest characters after TEXT (- reads it from stdin; without one, at a beginning), and
    the likeliest ways in which the word goes on to its end, with the probability that all of it
    follows, and then something that is no part of a word.

    \b
    charlstm next runs/quickstart "The harb"
    charlstm next runs/quickstart "The harbour " --to line --top 3
    charlstm next runs/quickstart "Mrs. " --json
    """
    from charlstm.api import load
    from charlstm.writing.following import word_begun
    from charlstm.writing.start import prompt_from_stdin

    model = load(path)
    if text == "-":
        text = prompt_from_stdin(model.loaded)
    expected = model.next(text, top=top, to=to, label=label)
    if as_json:
        click.echo(json_text(in_full(expected, to)))
        return
    one = model.vocabulary.unit.removesuffix("s")
    write_table(f"next {one}", [(quoted(c.text), c.probability) for c in expected.characters])
    begun = word_begun(text, model.vocabulary, to)
    words = [(seen(begun + c.text), c.probability) for c in expected.completions]
    write_table(f"to the end of the {to}", words)
    if expected.unseen:
        click.echo(
            f"The search ended early: others may have up to {expected.unseen:.3g}.", err=True
        )


def in_full(expected: "Next", to: str) -> dict[str, Any]:
    rows = {
        name: [{"text": without_surrogates(c.text), "probability": c.probability} for c in found]
        for name, found in (
            ("characters", expected.characters),
            ("completions", expected.completions),
        )
    }
    return rows | {"to": to, "unseen": expected.unseen}


def quoted(text: str) -> str:
    """A character that can be seen, spaces too; of a list, what ends an item."""
    return f"'{seen(text)}'" if text else "(the end)"


def seen(text: str) -> str:
    return printable(without_surrogates(text))


def write_table(title: str, rows: list[tuple[str, float]]) -> None:
    click.echo(title)
    for text, probability in rows:
        click.echo(f"  {probability:8.4f}  {text}".rstrip())
