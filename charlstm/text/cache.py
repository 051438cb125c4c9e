"""Encoded texts kept in files beside the runs, so that a long text is encoded once.

    <hash of content and recipe>.ids    the ids (see `mapped_ids`), the vocabulary and the hash
    <hash of names and recipe>.json     which of those the named files became, and how they looked

A text is looked up by the names of its files. If each still has the size, modification time and
inode that it had, its content is taken to be the same: the same trust that make, rsync and git
have. If not, it is read and hashed again, and what no name leads to any more is removed. The
folder may be deleted at any time; two trainers that start at once may both write, and the names
they write under appear whole, with equal content.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charlstm.errors import FileError
from charlstm.messages import show
from charlstm.system.files import make_folder, remove, write_atomically
from charlstm.text.code_points import TextFiles
from charlstm.text.mapped_ids import MappedIds, open_ids, write_ids
from charlstm.text.vocabulary import Ids, Unit, Vocabulary

# Shorter texts are encoded anew every time, in a fraction of a second, and leave no file behind.
WORTH_KEEPING = 16 << 20  # bytes
ABANDONED_AFTER = 3600.0  # seconds without a byte added
FORMAT = 1

_IDS_FILE = re.compile(r"[0-9a-f]{32}\.ids")
Recipe = Mapping[str, str | int | None]


class Encoding(NamedTuple):
    """What a text became. ``sha256``: of its bytes; ``replaced``: some characters were."""

    ids: Ids | MappedIds
    vocabulary: Vocabulary
    sha256: str
    replaced: bool


class CorpusCache:
    """A folder of encoded texts. Creating the object touches nothing."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.say = say

    def place_for(self, text: TextFiles, recipe: Recipe) -> "Place | None":
        """Where this text's ids are kept; None if it is too short, or cannot even be looked at.

        ``recipe``: all that the ids depend on, besides what ``text`` says and contains.
        """
        try:
            looks = [_look_of(path) for path in text.paths]
        except (OSError, ValueError):
            return None
        if sum(look[1] for look in looks) < WORTH_KEEPING:
            return None
        rules = text.rules
        recipe = {
            **{"unit": rules.unit, "newlines": rules.newlines, "normalize": rules.normalize},
            **recipe,
            "format": FORMAT,
        }
        return Place(self, looks, json.dumps(recipe, sort_keys=True))


class Place:
    """What the cache knows of one text. ``looks``: name, size, time and inode of its files, taken
    before they are read: a change while they are read then shows the next time.
    """

    def __init__(self, cache: CorpusCache, looks: list[list[Any]], recipe: str) -> None:
        self._cache = cache
        self._looks = looks
        self._recipe = recipe
        names = json.dumps([look[0] for look in looks])
        self._entry = cache.folder / f"{_hash(names, recipe)}.json"

    def recall(self) -> Encoding | None:
        """The text as it was encoded earlier, if its files look as they did then."""
        entry = _read_entry(self._entry)
        if entry is None or entry["files"] != self._looks:
            return None
        return self._open(self._cache.folder / entry["ids"])

    def keep(
        self,
        blocks: Iterable[Ids],
        vocabulary: Vocabulary,
        sha256: str,
        *,
        replaced: bool,
    ) -> Encoding:
        """Write the ids to a file, unless one holds this content already, and map it."""
        folder = self._cache.folder
        path = folder / f"{_hash(sha256, self._recipe)}.ids"
        found = self._open(path)
        if found is None:
            make_folder(folder)
            _remove_abandoned(folder)
            total = sum(look[1] for look in self._looks)
            self._cache.say(f"Encoding {total / 1e6:,.0f} MB of text, once, into {show(folder)}")
            state = {"sha256": sha256, "unit": vocabulary.unit, "replaced": replaced}
            write_ids(path, blocks, lambda: ({"vocabulary": vocabulary.to_array()}, state))
            found = _open(path)
        before = _read_entry(self._entry)
        entry = {"files": self._looks, "ids": path.name}
        write_atomically(self._entry, [json.dumps(entry).encode()])
        if before is not None and before["ids"] != path.name:
            self._remove_unless_used(before["ids"])
        return found

    def _open(self, path: Path) -> Encoding | None:
        """None if it is not there; a damaged one is removed."""
        if not path.exists():
            return None
        try:
            return _open(path)
        except FileError as error:
            self._cache.say(f"Warning: {error}; encoding the text anew.")
            remove(path)
            return None

    def _remove_unless_used(self, name: str) -> None:
        entries = map(_read_entry, self._cache.folder.glob("*.json"))
        if all(entry is None or entry["ids"] != name for entry in entries):
            remove(self._cache.folder / name)


def _open(path: Path) -> Encoding:
    ids, arrays, state = open_ids(path)
    unit: Unit = "bytes" if state.get("unit") == "bytes" else "characters"
    vocabulary = Vocabulary.from_array(arrays.get("vocabulary", np.zeros(0)), unit)
    return Encoding(ids, vocabulary, str(state.get("sha256")), bool(state.get("replaced")))


def _look_of(path: Path) -> list[Any]:
    status = path.stat()
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns, status.st_ino]  # noqa: PTH100


def _read_entry(path: Path) -> dict[str, Any] | None:
    """An entry that is no good counts as none: it is only a short cut."""
    try:
        entry = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not _IDS_FILE.fullmatch(str(entry.get("ids"))):
        return None
    return entry if "files" in entry else None


def _remove_abandoned(folder: Path) -> None:
    """Remove what killed trainers, here or on other machines, left half-written."""
    for path in folder.glob(".tmp-*"):
        try:
            idle = time.time() - path.stat().st_mtime
        except FileNotFoundError:
            continue
        if idle > ABANDONED_AFTER:
            remove(path)


def _hash(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
