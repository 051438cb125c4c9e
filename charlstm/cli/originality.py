"""``charlstm originality``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlstm.cli.arguments import Number, PathName, WholeNumber
from charlstm.messages import json_text, show

if TYPE_CHECKING:
    from charlstm.api import Model
    from charlstm.look.originality import Copying, Originality
    from charlstm.writing.options import SampleOptions

LONGEST_EXAMPLE = 60


@click.command("originality")
@click.argument("path", metavar="CHECKPOINT", type=PathName())
@click.argument("written", metavar="[FILE]", required=False, type=PathName())
@click.option(
    "--text",
    multiple=True,
    type=PathName(),
    show_default="where the run found it",
    help="The training text, if it moved; repeat for several.",
)
@click.option("--count", default=1000, show_default=True, type=WholeNumber(1), help="Samples.")
@click.option(
    "-n", "--length", default=500, show_default=True, type=WholeNumber(1), help="Of each sample."
)
@click.option(
    "-t",
    "--temperature",
    default=1.0,
    show_default=True,
    type=Number(0, max=1e6),
    help="Of the samples, as for `charlstm sample`.",
)
@click.option(
    "--seed",
    default=1,
    show_default=True,
    type=WholeNumber(0, 2**63 - 1),
    help="Of the samples; the same texts with the same seed.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(
    path: Path,
    written: Path | None,
    *,
    text: tuple[Path, ...],
    count: int,
    length: int,
    temperature: float,
    seed: int,
    as_json: bool,
) -> None:
    r"""Copies of the training text in what a model writes.

    Makes samples, or takes the text in FILE (- is stdin), and looks for their windows of 20, 40 and
    80 characters in the text that the model learned from; and for as many pieces of its validation
    part, which tells how much any text of this kind has in common with it. Then the longest copies,
    and where they come from.

    \b
    charlstm originality runs/quickstart
    charlstm originality runs/quickstart --temperature 0.5 --count 200
    charlstm originality runs/quickstart notes.txt --json
    """
    from charlstm.api import load
    from charlstm.cli.eval import ask_before_reading_elsewhere, without_surrogates
    from charlstm.look.originality import NAMED_BY
    from charlstm.look.originality import as_json as json_of

    model = load(path)
    if not text:
        ask_before_reading_elsewhere(model.loaded, NAMED_BY)
    options: SampleOptions = {"length": length, "temperature": temperature, "seed": seed}
    texts = None if written is None else [text_in(written, model)]
    found = model.originality(texts, text=text, count=count, **options)
    if as_json:
        figures = json_of(found)
        for example in figures["examples"]:
            example["text"] = without_surrogates(example["text"])
        click.echo(json_text(figures))
    else:
        write(found)


def text_in(file: Path, model: "Model") -> str:
    from charlstm.system.files import read_exactly, reading
    from charlstm.text.encoding import decode_stream, read_stdin

    unit = model.vocabulary.unit
    if str(file) == "-":
        return read_stdin(unit)
    with reading(file) as (stream, size):
        return decode_stream(bytes(read_exactly(stream, size)), unit, show(file))


def write(found: "Originality") -> None:
    from charlstm.cli.eval import escaped

    columns = {"written": found.samples}
    if found.held_out is not None:
        columns["held out"] = found.held_out
    click.echo(f"{'':30}" + "".join(f"{name:>12}" for name in columns))
    rows = [figures(copying) for copying in columns.values()]
    for name in rows[0]:
        click.echo(f"{name:30}" + "".join(f"{row[name]:>12}" for row in rows))
    if found.examples:
        click.echo("The longest copies, in characters:")
    for example in found.examples:
        text = escaped(example.text[:LONGEST_EXAMPLE])
        text += "..." * (len(example.text) > LONGEST_EXAMPLE)
        where = f"text {example.number:,}, {show(example.file)} line {example.line:,}"
        click.echo(f"{example.length:7,}  {where}: {text}")


def figures(copying: "Copying") -> dict[str, str]:
    """What stands in a column, by the name of its row."""
    shares = {
        f"windows of {length} copied": "" if share is None else f"{share:.2%}"
        for length, share in copying.shares.items()
    }
    longest = f"below {min(copying.shares)}" if copying.longest is None else f"{copying.longest:,}"
    return {"characters": f"{copying.characters:,}"} | shares | {"longest copy": longest}
