"""What a text must satisfy while it is written: a row of a table for each wish, as an automaton."""

from collections.abc import Iterator
from functools import reduce

import numpy as np

from charlstm.errors import ConfigError
from charlstm.nn.automaton import (
    NEVER,
    Automaton,
    Route,
    at_least,
    both,
    ended_by_others,
    of_ids,
    trimmed,
)
from charlstm.text.expression import compile_expression
from charlstm.text.vocabulary import Vocabulary
from charlstm.writing.options import Options


def route_for(options: Options, vocabulary: Vocabulary) -> Route | None:
    """None where anything goes. Raises `ConfigError` where no text can satisfy all wishes."""
    wishes = list(_wishes(options, vocabulary))
    return Route(reduce(both, wishes), options.length) if wishes else None


def _wishes(options: Options, vocabulary: Vocabulary) -> Iterator[Automaton]:
    if options.match is not None:
        yield ended_by_others(trimmed(matching(options.match, vocabulary)))
    if options.only is not None or options.ban:
        yield of_characters(options.only, options.ban, vocabulary)
    if options.min_length:
        if options.match is None:
            raise ConfigError(
                "a minimum length goes with match; without it nothing ends a text before its length"
            )
        yield at_least(options.min_length, vocabulary.size)


def of_characters(only: str | None, ban: str, vocabulary: Vocabulary) -> Automaton:
    """Texts of the characters of ``only`` (None: all) without those of ``ban``.

    Characters that the vocabulary lacks make no difference.
    """
    if vocabulary.unit == "bytes" and not ((only or "") + ban).isascii():
        raise ConfigError("only and ban: of a model of bytes, ASCII characters")
    known = set(vocabulary.code_points.tolist())
    allowed = np.full(vocabulary.size, only is None)
    for text, value in ((only or "", True), (ban, False)):
        allowed[vocabulary.encode("".join(c for c in text if ord(c) in known))] = value
    if not allowed.any():
        raise ConfigError("only and ban: no character of the model's vocabulary is left")
    return of_ids(allowed)


def matching(expression: str, vocabulary: Vocabulary) -> Automaton:
    """Texts that match a regular expression as a whole; of a model of bytes, texts of ASCII."""
    codes = vocabulary.code_points
    if vocabulary.unit == "bytes":
        if not expression.isascii():
            raise ConfigError("match: of a model of bytes, an expression of ASCII characters")
        codes = codes[codes < 128]
    compiled = compile_expression(expression, [chr(code) for code in codes])
    after = np.full((len(compiled.after), vocabulary.size), NEVER, np.int32)
    after[:, : len(codes)] = compiled.after
    return Automaton(after, compiled.accepting)
