"""What it costs to round the weights for a page that writes."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from charlstm.errors import FileError
from charlstm.look.score import TextToScore, part_to_score, text_to_score
from charlstm.nn.loss import bits
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.own_text import texts_elsewhere
from charlstm.saved.writer.weights import rounded

ENOUGH = 20_000  # characters: some seconds


class Losses(NamedTuple):
    """Bits a character on ``text``."""

    text: str
    exact: float
    rounded: float


def losses_on_page(loaded: LoadedModel, weights: str, name: Path | None) -> Losses | None:
    """On the beginning of the text ``name``, or without one of the validation part, if that can be
    read here without asking. Raises `FileError` for a text that was named.
    """
    if name is not None:
        return _losses(text_to_score([name], loaded), loaded, weights)
    try:
        if texts_elsewhere(loaded):
            return None
        return _losses(part_to_score("validation", loaded), loaded, weights)
    except FileError:
        return None


def _losses(text: TextToScore, loaded: LoadedModel, weights: str) -> Losses:
    part = "" if len(text.ids) <= ENOUGH else f", first {ENOUGH:,} {loaded.vocabulary.unit}"
    start = replace(text, ids=text.ids[:ENOUGH])
    exact, after = (_loss(start, model) for model in (loaded, rounded(loaded, weights)))
    return Losses(text.name + part, bits(exact), bits(after))


def _loss(text: TextToScore, loaded: LoadedModel) -> float:
    fresh = replace(text)
    for _ in fresh.losses(loaded):
        pass
    return fresh.static.loss
