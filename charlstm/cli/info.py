"""``charlstm info``."""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli.arguments import PathName
from charlstm.errors import FileError
from charlstm.messages import json_text, printable

if TYPE_CHECKING:
    from charlstm.look.inspection import Inspection

CHARACTERS_SHOWN = 500


@click.command("info")
@click.argument("path", metavar="CHECKPOINT_OR_RUN", type=PathName())
@click.option("--verify", is_flag=True, help="Read every checkpoint of the run: is it intact?")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(path: Path, *, verify: bool, as_json: bool) -> None:
    r"""Show what is in a checkpoint.

    Where training stands, the settings that are not at their default, the vocabulary, and every
    parameter (of recurrent layers gate by gate) with its shape, Euclidean norm and largest entry.
    A run folder means its best checkpoint. The checksum is verified in any case.

    \b
    charlstm info runs/quickstart
    charlstm info runs/quickstart --verify
    charlstm info runs/quickstart --json | python -m json.tool

    With --verify, exit code 3 when a checkpoint is damaged or may not be read.
    """
    if verify:
        show_verdicts(path, as_json)
        return
    from charlstm.look.inspection import inspect

    inspection = inspect(path)
    if as_json:
        click.echo(json_text(inspection.as_dict()))
        return
    click.echo("\n".join(map(printable, description(inspection))))


def show_verdicts(path: Path, as_json: bool) -> None:
    from charlstm.look.inspection import verify

    verdicts = verify(path)
    useless = [verdict for verdict in verdicts if verdict.problem is not None]
    if as_json:
        rows = [{**verdict._asdict(), "path": str(verdict.path)} for verdict in verdicts]
        click.echo(json_text({"intact": not useless, "checkpoints": rows}))
    else:
        for file, step, damaged, problem in verdicts:
            word = "DAMAGED" if damaged else "unknown"
            line = f"intact   {file}: step {step:,}" if step is not None else f"{word}  {problem}"
            click.echo(printable(line))
    if useless:
        raise FileError(f"{path}: {len(useless)} of {len(verdicts)} checkpoints cannot be used")


def description(inspection: "Inspection") -> Iterator[str]:
    """The lines that describe a checkpoint."""
    yield str(inspection.path)
    yield from table(facts(inspection))
    yield ""
    changed = inspection.changed_settings
    yield "settings that differ from the defaults" if changed else "all settings at their defaults"
    yield from table(
        [(n, f"{setting(value)}  (default {setting(old)})") for n, value, old in changed]
    )
    yield ""
    yield from vocabulary(inspection)
    yield ""
    yield f"{inspection.parameter_count:,} parameters"
    yield from parameters(inspection)


def facts(inspection: "Inspection") -> list[tuple[str, str]]:
    from charlstm.system.sealed import FORMAT

    checkpoint = inspection.checkpoint
    progress, versions = checkpoint.progress, checkpoint.versions
    writers = ", ".join(f"{name} {version}" for name, version in versions.items())
    rows = [
        ("format", f"charlstm-{FORMAT}, written by {writers}"),
        ("size", f"{inspection.size:,} bytes; SHA-256 verified"),
        ("step", f"{progress.step:,} (epoch {progress.epoch:.3f}), {progress.seconds:,.0f} s"),
        ("training loss", nats(progress.train_loss)),
        ("validation loss", nats(progress.val_loss)),
    ]
    if progress.best_step is not None:
        rows.append(
            ("best so far", f"{nats(progress.best_val_loss)} at step {progress.best_step:,}")
        )
    corpus = checkpoint.corpus
    files = ", ".join(checkpoint.config.data.files)
    rows.append(("text", f"{files} ({corpus.characters:,} characters)"))
    for it in checkpoint.adaptations:
        pace = f"rate {it.rate:g}, pull {it.pull:g}, segments of {it.segment}"
        rows.append(("then adapted to", f"{it.text} ({it.characters:,} characters; {pace})"))
        rows.append(("  from", f"{it.checkpoint} (weights {it.weights[:8]}..)"))
    return rows


def setting(value: Any) -> str:
    """A value about as the configuration writes it."""
    if value is None or isinstance(value, bool):
        return json_text(value)
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def nats(loss: float | None) -> str:
    from charlstm.nn.loss import bits

    return "not known yet" if loss is None else f"{loss:.4f} nats, {bits(loss):.4f} bits per char"


def vocabulary(inspection: "Inspection") -> Iterator[str]:
    known = inspection.checkpoint.vocabulary
    yield f"vocabulary of {known.size:,} {known.unit}"
    characters = inspection.characters
    shown = printable(characters[:CHARACTERS_SHOWN])
    yield from (f"  {line}" for line in textwrap.wrap(shown, 76, drop_whitespace=False))
    if len(characters) > CHARACTERS_SHOWN:
        yield f"  and {len(characters) - CHARACTERS_SHOWN:,} more (--json lists them)"


def parameters(inspection: "Inspection") -> Iterator[str]:
    rows = inspection.parameters
    width = max(len(row.name) for row in rows)
    yield f"  {'':<{width}} {'shape':>11} {'norm':>10} {'largest':>9}"
    for row in rows:
        shape = " x ".join(map(str, row.shape))
        yield f"  {row.name:<{width}} {shape:>11} {row.norm:>10.4f} {row.largest:>9.4f}"


def table(rows: Sequence[tuple[str, Any]]) -> Iterator[str]:
    width = max((len(name) for name, _ in rows), default=0)
    yield from (f"  {name:<{width}}  {value}" for name, value in rows)
