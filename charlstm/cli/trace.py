"""``charlstm trace``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from charlstm.cli.arguments import PathName
from charlstm.cli.completion import complete_setting
from charlstm.messages import json_text

if TYPE_CHECKING:
    from charlstm.nn.model import CharLM
    from charlstm.text.vocabulary import Ids, Vocabulary

    Traced = tuple[CharLM, Vocabulary, Ids]

CONFIG_SUFFIXES = (".yaml", ".yml")


@click.command("trace")
@click.argument("path", metavar="CONFIG_OR_CHECKPOINT", type=PathName())
@click.argument("text", metavar="TEXT")
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1, shell_complete=complete_setting)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    type=int,
    show_default="all",
    help="Only this layer; repeatable.",
)
@click.option("--steps", show_default="all", help="Only these steps, such as 0-3,7.")
@click.option("--only", show_default="all", help="Only these quantities, such as dh,dc,W_ix.")
@click.option("--full", is_flag=True, help="Every number, not only norm, min and max.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option(
    "--plot",
    "picture",
    metavar="FILE.png",
    type=PathName(dir_okay=False),
    show_default="none",
    help="Draw how dh and dc fall off with distance in time.",
)
def command(
    path: Path,
    text: str,
    *,
    overrides: tuple[str, ...],
    layers: tuple[int, ...],
    steps: str | None,
    only: str | None,
    full: bool,
    as_json: bool,
    picture: Path | None,
) -> None:
    r"""Watch one forward and one backward pass over TEXT.

    Every character of TEXT is asked for the next one. Shown, in float64, for every step and
    layer: input, pre-activations, gates, cell, state, logits, the probability of the next
    character; then every gradient on the way back, and the parameters with theirs.

    A checkpoint (or run folder) is traced as it was trained. A CONFIG (.yaml) is traced at its
    start, drawn from its seed, with the characters of TEXT as the vocabulary.

    \b
    charlstm trace configs/quickstart.yaml hello model.hidden_size=3 --full
    charlstm trace runs/quickstart "The harbour" --layer 0 --steps 9 --only dh_above,dh_next,dc
    charlstm trace runs/quickstart "The harbour was quiet." --plot vanishing.png
    """
    import numpy as np

    from charlstm.errors import ConfigError
    from charlstm.look.gradients import trace_rows
    from charlstm.look.gradients.trace import FallOff, trace

    model, vocabulary, ids = load(path, text, overrides)
    if len(ids) < 2:
        raise ConfigError("TEXT: write two characters or more; the first is asked for the second")
    passes = trace(model, ids)
    rows = trace_rows.choose(trace_rows.rows_of(passes), layers=layers, steps=steps, only=only)
    if picture is not None:
        trace_rows.plot(FallOff.of(passes), picture)
        click.echo(f"Drawn: {picture}", err=True)
    if as_json:
        click.echo(json_text(trace_rows.as_dict(rows, passes, text, full=full)))
        return

    def name_of(id: int) -> str:
        return repr(vocabulary.decode(np.array([id]), "surrogateescape")).replace("\\udc", "\\x")

    for line in trace_rows.lines(rows, passes, name_of, full=full):
        click.echo(line)
    click.echo(f"\nloss {passes.loss:.8f} nats over {len(ids) - 1} steps")


def load(path: Path, text: str, overrides: tuple[str, ...]) -> "Traced":
    if path.suffix in CONFIG_SUFFIXES:
        return start_of_config(path, text, overrides)
    from charlstm.errors import ConfigError
    from charlstm.messages import shorten, show
    from charlstm.saved.checkpoint import load_model
    from charlstm.writing.start import prompt_ids

    if overrides:
        raise ConfigError(
            f"{shorten(overrides[0])}: a checkpoint keeps its settings; "
            "give a config to change them, or quote a TEXT that has blanks"
        )
    loaded = load_model(path)
    click.echo(f"{show(loaded.path)}: step {loaded.progress.step:,}", err=True)
    return loaded.model, loaded.vocabulary, prompt_ids(loaded, text)


def start_of_config(path: Path, text: str, overrides: tuple[str, ...]) -> "Traced":
    from charlstm.config.auto import TYPICAL, settled
    from charlstm.config.reading import load_config
    from charlstm.errors import ConfigError
    from charlstm.from_config import model_of
    from charlstm.text.vocabulary import Vocabulary

    config = settled(load_config(path, overrides), TYPICAL)
    if not text:
        raise ConfigError("TEXT: write two characters or more; the first is asked for the second")
    if config.data.unit == "bytes":
        everything = config.data.byte_values == "all"
        own = text.encode("utf-8", "surrogateescape")
        vocabulary = Vocabulary.of_bytes(range(256) if everything else own)
        known = "all bytes" if everything else "the bytes of TEXT"
    else:
        vocabulary, known = Vocabulary.of_characters(map(ord, text)), "the characters of TEXT"
    click.echo(f"An untrained model, from seed {config.seed}; vocabulary: {known}.", err=True)
    return model_of(config, vocabulary.size), vocabulary, vocabulary.encode(text)
