"""What comes next: the likeliest characters, and the likeliest ends of the word or the line."""

import math
import unicodedata
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import ConfigError
from charlstm.nn.sampling import read
from charlstm.saved.checkpoint import LoadedModel
from charlstm.text.vocabulary import LINE_FEED, Vocabulary
from charlstm.writing.search import likeliest, log_probabilities
from charlstm.writing.start import start_of

To = Literal["word", "line"]
STEPS = 4096


class Continuation(NamedTuple):
    """``text`` follows with this ``probability``; of a completion: and then its end.

    What ends an item of a list is the ``text`` "" among characters. Bytes that are no UTF-8, as one
    alone of a model of bytes, are lone surrogates (PEP 383).
    """

    text: str
    probability: float


@dataclass(frozen=True)
class Next:
    """What may follow a text, the likeliest first.

    ``characters``: one each (of a model of bytes: one byte). ``completions``: all up to the end of
    the word or of the line, without what ends it; there is none with a probability above
    ``unseen`` that is not listed, which is 0 where the search came to its end.
    """

    characters: tuple[Continuation, ...]
    completions: tuple[Continuation, ...]
    unseen: float


def following(
    loaded: LoadedModel,
    prompt: str,
    *,
    top: int = 10,
    to: To = "word",
    label: str | None = None,
    steps: int = STEPS,
) -> Next:
    """What the model expects after ``prompt``. Raises `UnknownCharacterError`."""
    if top < 1 or steps < 1 or to not in ("word", "line"):
        raise ConfigError("next: top and steps: at least 1; to: word or line")
    vocabulary = loaded.vocabulary
    start = start_of(loaded, prompt, label=label)
    ends = ends_of(vocabulary, to)
    begun = to == "line" or bool(len(start) and not ends[start[-1]])
    logits, states = read(loaded.predictor, start, 1)
    found = likeliest(loaded.predictor, logits, states, ends, count=top, steps=steps, may_end=begun)
    p = np.exp(log_probabilities(logits)[0])
    order = np.argsort(-p, kind="stable")[:top]
    return Next(
        tuple(
            Continuation(vocabulary.decode(order[n : n + 1], "surrogateescape"), float(p[i]))
            for n, i in enumerate(order)
        ),
        tuple(
            Continuation(
                vocabulary.decode(np.array(way.ids, np.intp), "surrogateescape"),
                math.exp(way.log_p),
            )
            for way in found.ways
        ),
        math.exp(found.unseen),
    )


def ends_of(vocabulary: Vocabulary, to: To) -> NDArray[np.bool_]:
    """``(V,)``: what is no part of a word (or line). Bytes beyond ASCII are parts of letters."""
    codes = vocabulary.code_points.tolist()
    if to == "line":
        ends = [code == LINE_FEED for code in codes]
    else:
        ends = [not _is_of_a_word(code, vocabulary) for code in codes]
    return np.array(ends + [True] * len(vocabulary.specials))


def word_begun(prompt: str, vocabulary: Vocabulary, to: To) -> str:
    """What a completion is a completion of: the end of ``prompt``."""
    if to == "line":
        return prompt.rpartition("\n")[2]
    reversed_word = takewhile(lambda c: _is_of_a_word(ord(c), vocabulary), reversed(prompt))
    return "".join(reversed_word)[::-1]


def _is_of_a_word(code: int, vocabulary: Vocabulary) -> bool:
    if vocabulary.unit == "bytes" and code > 127:
        return True
    character = chr(code)
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
