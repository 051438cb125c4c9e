"""What a text must satisfy while it is written: a row of a table for each wish, as an automaton."""

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce

import numpy as np

from charlstm.errors import ConfigError
from charlstm.from_config import item_rules_of
from charlstm.nn.automaton import (
    NEVER,
    Automaton,
    Route,
    at_least,
    both,
    ended_by,
    ended_by_others,
    of_ids,
    trimmed,
)
from charlstm.saved.checkpoint import LoadedModel
from charlstm.text.expression import compile_expression
from charlstm.text.vocabulary import Vocabulary
from charlstm.writing.options import Options


def route_for(options: Options, vocabulary: Vocabulary) -> Route | None:
    """None where anything goes. Raises `ConfigError` where no text can satisfy all wishes."""
    if options.min_length and options.match is None:
        raise ConfigError(
            "a minimum length goes with match; without it nothing ends a text before its length"
        )
    wishes = list(_wishes(options, vocabulary))
    if options.match is not None:
        wishes[0] = ended_by_others(trimmed(wishes[0]))
    return Route(reduce(both, wishes), options.length) if wishes else None


def item_route(options: Options, loaded: LoadedModel, *, begun: bool) -> Route:
    """For an item of a list, which its end symbol ends: not at once, unless it has ``begun``."""
    vocabulary, rules = loaded.vocabulary, item_rules_of(loaded.config)
    if rules is None:
        raise ConfigError("this is a model of one text, not of a list of items")
    if options.min_length is None and not begun:
        options = replace(options, min_length=1)
    end = rules.end_id(vocabulary)
    wishes = [ended_by(end, vocabulary.size), *_wishes(options, vocabulary)]
    characters = np.arange(vocabulary.size) < len(vocabulary.code_points)
    return Route(reduce(both, [*wishes, of_ids(characters)]), options.length)


def _wishes(options: Options, vocabulary: Vocabulary) -> Iterator[Automaton]:
    if options.match is not None:
        yield matching(options.match, vocabulary)
    if options.only is not None or options.ban:
        yield of_characters(options.only, options.ban, vocabulary)
    if options.min_length:
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
