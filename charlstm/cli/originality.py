"""``charlstm originality``."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli.arguments import PathName, WholeNumber, options_given
from charlstm.cli.elsewhere import ask_before_reading_elsewhere
from charlstm.cli.sampling import sampling_options
from charlstm.messages import json_text, show, without_surrogates

if TYPE_CHECKING:
    from charlstm.api import Model
    from charlstm.look.item_originality import ItemOriginality
    from charlstm.look.originality import Copying, Originality

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
@click.option("--count", default=1000, type=WholeNumber(1), help="Samples.")
@click.option(
    "--seed",
    default=1,
    type=WholeNumber(0, 2**63 - 1),
    help="Of the samples; the same texts with the same seed.",
)
@sampling_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(
    path: Path,
    written: Path | None,
    *,
    text: tuple[Path, ...],
    count: int,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Copies of the training text in what a model writes.

    Makes samples, or takes the text in FILE (- is stdin), and looks for their windows of 20, 40 and
    80 characters in the text that the model learned from; and for as many pieces of its validation
    part, which tells how much any text of this kind has in common with it. Then the longest copies,
    and where they come from. Of a model of a list: how many of its items stand in the training and
    in the validation part, and how many are new.

    \b
    charlstm originality runs/quickstart --count 100
    charlstm originality runs/quickstart --count 100 --temperature 0.5
    charlstm originality runs/quickstart notes.txt --json
    """
    if written is not None:
        refuse_options_of_samples()
    from charlstm.api import load
    from charlstm.look.originality import NAMED_BY, Originality

    model = load(path)
    if not text:
        ask_before_reading_elsewhere(model.loaded, NAMED_BY)
    texts = None if written is None else texts_in(written, model)
    found = model.originality(texts, text=text, count=count, **options)
    if as_json:
        click.echo(json_text(as_object(found)))
    elif isinstance(found, Originality):
        write(found)
    else:
        write_items(found)


def refuse_options_of_samples() -> None:
    for name, option in options_given().items():
        if name not in ("path", "written", "text", "as_json"):
            raise click.UsageError(f"{option} is for samples; FILE holds what to look at.")


def texts_in(file: Path, model: "Model") -> list[str]:
    from charlstm.look.item_originality import items_in
    from charlstm.system.files import read_exactly, reading
    from charlstm.text.code_points import DECOMPRESSORS, raw_blocks
    from charlstm.text.encoding import decode_stream, read_stdin

    unit = model.vocabulary.unit
    if str(file) == "-":
        text = read_stdin(unit)
    elif file.suffix in DECOMPRESSORS:
        text = decode_stream(b"".join(raw_blocks(file, hashlib.sha256())), unit, show(file))
    else:
        with reading(file) as (stream, size):
            text = decode_stream(bytes(read_exactly(stream, size)), unit, show(file))
    return [text] if model.config.data.items == "none" else items_in(text, model.loaded)


def as_object(found: "Originality | ItemOriginality") -> dict[str, Any]:
    """Names and numbers for other programs."""
    figures = asdict(found)
    for name in ("samples", "held_out"):
        if isinstance(copying := figures.get(name), dict):
            shares = copying.pop("shares").items()
            copying |= {f"share_{length}": share for length, share in shares}
    for example in figures["examples"]:
        example["text"] = without_surrogates(example["text"])
    return figures


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


def write_items(found: "ItemOriginality") -> None:
    from charlstm.cli.eval import escaped

    rows = {
        "different from each other": found.distinct,
        "in the training part": found.in_training,
        "in the validation part": found.in_validation,
        "new": found.new,
        "validation items in training": found.held_out,
    }
    click.echo(f"{'items':30}{found.items:>12,}")
    for name, share in rows.items():
        click.echo(f"{name:30}{'' if share is None else f'{share:.2%}':>12}")
    if found.examples:
        click.echo("The longest that were copied, and their number in the list:")
    for example in found.examples:
        click.echo(f"{example.place:9,}  {escaped(example.text[:LONGEST_EXAMPLE])}")
