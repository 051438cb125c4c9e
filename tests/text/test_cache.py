"""Texts that are encoded once: found again, made anew when they changed, and never wrong."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import TEXT, all_that_counts, differing, tiny_config, train

from charlstm.errors import FileError, SystemRefusedError
from charlstm.text import cache, mapped_ids
from charlstm.text import corpus as corpus_module
from charlstm.text.cache import CorpusCache
from charlstm.text.code_points import TextRules
from charlstm.text.corpus import Corpus, encode_corpus, read_corpus
from charlstm.text.mapped_ids import MappedIds
from charlstm.text.vocabulary import Vocabulary
from charlstm.training.recorder import RunRecorder

LONG = "It was a dark and stormy night; the rain fell in torrents.\n" * 40


@pytest.fixture(autouse=True)
def every_text_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WORTH_KEEPING", 1000)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes every time a text is read from end to end."""
    noted: list[str] = []
    for name in ("_survey", "_id_blocks"):
        real = getattr(corpus_module, name)

        def noting(*arguments: Any, real: Any = real, name: str = name) -> Any:
            noted.append(name)
            return real(*arguments)

        monkeypatch.setattr(corpus_module, name, noting)
    return noted


class Desk:
    """A text and a cache, and what the cache said."""

    def __init__(self, folder: Path) -> None:
        self.text = folder / "long.txt"
        self.text.write_text(LONG)
        self.folder = folder / "runs" / ".corpus-cache"
        self.said: list[str] = []
        self.cache = CorpusCache(self.folder, self.said.append)

    def read(self, *files: Path, min_count: int = 1, **rules: Any) -> Corpus:
        read = partial(read_corpus, min_count=min_count, cache=self.cache)
        return read(files or [self.text], TextRules(**rules))

    def kept(self) -> list[Path]:
        return sorted(self.folder.glob("*.ids"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def same(corpus: Corpus, text: str) -> bool:
    return corpus.vocabulary.decode(np.asarray(corpus.ids)) == text


def test_a_long_text_is_encoded_once(desk: Desk, passes: list[str]) -> None:
    plain = read_corpus([desk.text])
    passes.clear()
    first, again = desk.read(), desk.read()
    assert len(passes) == 2
    for corpus in (first, again):
        assert isinstance(corpus.ids, MappedIds)
        assert same(corpus, LONG)
        assert corpus.vocabulary == plain.vocabulary
        assert (corpus.sha256, corpus.characters) == (plain.sha256, plain.characters)
    assert len(desk.said) == 1
    assert desk.said[0].startswith("Encoding 0 MB of text, once, into ")


def test_a_short_text_leaves_nothing_behind(desk: Desk) -> None:
    desk.text.write_text("short")
    assert isinstance(desk.read().ids, np.ndarray)
    assert not desk.folder.exists()


def test_a_changed_text_is_encoded_anew_and_the_old_one_removed(desk: Desk) -> None:
    desk.read()
    before = desk.kept()
    changed = LONG.replace("dark", "DARK")
    desk.text.write_text(changed)
    assert same(desk.read(), changed)
    assert len(desk.kept()) == 1
    assert desk.kept() != before


def test_a_touched_text_is_hashed_again_and_no_more(desk: Desk, passes: list[str]) -> None:
    desk.read()
    passes.clear()
    os.utime(desk.text, (1, 1))
    assert same(desk.read(), LONG)
    assert passes == ["_survey", "_id_blocks"]  # whose blocks nobody asked for
    assert len(desk.said) == 1
    passes.clear()
    desk.read()
    assert not passes


@pytest.mark.parametrize("place", [99, 100])
def test_what_the_same_size_and_time_hide_is_a_matter_of_trust(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """The documented limit: a change that keeps size, time and inode is seen only where a text
    that is recalled is compared, at its beginning.
    """
    monkeypatch.setattr(corpus_module, "COMPARED", 100)
    desk.read()
    status = desk.text.stat()
    with desk.text.open("r+") as file:
        file.seek(place)
        file.write("XX")
    os.utime(desk.text, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert same(desk.read(), LONG if place == 100 else desk.text.read_text())


def test_equal_content_under_two_names_is_kept_once(desk: Desk, tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_text(LONG)
    desk.read()
    desk.read(copy)
    assert len(desk.kept()) == 1
    desk.text.write_text(LONG + "More.")
    desk.read()
    assert len(desk.kept()) == 2  # the copy still needs the first
    assert same(desk.read(copy), LONG)
    assert len(desk.said) == 2


def test_what_the_ids_depend_on_is_part_of_the_name(desk: Desk, tmp_path: Path) -> None:
    desk.text.write_text(LONG + "e\u0301\r\n")
    texts = {
        "plain": desk.read(),
        "bytes": desk.read(unit="bytes"),
        "lines": desk.read(newlines="normalize"),
        "composed": desk.read(normalize="NFC"),
        "frequent": desk.read(min_count=3, replacement="_"),
        "otherwise": desk.read(min_count=3, replacement="#"),
    }
    known = Vocabulary.of_characters({*map(ord, LONG), *range(65, 91), 0x301, 13})
    texts["known"] = encode_corpus([desk.text], known, cache=desk.cache)
    assert len(desk.kept()) == len(texts)
    assert same(texts["lines"], LONG + "e\u0301\n")
    assert same(texts["composed"], LONG + "\u00e9\r\n")
    assert same(texts["frequent"], LONG + "e__\n")
    assert same(texts["otherwise"], LONG + "e##\n")
    assert same(texts["known"], LONG + "e\u0301\r\n")
    assert texts["known"].vocabulary == known
    assert np.asarray(texts["bytes"].ids).tobytes() == (LONG + "e\u0301\r\n").encode()
    assert same(desk.read(), LONG + "e\u0301\r\n")
    assert len(desk.kept()) == len(texts)


def test_order_and_number_of_files_matter(desk: Desk, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("Suddenly, a shot rang out!\n")
    assert same(desk.read(desk.text, other), LONG + other.read_text())
    assert same(desk.read(other, desk.text), other.read_text() + LONG)
    assert same(desk.read(desk.text), LONG)


@pytest.mark.parametrize("damage", ["cut", "emptied", "foreign"])
def test_a_damaged_file_is_made_anew(desk: Desk, damage: str) -> None:
    desk.read()
    (path,) = desk.kept()
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-5], "emptied": b"", "foreign": b"x" * 5000}[damage])
    assert same(desk.read(), LONG)
    assert desk.said[1].startswith("Warning: ")
    assert desk.said[1].endswith("; encoding the text anew.")
    assert desk.kept() == [path]
    assert path.read_bytes() == content


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_ids, "BLOCK", 500)
    monkeypatch.setattr(corpus_module, "COMPARED", 100)


@pytest.mark.usefixtures("short_blocks")
@pytest.mark.parametrize("place", [0, 5000])
def test_damage_within_the_ids_is_found_and_healed_by_the_next_start(
    tmp_path: Path, place: int
) -> None:
    """At once where a recalled text is compared, else when training comes to it."""
    config = tiny_config(tmp_path, TEXT * 40, **{"training.steps": 10, "evaluation.every": 10})
    train(config, tmp_path / "runs" / "whole")
    (path,) = (tmp_path / "runs" / ".corpus-cache").glob("*.ids")
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff")
    said: list[str] = []
    if place:
        with pytest.raises(FileError, match="damaged; it was removed"):
            train(config, tmp_path / "runs" / "damaged")
    train(config, tmp_path / "runs" / "damaged", resume=True, say=said.append)
    assert any("; encoding the text anew." in line for line in said) == (not place)
    whole, healed = (all_that_counts(tmp_path / "runs" / n) for n in ("whole", "damaged"))
    assert not differing(whole, healed)


@pytest.mark.usefixtures("short_blocks")
@pytest.mark.parametrize("cut", [False, True])
def test_a_file_that_is_ruined_while_a_training_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool
) -> None:
    """Cut to nothing or zeroed after the first step: the same training, or one line."""
    config = tiny_config(tmp_path, TEXT * 40, **{"training.steps": 10, "evaluation.every": 10})
    train(config, tmp_path / "runs" / "whole")
    (path,) = (tmp_path / "runs" / ".corpus-cache").glob("*.ids")

    def ruined(self: Any, *arguments: Any) -> None:
        if cut:
            os.truncate(path, 0)
        else:
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
        stepped(self, *arguments)

    stepped = RunRecorder.stepped
    monkeypatch.setattr(RunRecorder, "stepped", ruined)
    with pytest.raises(FileError, match="damaged; it was removed"):
        train(config, tmp_path / "runs" / "ruined")  # the evaluation reads what was not yet read
    monkeypatch.setattr(RunRecorder, "stepped", stepped)
    train(config, tmp_path / "runs" / "ruined", resume=True)
    whole, healed = (all_that_counts(tmp_path / "runs" / n) for n in ("whole", "ruined"))
    assert not differing(whole, healed)


@pytest.mark.parametrize("entry", [b"", b"[]", b"{}", b"\xff", b'{"ids": "../../x", "files": []}'])
def test_a_damaged_entry_is_no_entry(desk: Desk, entry: bytes) -> None:
    desk.read()
    (path,) = desk.folder.glob("*.json")
    path.write_bytes(entry)
    assert same(desk.read(), LONG)
    assert json.loads(path.read_text())["ids"] == desk.kept()[0].name


def test_a_missing_file_is_reported_as_ever(desk: Desk) -> None:
    with pytest.raises(FileError, match=r"gone\.txt: cannot be read: No such file"):
        desk.read(desk.text.with_name("gone.txt"))


def test_a_text_that_changes_meanwhile_is_refused_and_nothing_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = corpus_module._survey

    def slow_survey(text: Any) -> Any:
        found = survey(text)
        desk.text.write_text(LONG[:-7])
        return found

    monkeypatch.setattr(corpus_module, "_survey", slow_survey)
    with pytest.raises(FileError, match="changed while it was being read"):
        desk.read()
    assert [path.name for path in desk.folder.iterdir()] == []


def test_a_folder_that_cannot_be_written_is_an_error_of_the_system(desk: Desk) -> None:
    desk.folder.parent.write_text("a file where the folder should be")
    with pytest.raises(SystemRefusedError, match="cannot create"):
        desk.read()


def test_old_leavings_are_swept_and_fresh_ones_left_alone(desk: Desk) -> None:
    desk.folder.mkdir(parents=True)
    old, fresh, folder = (desk.folder / f".tmp-{sign * 32}.ids-99999" for sign in "abc")
    foreign = desk.folder / ".tmp-x"
    folder.mkdir()
    for path in (old, fresh, foreign):
        path.write_bytes(b"half")
    long_ago = time.time() - 2 * cache.ABANDONED_AFTER
    for path in (old, folder, foreign):
        os.utime(path, (long_ago, long_ago))
    desk.read()
    assert not old.exists()
    assert all(path.exists() for path in (fresh, folder, foreign))


def test_trainers_that_start_at_once_do_not_disturb_each_other(desk: Desk) -> None:
    desk.text.write_text(LONG * 50)
    program = (
        "import sys, numpy as np; from pathlib import Path; from charlstm.text import cache\n"
        "from charlstm.text.corpus import read_corpus\n"
        "cache.WORTH_KEEPING = 1000\n"
        "sys.stdin.readline()\n"
        "kept = cache.CorpusCache(Path(sys.argv[2]), lambda line: None)\n"
        "corpus = read_corpus([sys.argv[1]], cache=kept)\n"
        "text = corpus.vocabulary.decode(np.asarray(corpus.ids))\n"
        "sys.exit(text != Path(sys.argv[1]).read_text())"
    )
    trainers = [
        subprocess.Popen(
            [sys.executable, "-c", program, desk.text, desk.folder], stdin=subprocess.PIPE
        )
        for _ in range(4)
    ]
    time.sleep(0.5)
    for trainer in trainers:
        assert trainer.stdin is not None
        trainer.stdin.write(b"\n")
        trainer.stdin.flush()
    for trainer in trainers:
        trainer.communicate(timeout=30)
    assert [trainer.returncode for trainer in trainers] == [0] * 4
    assert len(desk.kept()) == 1
    assert not list(desk.folder.glob(".tmp-*"))


@pytest.mark.parametrize("workers", [1, 2])
def test_training_from_a_mapped_text_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    settings = {"training.steps": 12, "training.workers": workers}
    config = tiny_config(tmp_path, TEXT * 40, **settings)
    train(config, tmp_path / "mapped" / "run")
    assert list((tmp_path / "mapped" / ".corpus-cache").glob("*.ids"))
    monkeypatch.setattr(cache, "WORTH_KEEPING", 10**9)
    train(config, tmp_path / "plain" / "run")
    assert not (tmp_path / "plain" / ".corpus-cache").exists()
    mapped, plain = (all_that_counts(tmp_path / n / "run") for n in ("mapped", "plain"))
    assert not differing(mapped, plain)
