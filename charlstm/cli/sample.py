"""``charlstm sample``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from charlstm.vocabulary import Vocabulary


@click.command("sample")
@click.argument("path", metavar="CHECKPOINT", type=click.Path(path_type=Path))
@click.option("-n", "--length", default=500, show_default=True, type=click.IntRange(0))
@click.option("-p", "--prompt", default="", help="Text to go on from; - reads it from stdin.")
@click.option(
    "-t",
    "--temperature",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, max=1e6),
    help="Below 1 safer, above 1 wilder; 0 always takes the likeliest.",
)
@click.option(
    "--top-k",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Choose among the K likeliest characters; 0: among all.",
)
@click.option(
    "--top-p",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Choose among the likeliest that together have probability P.",
)
@click.option("--count", default=1, show_default=True, type=click.IntRange(1), help="Texts.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Repeats a text. [drawn, and told]")
@click.option("--stop", help="End a text before this one.")
@click.option("--skip-unknown", is_flag=True, help="Leave out what the model has never seen.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr.")
def command(
    path: Path,
    *,
    length: int,
    prompt: str,
    temperature: float,
    top_k: int,
    top_p: float,
    count: int,
    seed: int | None,
    stop: str | None,
    skip_unknown: bool,
    quiet: bool,
) -> None:
    r"""Write text.

    CHECKPOINT is a file or a run folder, which means its best checkpoint. The text goes to
    stdout as UTF-8 while it is made; several texts are separated by a line of dashes.

    \b
    charlstm sample runs/quickstart
    charlstm sample runs/quickstart -n 300 -p "The harbour" -t 0.7 --seed 1
    """
    from charlstm.checkpoint import load_model
    from charlstm.files import show
    from charlstm.sampling import Choice, Draws, default_start, generate, until

    loaded = load_model(path)
    vocabulary = loaded.vocabulary
    if prompt == "-":
        prompt = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    start = vocabulary.encode(prompt, skip_unknown=skip_unknown)
    if not len(start):
        prompt = ""
        start = default_start(vocabulary)
    if seed is None:
        seed = Draws.fresh_seed()
    if not quiet:
        step = loaded.progress.step
        click.echo(
            f"{show(loaded.path)}: step {step:,}, seed {seed} (repeat with --seed {seed})", err=True
        )
    made = generate(
        loaded.model,
        start,
        count=count,
        length=length,
        choice=Choice(temperature, top_k, top_p),
        seed=seed,
    )
    if count == 1:
        write(prompt)
        for piece in until(stop, texts_of(made, vocabulary)):
            write(piece)
        write("\n")
        return
    import numpy as np

    columns = np.array(list(made)).reshape(length, count).T
    for number, ids in enumerate(columns):
        text = "".join(until(stop, [vocabulary.decode(ids)]))
        write(("" if number == 0 else "-" * 40 + "\n") + prompt + text + "\n")


def texts_of(made: Iterator[Any], vocabulary: "Vocabulary") -> Iterator[str]:
    decoder = vocabulary.decoder()
    for ids in made:
        yield decoder.decode(ids)


def write(text: str) -> None:
    """UTF-8 whatever the locale; at once, so that a reader sees the text grow.

    On a terminal, control characters of a hostile model are shown and not obeyed.
    """
    if sys.stdout.isatty():
        text = "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()
