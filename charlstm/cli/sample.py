"""``charlstm sample``."""

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click

from charlstm.cli.arguments import PathName, WholeNumber
from charlstm.cli.pace import pace_options, require_use
from charlstm.cli.sample_items import (
    Wanted,
    item_writer,
    lines_of,
    list_options,
    report,
)
from charlstm.cli.sampling import sampling_options
from charlstm.messages import printable, show
from charlstm.nn.pace import Pace


@click.command("sample")
@click.argument("paths", metavar="CHECKPOINT...", nargs=-1, required=True, type=PathName())
@click.option(
    "-p",
    "--prompt",
    default="",
    show_default="nothing",
    help="Text to go on from; - reads it from stdin.",
)
@click.option("--hide-prompt", is_flag=True, help="Write only what follows the prompt.")
@click.option("--count", default=1, type=WholeNumber(1), help="Texts.")
@click.option(
    "--seed",
    type=WholeNumber(0, 2**63 - 1),
    show_default="drawn, and told",
    help="Repeats a text.",
)
@sampling_options
@list_options
@click.option(
    "--adapt-to",
    metavar="TEXT",
    type=PathName(),
    show_default="none",
    help="Read this text first, learn from it, and write in its manner.",
)
@pace_options
@click.option("--skip-unknown", is_flag=True, help="Leave out what the model has never seen.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr.")
def command(
    paths: tuple[Path, ...],
    *,
    prompt: str,
    count: int,
    seed: int | None,
    adapt_to: Path | None,
    pace: Pace,
    wanted: Wanted,
    hide_prompt: bool,
    quiet: bool,
    **options: Any,
) -> None:
    r"""Write text.

    CHECKPOINT is a file or a run folder, which means its best checkpoint. The text goes to
    stdout as UTF-8 while it is made (of a model of bytes: as those bytes); several texts are
    separated by a line of dashes. With --match the text ends where the expression lets nothing
    more follow, or where the model goes on with what it does not; never later than --length.

    Of a model of a list: items, each to the end that the model gives it, with nothing between them
    but what stands between items of the list.

    \b
    charlstm sample runs/quickstart
    charlstm sample runs/quickstart -n 300 -p "The harbour" -t 0.7 --seed 1
    charlstm sample runs/quickstart --adapt-to notes.txt
    charlstm sample runs/sweep/a runs/sweep/b
    charlstm sample runs/quickstart --count 5 --match "(Mr|Mrs)\. [A-Z][a-z]+"
    charlstm sample runs/names --count 1000 --new --unique
    """
    if prompt == "-" and adapt_to == Path("-"):
        raise click.UsageError("Standard input is the prompt or the text: one of the two.")
    require_use(pace, "--adapt-to", given=adapt_to is not None)
    from charlstm.api import load
    from charlstm.nn.sampling import Draws
    from charlstm.text.marking import ItemRules
    from charlstm.text.vocabulary import UnknownCharacterError
    from charlstm.writing.options import Options
    from charlstm.writing.start import prompt_from_stdin, prompt_ids

    model = load(*paths)
    if adapt_to is not None:
        model = model.adapted_to(adapt_to, pace)
    if prompt == "-":
        prompt = prompt_from_stdin(model.loaded)
    try:
        known = prompt_ids(model.loaded, prompt, skip_unknown=options["skip_unknown"])
    except UnknownCharacterError as error:
        raise error.told(where="--prompt", advice="--skip-unknown leaves them out") from None
    prompt = prompt if len(known) else ""
    if seed is None:
        seed = Draws.fresh_seed()
    options |= {"seed": seed, "errors": "replace" if sys.stdout.isatty() else "surrogateescape"}
    shown = "" if hide_prompt else prompt
    separator = model.config.data.items
    writer = None
    pieces: Iterable[str]
    if separator != "none":
        wanted.check_best_of(count)
        writer = item_writer(model.loaded, prompt, Options(**options), wanted)
        pieces = lines_of(writer, wanted, count, shown, ItemRules(separator).between)
    elif wanted != Wanted():
        raise click.UsageError("--new, --not-in, --unique, --best and --json: of a list only.")
    elif count == 1:
        pieces = chain([shown], model.stream(prompt, **options), ["\n"])
    else:
        pieces = between_dashes(shown, model.iter_samples(count, prompt, **options))
    if not quiet:
        models = (f"{show(it.path)}: step {it.progress.step:,}" for it in model.loaded.all)
        click.echo(f"{', '.join(models)}, seed {seed} (repeat with --seed {seed})", err=True)
    for piece in pieces:
        write(piece)
    if writer is not None and not quiet:
        report(writer.sieve)


def between_dashes(prompt: str, texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield ("" if number == 0 else "-" * 40 + "\n") + prompt + text + "\n"


def write(text: str) -> None:
    """UTF-8 whatever the locale; at once, so that a reader sees the text grow.

    On a terminal, control characters of a hostile model are shown and not obeyed.
    """
    if sys.stdout.isatty():
        text = printable(text, keep="\n\t")
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()
