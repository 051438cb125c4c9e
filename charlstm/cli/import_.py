"""``charlstm import``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlstm.cli.arguments import PathName
from charlstm.cli.paths import echo_path, refuse_to_replace

if TYPE_CHECKING:
    from charlstm.saved.interchange.description import Ordered


@click.command("import")
@click.argument("path", metavar="FILE", type=PathName())
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="CHECKPOINT",
    type=PathName(),
    help="The checkpoint to write.",
)
@click.option(
    "--vocabulary",
    metavar="JSON",
    type=PathName(),
    show_default="what FILE says",
    help="File with a list of the characters, in the order of the model's ids.",
)
@click.option(
    "--vocabulary-from",
    "text",
    metavar="TEXT",
    type=PathName(),
    show_default="what FILE says",
    help="The ids are the characters of this text, sorted by code point.",
)
@click.option("--bytes", "of_bytes", is_flag=True, help="The ids are the 256 values of a byte.")
def command(
    path: Path, *, out: Path, vocabulary: Path | None, text: Path | None, of_bytes: bool
) -> None:
    r"""Make a checkpoint of another program's model.

    FILE is a safetensors file with the weights of one nn.LSTM, one nn.Linear and perhaps one
    nn.Embedding. If charlstm export wrote it, it says which characters the numbers stand for.
    The checkpoint serves sample and eval, and training as init_from. Prints CHECKPOINT when done.

    \b
    charlstm import model.safetensors --vocabulary chars.json -o model.ckpt
    charlstm sample model.ckpt
    """
    if sum((vocabulary is not None, text is not None, of_bytes)) > 1:
        raise click.UsageError("--vocabulary, --vocabulary-from and --bytes exclude each other.")
    from charlstm.saved.checkpoint import checkpoint_chunks
    from charlstm.saved.interchange.importing import import_checkpoint
    from charlstm.system.files import write_named

    refuse_to_replace(out, [path, *([vocabulary] if vocabulary else []), *([text] if text else [])])
    checkpoint = import_checkpoint(path, given_vocabulary(vocabulary, text, of_bytes))
    write_named(out, checkpoint_chunks(checkpoint))
    model, known = checkpoint.config.model, checkpoint.vocabulary
    click.echo(
        f"{model.cell} {model.layers} x {model.hidden_size}, embedding {model.embedding_size},"
        f" {known.size} {known.unit}, {model.dtype}",
        err=True,
    )
    echo_path(out)


def given_vocabulary(json_file: Path | None, text: Path | None, of_bytes: bool) -> "Ordered | None":
    from charlstm.saved.interchange.description import in_order, read_vocabulary
    from charlstm.text.corpus import read_corpus
    from charlstm.text.vocabulary import Vocabulary

    if json_file is not None:
        return read_vocabulary(json_file)
    if text is not None:
        return in_order(read_corpus([text]).vocabulary)
    return in_order(Vocabulary.of_bytes()) if of_bytes else None
