"""What makes arrays a model: its configuration and vocabulary, as texts beside the arrays."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from charlstm import __version__
from charlstm.config.reading import config_from_dict
from charlstm.config.settings import Config
from charlstm.config.writing import config_to_dict
from charlstm.errors import FileError
from charlstm.messages import shorten, show
from charlstm.nn.parameter import Array
from charlstm.saved.checkpoint import LoadedModel, checked_label_counts
from charlstm.system.files import read_exactly, reading
from charlstm.text.vocabulary import Vocabulary

LARGEST_VOCABULARY = 2**25  # every character of Unicode, escaped, with quotes and commas


class Ordered(NamedTuple):
    """A vocabulary, which is sorted, and the order of a model: our id k is ``order[k]`` there."""

    vocabulary: Vocabulary
    order: Array


def describe(loaded: LoadedModel) -> dict[str, str]:
    """Texts, most of them JSON, from which `described_config` and `described_vocabulary` restore.

    Only the names of the files that were trained on are told, not the folders they lay in.
    """
    return {
        "charlstm": __version__,
        "step": str(loaded.progress.step),
        "config": json.dumps(config_to_dict(_without_folders(loaded.config))),
        "unit": loaded.vocabulary.unit,
        "vocabulary": json.dumps(characters_of(loaded.vocabulary)),
        **({"specials": json.dumps(specials)} if (specials := loaded.vocabulary.specials) else {}),
        **({"label_counts": json.dumps(counts)} if (counts := loaded.label_counts) else {}),
    }


def characters_of(vocabulary: Vocabulary) -> str:
    """A text whose character number i has id i; byte values stand as U+0000 to U+00FF."""
    return "".join(map(chr, vocabulary.code_points.tolist()))


def described_config(texts: Mapping[str, str]) -> Config:
    """What describes the model and how it reads; all that belongs to its training is default."""
    config = config_from_dict(_json(texts, "config"), "its configuration")
    return Config(seed=config.seed, data=config.data, model=config.model)


def described_vocabulary(texts: Mapping[str, str]) -> Ordered:
    known, order = _described_characters(texts)
    if "specials" not in texts:
        return Ordered(known, order)
    specials = _json(texts, "specials")
    if not isinstance(specials, list) or not all(isinstance(name, str) for name in specials):
        raise FileError(f"specials: expected a JSON list of texts, found {shorten(specials)}")
    after = np.arange(known.size, known.size + len(specials))
    return Ordered(known.with_specials(specials), np.concatenate([order, after]))


def described_label_counts(texts: Mapping[str, str], vocabulary: Vocabulary) -> tuple[int, ...]:
    """None where an older charlstm wrote the file."""
    stated = _json(texts, "label_counts") if "label_counts" in texts else []
    return checked_label_counts(stated, vocabulary)


def _described_characters(texts: Mapping[str, str]) -> Ordered:
    if texts.get("unit") == "bytes":
        if "vocabulary" not in texts:
            return in_order(Vocabulary.of_bytes())
        known, order = vocabulary_of(_json(texts, "vocabulary"))
        return Ordered(Vocabulary.from_array(known.to_array(), "bytes"), order)
    return vocabulary_of(_json(texts, "vocabulary"))


def read_vocabulary(path: Path) -> Ordered:
    """From a JSON file, as `vocabulary_of`."""
    with reading(path) as (stream, size):
        content = bytes(read_exactly(stream, min(size, LARGEST_VOCABULARY + 1)))
    try:
        if size > LARGEST_VOCABULARY:
            raise FileError(f"too large for a vocabulary ({size:,} bytes)")
        return vocabulary_of(json.loads(content.decode("utf-8")))
    except (ValueError, RecursionError):
        raise FileError(f"{show(path)}: no valid JSON") from None
    except FileError as error:
        raise FileError(f"{show(path)}: {error}") from None


def in_order(vocabulary: Vocabulary) -> Ordered:
    return Ordered(vocabulary, np.arange(vocabulary.size))


def vocabulary_of(characters: Any) -> Ordered:
    """From characters in the order of a model's ids: a text, or a list of texts of length 1.

    Raises `FileError` for anything else, and for a character that occurs twice.
    """
    if not isinstance(characters, str | list) or not characters:
        raise FileError("vocabulary: expected a JSON text or list of characters")
    for number, character in enumerate(characters):
        if not isinstance(character, str) or len(character) != 1:
            raise FileError(
                f"vocabulary: entry {number} is {shorten(character)}, not one character"
            )
    codes = np.array([ord(character) for character in characters], np.uint32)
    order = np.argsort(codes, kind="stable")
    twice = np.flatnonzero(np.diff(codes[order]) == 0)
    if len(twice):
        raise FileError(f"vocabulary: {chr(codes[order[twice[0]]])!r} occurs twice")
    return Ordered(Vocabulary(codes[order]), order)


def _without_folders(config: Config) -> Config:
    data = config.data
    return replace(
        config,
        init_from=None,
        data=replace(
            data,
            files=_names_of(data.files),
            validation_files=data.validation_files and _names_of(data.validation_files),
            test_files=data.test_files and _names_of(data.test_files),
        ),
        output=replace(config.output, directory=None),
    )


def _names_of(files: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(PurePath(file).name for file in files)


def _json(texts: Mapping[str, str], name: str) -> Any:
    try:
        return json.loads(texts[name])
    except KeyError:
        raise FileError(f"its metadata has no {name}") from None
    except (ValueError, RecursionError):
        raise FileError(f"the {name} in its metadata is no valid JSON") from None
