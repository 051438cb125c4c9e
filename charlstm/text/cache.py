"""Encoded texts kept in files beside the runs, so that a long text is encoded once.

    <hash of content and recipe>.ids    the ids (see `mapped_ids`), the vocabulary and the hash
    <hash of names and recipe>.json     which of those the named files became, by its name and its
                                        seal, and how the files looked

A text is looked up by the names of its files. If each still has the size, modification time and
inode that it had, its content is taken to be the same: the same trust that make, rsync and git
have. If not, it is read and hashed again, and a file of ids that is there already must agree with
it block by block. What no name leads to any more is removed. The folder may be deleted at any
time; two trainers that start at once may both write, and the names they write under appear whole,
with equal content.

Nothing here is believed because of where it lies: a file of ids must be the one that its name and
its entry say, and begin as the text begins (`corpus`). Who forges all of that alike, beginning
with the true first characters, is believed, as is whoever can write to the text itself.
"""

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import FileError
from charlstm.messages import show
from charlstm.system.files import make_folder, read_exactly, reading, remove, write_atomically
from charlstm.text.code_points import TextFiles
from charlstm.text.mapped_ids import MappedIds, OpenedIds, digests_of, open_ids, write_ids
from charlstm.text.vocabulary import Ids, Unit, Vocabulary

# Shorter texts are encoded anew every time, in a fraction of a second, and leave no file behind.
WORTH_KEEPING = 16 << 20  # bytes
ABANDONED_AFTER = 3600.0  # seconds without a byte added
FORMAT = 2
LARGEST_ENTRY = 1 << 24  # bytes; that of some 100,000 files

_IDS_FILE = re.compile(r"[0-9a-f]{32}\.ids")
_HALF_WRITTEN = re.compile(r"\.tmp-[0-9a-f]{32}\.(ids|json)-[0-9]+")
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
            **({} if rules.items is None else rules.items._asdict()),
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

    def recall(self, is_this_text: Callable[[Encoding], bool]) -> Encoding | None:
        """The text as it was encoded earlier, if its files look as they did then."""
        entry = _read_entry(self._entry)
        if entry is None or entry["files"] != self._looks:
            return None
        return self._open(
            entry["ids"], lambda opened, made: opened.seal == entry["seal"] and is_this_text(made)
        )

    def keep(
        self,
        blocks: Callable[[], Iterable[Ids]],
        vocabulary: Vocabulary,
        sha256: str,
        *,
        replaced: bool,
    ) -> Encoding:
        """Write the ids to a file, unless one holds this content already, and open it.

        ``blocks`` gives the ids from the text. A file that is there is believed only as far as it
        agrees with them.
        """
        folder = self._cache.folder
        path = folder / self._name_for(sha256)
        encoding = Encoding(np.zeros(0, np.uint8), vocabulary, sha256, replaced)
        found = self._open(path.name, lambda opened, _: _agrees(opened, encoding, blocks()))
        if found is None:
            make_folder(folder)
            _remove_abandoned(folder)
            total = sum(look[1] for look in self._looks)
            self._cache.say(f"Encoding {total / 1e6:,.0f} MB of text, once, into {show(folder)}")
            write_ids(path, blocks(), lambda: _description(encoding))
        opened = open_ids(path)
        before = _read_entry(self._entry)
        entry = {"files": self._looks, "ids": path.name, "seal": opened.seal}
        write_atomically(self._entry, [json.dumps(entry).encode()])
        if before is not None and before["ids"] != path.name:
            self._remove_unless_used(before["ids"])
        return found or _encoding_of(opened)

    def _name_for(self, sha256: str) -> str:
        return f"{_hash(sha256, self._recipe)}.ids"

    def _open(self, name: str, is_right: Callable[[OpenedIds, Encoding], bool]) -> Encoding | None:
        """None if it is not there; one that is damaged or not what its name says is removed."""
        path = self._cache.folder / name
        if not os.path.lexists(path):
            return None
        try:
            opened = open_ids(path)
            encoding = _encoding_of(opened)
            if self._name_for(encoding.sha256) != name or not is_right(opened, encoding):
                raise FileError(f"{show(path)}: not made from this text")
        except FileError as error:
            self._cache.say(f"Warning: {error}; encoding the text anew.")
            remove(path)
            return None
        return encoding

    def _remove_unless_used(self, name: str) -> None:
        entries = map(_read_entry, self._cache.folder.glob("*.json"))
        if all(entry is None or entry["ids"] != name for entry in entries):
            remove(self._cache.folder / name)


def _description(encoding: Encoding) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """What a file says of its ids."""
    vocabulary = encoding.vocabulary
    state = {"sha256": encoding.sha256, "unit": vocabulary.unit, "replaced": encoding.replaced}
    if vocabulary.specials:
        state["specials"] = list(vocabulary.specials)
    return {"vocabulary": vocabulary.to_array()}, state


def _encoding_of(opened: OpenedIds) -> Encoding:
    ids, arrays, state, _ = opened
    unit: Unit = "bytes" if state.get("unit") == "bytes" else "characters"
    specials = list(map(str, state.get("specials", [])))
    vocabulary = Vocabulary.from_array(arrays.get("vocabulary", np.zeros(0)), unit, specials)
    if ids.dtype != vocabulary.id_dtype or state["ids_below"] > vocabulary.size:
        raise FileError(f"{show(ids.path)}: has ids beyond its vocabulary")
    return Encoding(ids, vocabulary, str(state.get("sha256")), bool(state.get("replaced")))


def _agrees(opened: OpenedIds, encoding: Encoding, blocks: Iterable[Ids]) -> bool:
    """Whether a file holds what the text, read once more, becomes."""
    arrays, state = _description(encoding)
    same = all(opened.state.get(name) == value for name, value in state.items())
    return (
        same
        and np.array_equal(opened.arrays.get("vocabulary", np.zeros(0)), arrays["vocabulary"])
        and np.array_equal(opened.ids.digests, digests_of(blocks))
    )


def _look_of(path: Path) -> list[Any]:
    status = path.stat()
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns, status.st_ino]  # noqa: PTH100


def _read_entry(path: Path) -> dict[str, Any] | None:
    """An entry that is no good counts as none: it is only a short cut."""
    try:
        with reading(path) as (stream, size):
            entry = json.loads(bytes(read_exactly(stream, min(size, LARGEST_ENTRY))))
    except (FileError, ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or entry.keys() != {"files", "ids", "seal"}:
        return None
    return entry if _IDS_FILE.fullmatch(str(entry["ids"])) else None


def _remove_abandoned(folder: Path) -> None:
    """Remove what killed trainers, here or on other machines, left half-written."""
    for path in folder.iterdir():
        if not _HALF_WRITTEN.fullmatch(path.name):
            continue
        with suppress(FileNotFoundError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > ABANDONED_AFTER:
                remove(path)


def _hash(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
