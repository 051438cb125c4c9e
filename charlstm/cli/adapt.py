"""``charlstm adapt``."""

from pathlib import Path

import click

from charlstm.cli.arguments import PathName
from charlstm.cli.pace import pace_options
from charlstm.cli.paths import echo_path, refuse_to_replace
from charlstm.nn.pace import Pace


@click.command("adapt")
@click.argument("path", metavar="CHECKPOINT", type=PathName())
@click.argument("names", metavar="TEXT...", nargs=-1, required=True, type=PathName())
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="FILE",
    type=PathName(dir_okay=False),
    help="The checkpoint to write.",
)
@pace_options
def command(path: Path, names: tuple[Path, ...], *, out: Path, pace: Pace) -> None:
    r"""Let a model learn from a text by reading it once, and keep what it learned.

    It reads TEXT (- is stdin) as with charlstm eval --adapt. FILE is a checkpoint as any other,
    for sample, eval, look, export, and training on as init_from; charlstm info tells what it was
    made from. Prints FILE when done.

    \b
    charlstm adapt runs/quickstart notes.txt -o adapted.ckpt
    charlstm sample adapted.ckpt
    """
    from charlstm.look.score import text_to_score
    from charlstm.messages import show
    from charlstm.nn.loss import bits
    from charlstm.saved.checkpoint import adapted_checkpoint, checkpoint_chunks, load_checkpoint
    from charlstm.system.files import write_named
    from charlstm.text.code_points import find_files
    from charlstm.training.console import watched

    loaded, checkpoint = load_checkpoint(path)
    texts = () if names == (Path("-"),) else find_files(names)
    refuse_to_replace(out, (loaded.path, *texts))
    text = text_to_score(names, loaded)
    (adapting,) = loaded.adapting(pace)
    for _ in watched(text.adapted.counting(adapting.losses(text.ids)), len(text.ids) - 1):
        pass
    learned = adapted_checkpoint(checkpoint, loaded, adapting, text.name, text.ids)
    write_named(out, checkpoint_chunks(learned))
    told = f"{len(text.ids):,} {loaded.vocabulary.unit}, {bits(text.adapted.loss):.4f} bits each"
    click.echo(f"{show(text.name)}: {told} while learning", err=True)
    echo_path(out)
