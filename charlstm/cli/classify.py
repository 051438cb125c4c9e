"""``charlstm classify``."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli.arguments import PathName
from charlstm.messages import json_text, printable

if TYPE_CHECKING:
    from charlstm.look.classifying import Classified
    from charlstm.saved.checkpoint import LoadedModel


@click.command("classify")
@click.argument("path", metavar="CHECKPOINT", type=PathName())
@click.argument("names", metavar="[CHECKPOINT]... FILE...", nargs=-1, type=PathName())
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--tsv", "as_tsv", is_flag=True, help="Tab-separated, numbers in full.")
def command(path: Path, names: tuple[Path, ...], *, as_json: bool, as_tsv: bool) -> None:
    r"""The likeliest label of every item of a list.

    For a model that was trained with data.labels. The probability of a label is its share of the
    training items times that of the text with the label in front, as the model has it (Bayes).
    If the first item of FILE (- is stdin) begins with a label that the model knows and a tab, all
    do; then the accuracy follows, and which labels were taken for which.

    Several CHECKPOINTs of one list are mixed: probabilities are the mean of theirs.

    \b
    charlstm classify runs/messages new.txt
    charlstm classify runs/messages messages.txt --json
    head -100 new.txt | charlstm classify runs/messages - --tsv
    """
    from charlstm.saved.finding import models_first

    others, names = models_first(names)
    if not names:
        raise click.UsageError("Give FILE: a list, or - for stdin.")
    if as_json and as_tsv:
        raise click.UsageError("--json and --tsv exclude each other.")
    if Path("-") in names and len(names) > 1:
        raise click.UsageError("- stands alone: what is read from there is a whole list.")
    from charlstm.look.classifying import classify_list
    from charlstm.saved.checkpoint import load_mixture

    loaded = load_mixture([path, *others])
    found = classify_list(loaded, names)
    if as_json:
        click.echo(json_text({**figures(found), "rows": list(rows_of(found, loaded))}))
        return
    write_rows(found, loaded, as_tsv=as_tsv)
    for line in summary(found):
        click.echo(line, err=True)


def rows_of(found: "Classified", loaded: "LoadedModel") -> Iterator[dict[str, Any]]:
    from charlstm.nn.loss import NATS_PER_BIT

    probabilities, best, bits = found.probabilities, found.best, found.total / NATS_PER_BIT
    for number in range(found.items.count):
        each = dict(zip(found.labels, probabilities[number].tolist(), strict=True))
        row = {"item": number + 1, "label": found.labels[best[number]]}
        if found.true is not None:
            row["true"] = found.labels[found.true[number]]
        text = loaded.vocabulary.decode(found.items.item(number)[1:], "backslashreplace")
        yield row | {"bits": float(bits[number]), "probabilities": each, "text": text}


def figures(found: "Classified") -> dict[str, Any]:
    """What there is to say of the whole list, as JSON can say it."""
    told: dict[str, Any] = {"items": found.items.count, "labels": list(found.labels)}
    if found.confusion is not None:
        told |= {"accuracy": found.accuracy, "confusion": found.confusion.tolist()}
    return told


def write_rows(found: "Classified", loaded: "LoadedModel", *, as_tsv: bool) -> None:
    for number, row in enumerate(rows_of(found, loaded)):
        each = row.pop("probabilities")
        text = printable(row.pop("text").replace("\\", "\\\\"))
        if as_tsv:
            row |= {f"p({label})": value for label, value in each.items()}
            write: Callable[[list[str]], str] = "\t".join
        else:
            row["probability"] = each[row["label"]]
            write = in_columns
        if number == 0:
            click.echo(write([*map(printable, row), "text"]))
        click.echo(write([*(cell(value, in_full=as_tsv) for value in row.values()), text]))


def in_columns(cells: list[str]) -> str:
    *before, text = cells
    return "".join(f"{one:>14}" for one in before) + f"  {text}"


def cell(value: object, *, in_full: bool) -> str:
    if isinstance(value, float) and not in_full:
        return f"{value:.3f}"
    return printable(str(value))


def summary(found: "Classified") -> Iterator[str]:
    """Accuracy, and the labels in rows with what they were taken for in columns."""
    if found.confusion is None:
        return
    right = int(found.confusion.trace())
    yield f"{right:,} of {found.items.count:,} right: {found.accuracy:.4f}"
    names = [printable(label) for label in found.labels]
    width = max(8, *map(len, names))
    head = "label".ljust(width)
    yield f"{head}  {'  '.join(name.rjust(width) for name in names)}  <- taken for"
    for name, row in zip(names, found.confusion.tolist(), strict=True):
        yield f"{name.ljust(width)}  {'  '.join(f'{count:,}'.rjust(width) for count in row)}"
