"""The text that a model was trained on, found again, and told from any other.

A checkpoint may come from a stranger, and name any file: what lies far from it is told first
(`texts_elsewhere`), and nothing is read beyond the characters that it says it had.
"""

import os
from collections.abc import Sequence
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import NamedTuple

from charlstm.errors import FileError
from charlstm.from_config import division_of, text_rules_of
from charlstm.messages import listed, show
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.finding import is_run
from charlstm.text import parts as text_parts
from charlstm.text.code_points import find_files
from charlstm.text.corpus import Corpus, encode_corpus
from charlstm.text.items import Items
from charlstm.text.parts import NAMES, Name, length

NAMED_BY_EVAL = "charlstm eval MODEL TEXT --part ..."


def texts_elsewhere(loaded: LoadedModel) -> list[str]:
    """Those of a model's texts that lie neither below the working directory nor beside the
    checkpoint's run, or beside the folder ``runs`` that holds it: a checkpoint may come from a
    stranger, and name anything.

    A glob that begins or leads elsewhere is not even followed.
    """
    home = _real(loaded.path).parent
    home = home.parent if home.name == "checkpoints" else home
    home = home.parent if is_run(home) else home
    near = [_real(Path.cwd()), home.parent if home.name == "runs" else home]

    def lies_near(path: Path) -> bool:
        return any(_real(path).is_relative_to(home) for home in near)

    data = loaded.config.data
    stated = data.files + (data.validation_files or ()) + (data.test_files or ())
    far = [pattern for pattern in stated if _leads_up(pattern) or not lies_near(_fixed(pattern))]
    return far or [str(path) for path in find_files(stated) if not lies_near(path)]


def _real(path: Path) -> Path:
    """Where links lead, also those of a loop, about which `Path.resolve` raises."""
    return Path(os.path.realpath(path))


def _fixed(pattern: str) -> Path:
    """A path up to the first of its folders that is a glob."""
    return Path(*takewhile(_is_fixed, Path(pattern).parts))


def _leads_up(pattern: str) -> bool:
    """Whether a glob goes on in the folder above one that it has found."""
    return ".." in dropwhile(_is_fixed, Path(pattern).parts)


def _is_fixed(part: str) -> bool:
    return not any(sign in part for sign in "*?[")


class OwnPart(NamedTuple):
    """A part of the text that a model was trained on. ``source_bits``: the entropy of its source,
    bits a character, where that is known.
    """

    name: str
    part: text_parts.Part
    source_bits: float | None


def own_part(
    part: Name,
    loaded: LoadedModel,
    moved_to: Sequence[Path] = (),
    *,
    named_by: str = NAMED_BY_EVAL,
) -> OwnPart:
    """A part of the model's own text or list, which may lie elsewhere by now. Raises `FileError`
    if it is not the one that it was trained on; ``named_by`` is how a user can name the right one.
    """
    for other in loaded.others:
        if _parts_of(other) != _parts_of(loaded):
            raise FileError(
                f"{show(other.path)}: keeps other parts, or those of another text, than"
                f" {show(loaded.path)}; --part and --percentile are for models of one division"
            )
    data = loaded.config.data
    own = {"validation": data.validation_files, "test": data.test_files}.get(part)
    identity = loaded.corpus.held_out.get(part) if own else loaded.corpus
    if identity is None:
        raise FileError(
            f"{show(loaded.path)}: no usable checkpoint: it lacks what its {part} text was"
        )
    if not identity.sha256:
        raise FileError(
            f"{show(loaded.path)}: an imported model; what it was trained on is not known here"
        )
    if moved_to:
        corpus = encode_corpus(moved_to, loaded.vocabulary, text_rules_of(loaded.config))
        advice = ""
    else:
        moved = f"has moved, name it: {named_by}"
        corpus = _own_text(loaded, own or data.files, identity.characters, moved)
        advice = f"; if that {moved}"
    names = listed(corpus.files)
    if (corpus.sha256, corpus.characters) != (identity.sha256, identity.characters):
        what = f"the {part} text" if own else "the text that this model was trained on"
        raise FileError(f"{names}: not {what}{advice}")
    division = division_of(loaded.config)
    if own:
        source_bits = corpus.source_bits_per_character(0, corpus.characters)
        return OwnPart(names, division.held_out(corpus), source_bits)
    parts = division.parts(corpus, {})
    lengths = [length(parts[name]) for name in NAMES]
    number = NAMES.index(part)
    if lengths[number] < 2:
        raise FileError(f"{names}: this run keeps no {part} part (data.{part}_fraction is 0)")
    start = sum(lengths[:number])
    source_bits = corpus.source_bits_per_character(start, start + lengths[number])
    in_a_row = not isinstance(parts[part], Items)
    return OwnPart(f"{part} part of {names}", parts[part], source_bits if in_a_row else None)


def _parts_of(loaded: LoadedModel) -> tuple[object, ...]:
    """What decides how a text is divided: of a list's fractions the seed as well."""
    fractions = loaded.config.data.fractions
    drawn = loaded.config.data.items != "none" and any(fractions)
    return loaded.corpus, fractions, loaded.config.seed if drawn else None


def _own_text(loaded: LoadedModel, stated: tuple[str, ...], longest: int, moved: str) -> Corpus:
    """Not longer than it was: a stranger's file may name all of a disk."""
    rules = text_rules_of(loaded.config)
    try:
        return encode_corpus(stated, loaded.vocabulary, rules, longest=longest)
    except FileError as error:
        raise FileError(f"{error}; if the text {moved}") from None
