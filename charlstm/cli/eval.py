"""``charlstm eval``."""

import json
import math
from pathlib import Path

import click


@click.command("eval")
@click.argument("path", metavar="CHECKPOINT", type=click.Path(path_type=Path))
@click.argument("text", metavar="TEXT", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def command(path: Path, text: Path, *, as_json: bool) -> None:
    r"""Loss on a text, exactly.

    The model reads the whole TEXT from its first character on, its state carried throughout, and
    predicts each character but the first from all before it.

    \b
    charlstm eval runs/quickstart data/harbour.txt
    charlstm eval runs/quickstart notes.txt --json
    """
    from charlstm.building import encoding_options
    from charlstm.checkpoint import load_model
    from charlstm.corpus import encode_corpus
    from charlstm.display import bits
    from charlstm.errors import FileError
    from charlstm.evaluation import exact_losses

    loaded = load_model(path)
    corpus = encode_corpus([text], loaded.vocabulary, **encoding_options(loaded.config))
    if corpus.characters < 2:
        raise FileError(f"{text}: has only one character; there is nothing to predict")
    total = math.fsum(float(losses.sum()) for losses in exact_losses(loaded.model, corpus.ids))
    loss = total / (corpus.characters - 1)
    figures = {
        "checkpoint": str(loaded.path),
        "step": loaded.progress.step,
        "text": str(text),
        "characters": corpus.characters,
        "loss": loss,
        "bits_per_char": bits(loss),
        "perplexity": math.exp(loss),
        "source_bits_per_char": corpus.source_bits_per_character(0, corpus.characters),
    }
    if as_json:
        click.echo(json.dumps(figures))
        return
    click.echo(f"characters     {corpus.characters:,}")
    click.echo(f"loss           {loss:.6f} nats per character")
    click.echo(f"bits per char  {bits(loss):.6f}")
    click.echo(f"perplexity     {math.exp(loss):.6f}")
    if figures["source_bits_per_char"] is not None:
        click.echo(f"its source     {figures['source_bits_per_char']:.6f} bits per char")
