"""A cache that somebody has tampered with: the right text all the same, or one line."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.errors import SystemRefusedError
from charlstm.system.sealed import seal, unseal
from charlstm.text import cache
from charlstm.text.cache import CorpusCache
from charlstm.text.corpus import Corpus, read_corpus
from charlstm.text.mapped_ids import write_ids

OURS = "It was a dark and stormy night; the rain fell in torrents.\n" * 40
THEIRS = "".join(reversed(OURS))  # as long, with the same characters and so the same vocabulary


@pytest.fixture(autouse=True)
def every_text_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WORTH_KEEPING", 1000)


class Scene:
    """Two texts, and the cache with both: ``ids[name]`` and ``entry[name]`` are its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".corpus-cache"
        self.said: list[str] = []
        self.cache = CorpusCache(self.folder, self.said.append)
        self.ids: dict[str, Path] = {}
        self.entry: dict[str, Path] = {}
        self.texts = {"ours": folder / "ours.txt", "theirs": folder / "theirs.txt"}
        for name, content in (("ours", OURS), ("theirs", THEIRS)):
            self.texts[name].write_text(content)
            self.read(name)
            (self.ids[name],) = set(self.folder.glob("*.ids")) - set(self.ids.values())
            (self.entry[name],) = set(self.folder.glob("*.json")) - set(self.entry.values())
        self.said.clear()

    def read(self, name: str) -> Corpus:
        return read_corpus([self.texts[name]], cache=self.cache)

    def change_entry(self, name: str, **values: Any) -> None:
        entry = json.loads(self.entry[name].read_text())
        self.entry[name].write_text(json.dumps(entry | values))

    def entry_of(self, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = json.loads(self.entry[name].read_text())
        return entry

    def forge_body(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Other ids in our file, with all that vouches for them made right."""
        path = self.ids["ours"]
        content = path.read_bytes()
        length = int.from_bytes(content[-8:], "little")
        arrays, state = unseal(content[-8 - length : -8])
        ids = np.frombuffer(content[: -8 - length], state["dtype"])
        said = {name: state[name] for name in ("sha256", "unit", "replaced")}
        known = {"vocabulary": arrays["vocabulary"]}
        write_ids(path, [np.ascontiguousarray(change(ids))], lambda: (known, said))

    def seal_entry(self) -> None:
        """Let our entry vouch for our file, whatever that is."""
        content = self.ids["ours"].read_bytes()
        length = int.from_bytes(content[-8:], "little")
        arrays, state = unseal(content[-8 - length : -8])
        again = b"".join(seal(arrays, state))
        assert again == content[-8 - length : -8]
        self.change_entry("ours", seal=again[35:99].decode())


def other_ids_over_ours(scene: Scene) -> None:
    scene.ids["ours"].write_bytes(scene.ids["theirs"].read_bytes())


def other_ids_without_an_entry(scene: Scene) -> None:
    other_ids_over_ours(scene)
    scene.entry["ours"].unlink()


def an_entry_that_names_theirs(scene: Scene) -> None:
    scene.change_entry("ours", ids=scene.ids["theirs"].name)


def an_entry_that_names_theirs_with_its_seal(scene: Scene) -> None:
    theirs = scene.entry_of("theirs")
    scene.change_entry("ours", ids=theirs["ids"], seal=theirs["seal"])


def a_link_to_theirs(scene: Scene) -> None:
    scene.ids["ours"].unlink()
    scene.ids["ours"].symlink_to(scene.ids["theirs"].name)


def a_hard_link_to_theirs(scene: Scene) -> None:
    scene.ids["ours"].unlink()
    os.link(scene.ids["theirs"], scene.ids["ours"])


def a_forged_body(scene: Scene) -> None:
    scene.forge_body(lambda ids: ids[::-1])


def a_forged_body_without_an_entry(scene: Scene) -> None:
    a_forged_body(scene)
    scene.entry["ours"].unlink()


def one_id_forged_at_the_end_without_an_entry(scene: Scene) -> None:
    scene.forge_body(lambda ids: np.append(ids[:-1], ids[:1]))
    scene.entry["ours"].unlink()


def a_forged_body_and_entry(scene: Scene) -> None:
    a_forged_body(scene)
    scene.seal_entry()


def a_shorter_body_and_entry(scene: Scene) -> None:
    scene.forge_body(lambda ids: ids[:100])
    scene.seal_entry()


def ids_beyond_the_vocabulary(scene: Scene) -> None:
    scene.forge_body(lambda ids: np.append(ids[:-1], np.uint8(255)))
    scene.seal_entry()


def ids_of_four_bytes(scene: Scene) -> None:
    scene.forge_body(lambda ids: ids.astype(np.uint32))
    scene.seal_entry()


def enormous_ids(scene: Scene) -> None:
    scene.forge_body(lambda ids: np.append(ids[:-1].astype(np.uint32), np.uint32(2**32 - 1)))
    scene.seal_entry()


FORGERIES = [
    other_ids_over_ours,
    other_ids_without_an_entry,
    an_entry_that_names_theirs,
    an_entry_that_names_theirs_with_its_seal,
    a_link_to_theirs,
    a_hard_link_to_theirs,
    a_forged_body,
    a_forged_body_without_an_entry,
    one_id_forged_at_the_end_without_an_entry,
    a_forged_body_and_entry,
    a_shorter_body_and_entry,
    ids_beyond_the_vocabulary,
    ids_of_four_bytes,
    enormous_ids,
]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
def test_a_forged_cache_never_gives_another_text(
    tmp_path: Path, forge: Callable[[Scene], None]
) -> None:
    scene = Scene(tmp_path)
    forge(scene)
    for name, content in (("ours", OURS), ("theirs", THEIRS), ("ours", OURS)):
        corpus = scene.read(name)
        assert corpus.vocabulary.decode(np.asarray(corpus.ids)) == content
    assert any(line.endswith("; encoding the text anew.") for line in scene.said)


def test_what_vouches_for_itself_from_end_to_end_is_believed(tmp_path: Path) -> None:
    """The documented limit: the body, its digests, its seal and the entry forged alike, after a
    true beginning.
    """
    scene = Scene(tmp_path)
    scene.texts["ours"].write_text(OURS * 30)
    scene.entry["ours"].unlink()
    scene.read("ours")
    entry = scene.entry_of("ours")
    scene.ids["ours"] = scene.folder / entry["ids"]
    scene.forge_body(lambda ids: np.append(ids[:-1], ids[:1]))
    scene.seal_entry()
    corpus = scene.read("ours")
    assert corpus.vocabulary.decode(np.asarray(corpus.ids)) == (OURS * 30)[:-1] + "I"


SPECIAL: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "full folder": lambda path: (path / "below").mkdir(parents=True),
    "loop": lambda path: path.symlink_to(path.name),
    "dangling": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("place", ["entry", "ids"])
def test_special_files_in_a_cache_are_read_past_or_refused_in_a_line(
    tmp_path: Path, place: str, kind: str
) -> None:
    scene = Scene(tmp_path)
    path = getattr(scene, place)["ours"]
    path.unlink()
    SPECIAL[kind](path)
    if "folder" in kind:
        reason = r"Is a directory|Operation not permitted|Directory not empty"
        with pytest.raises(SystemRefusedError, match=reason):
            scene.read("ours")
        return
    corpus = scene.read("ours")
    assert corpus.vocabulary.decode(np.asarray(corpus.ids)) == OURS
    assert path.is_file()
    assert not path.is_symlink()


def test_mutants_of_a_cache(tmp_path: Path, rng: np.random.Generator, torture: bool) -> None:
    """Bytes changed at random, or everything from some place on lost, in either file."""
    scene = Scene(tmp_path)
    whole = {place: getattr(scene, place)["ours"].read_bytes() for place in ("ids", "entry")}
    rounds = 2000 if torture else 20
    for number in range(rounds):
        place = ("ids", "entry")[number % 2]
        path, content = getattr(scene, place)["ours"], bytearray(whole[place])
        at = int(rng.integers(len(content)))
        if number % 5 == 4:
            del content[at:]
        else:
            content[at] ^= int(rng.integers(1, 256))
        path.write_bytes(content)
        corpus = scene.read("ours")
        assert corpus.vocabulary.decode(np.asarray(corpus.ids)) == OURS, (number, place, at)
    print(f"mutants of a cache: {rounds}, wrong texts: 0")
