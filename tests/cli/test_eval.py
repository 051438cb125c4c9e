"""charlstm eval --by: where in a text the bits are."""

import csv
import glob
import io
import json
import math
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import forge

from charlstm.cli.main import main
from charlstm.look.score import exact_losses
from charlstm.saved.checkpoint import load_model
from charlstm.text import code_points
from charlstm.text.corpus import encode_corpus

LINES = "the harbour\nwas\n\nquiet"


def bits_of(run: Path, text: str) -> np.ndarray:
    """Of every character but the first, computed without the command."""
    loaded = load_model(run)
    ids = loaded.vocabulary.encode(text)
    return np.concatenate(list(exact_losses(loaded.model, ids))) / math.log(2)


def name_texts(checkpoint: Path, *names: str) -> None:
    forge(checkpoint, lambda arrays, state: state["config"]["data"].update(files=list(names)))


@pytest.fixture
def run(folder: Path, run: Path) -> Path:
    """That of all commands, trained on the text.txt that lies here."""
    name_texts(run / "best.safetensors", str(folder / "text.txt"))
    return run


@pytest.fixture
def text(folder: Path, run: Path) -> str:
    """What the model was trained on, cut into lines that it knows the characters of."""
    text = (folder / "text.txt").read_text()[:600]
    (folder / "t.txt").write_text(text)
    return text


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch):
    def given(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return given


def tsv(out: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(out), delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.mark.parametrize("by", ["line", "character"])
def test_all_forms_add_up_to_the_exact_loss(run: Path, text: str, call, by: str):
    whole = json.loads(call("eval", run, "t.txt", "--json").out)
    total = whole["bits_per_char"] * (len(text) - 1)
    parsed = json.loads(call("eval", run, "t.txt", "--by", by, "--json").out)
    rows = parsed.pop("rows")
    assert parsed.pop("by") == by
    assert parsed == whole
    assert math.fsum(row["bits"] for row in rows) == pytest.approx(total, rel=1e-12)
    table = tsv(call("eval", run, "t.txt", "--by", by, "--tsv").out)
    assert [float(row["bits"]) for row in table] == [row["bits"] for row in rows]
    words = call("eval", run, "t.txt", "--by", by)
    assert len(words.out.splitlines()) == 1 + len(rows)
    assert f"{whole['bits_per_char']:.6f} bits per char" in words.err


def test_every_character(run: Path, text: str, call):
    rows = json.loads(call("eval", run, "t.txt", "--by", "character", "--json").out)["rows"]
    assert "".join(row["text"] for row in rows) == text[1:]
    assert [row["character"] for row in rows] == list(range(2, len(text) + 1))
    np.testing.assert_allclose([row["bits"] for row in rows], bits_of(run, text), rtol=1e-12)


@pytest.fixture(scope="module")
def of_lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows line feeds, tabs, backslashes and stranger characters."""
    folder = tmp_path_factory.mktemp("lines")
    (folder / "t").write_text((LINES + "\n\t\\\x1b\u202eé\u2028\x85") * 20, newline="")
    (folder / "c.yaml").write_text(
        "data:\n  files: t\nmodel:\n  hidden_size: 4\n"
        "training:\n  steps: 2\n  batch_size: 2\n  sequence_length: 5\n"
    )
    assert main(["train", str(folder / "c.yaml"), "--out", str(folder / "run"), "-q"]) == 0
    return folder / "run"


def test_every_line(of_lines: Path, folder: Path, call):
    (folder / "l.txt").write_text(LINES)
    rows = json.loads(call("eval", of_lines, "l.txt", "--by", "line", "--json").out)["rows"]
    assert [row["text"] for row in rows] == ["the harbour\n", "was\n", "\n", "quiet"]
    assert [row["line"] for row in rows] == [1, 2, 3, 4]
    assert [row["characters"] for row in rows] == [11, 4, 1, 5]
    bits = bits_of(of_lines, LINES)
    parts = np.split(bits, [11, 15, 16])
    np.testing.assert_allclose([row["bits"] for row in rows], [p.sum() for p in parts], rtol=1e-12)
    means = [row["bits_per_char"] for row in rows]
    np.testing.assert_allclose(means, [p.mean() for p in parts], rtol=1e-12)


def test_rows_are_lines_whatever_they_hold(of_lines: Path, folder: Path, call):
    text = "a\tb\\\x1b\u202eé\u2028\x85\nq"
    (folder / "l.txt").write_text(text, newline="")
    for form in ([], ["--tsv"]):
        out = call("eval", of_lines, "l.txt", "--by", "line", *form).out
        assert len(out.split("\n")) == 4
        assert out.split("\n")[1].endswith("a\\tb\\\\\\x1b\\u202eé\\u2028\\x85\\n")
        out = call("eval", of_lines, "l.txt", "--by", "character", *form).out
        assert [line[-2:] for line in out.splitlines()[1:3]] == ["\\t", "\tb" if form else " b"]
        assert all(c.isprintable() or c in "\t\n" for c in out)


def test_a_line_of_which_nothing_was_predicted(of_lines: Path, folder: Path, call):
    (folder / "l.txt").write_text("\nwas")
    rows = json.loads(call("eval", of_lines, "l.txt", "--by", "line", "--json").out)["rows"]
    assert rows[0] == {"line": 1, "characters": 0, "bits": 0.0, "bits_per_char": None, "text": "\n"}
    assert (
        tsv(call("eval", of_lines, "l.txt", "--by", "line", "--tsv").out)[0]["bits_per_char"] == ""
    )
    assert call("eval", of_lines, "l.txt", "--by", "line").code == 0


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--by", "line", "--tsv"]])
def test_stdin_is_read_like_a_file(run: Path, text: str, call, stdin, arguments: list[str]):
    of_file = call("eval", run, "t.txt", *arguments)
    stdin(text.encode())
    of_stdin = call("eval", run, "-", *arguments)
    assert of_stdin.out == of_file.out.replace('"text": "t.txt"', '"text": "-"')
    assert of_stdin.code == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "standard input: has 0 characters"),
        (b"q", "standard input: has 1 characters"),
        (b"quiet \xff", "standard input: invalid UTF-8 at byte 6"),
        (
            b"quiet Z",
            "not in the vocabulary: 'Z' (U+005A); take them out, or train on such a text,"
            " with init_from=runs/c/best.safetensors data.new_characters=grow",
        ),
    ],
)
def test_what_comes_through_stdin_may_be_wrong(run: Path, refuse, stdin, content, reason: str):
    stdin(content)
    assert reason in refuse(3, "eval", run, "-")


@pytest.mark.parametrize("arguments", [["--tsv"], ["--tsv", "--by", "line", "--json"]])
def test_tsv_goes_with_by_alone(run: Path, refuse, arguments: list[str]):
    assert "--tsv" in refuse(2, "eval", run, "text.txt", *arguments)


def test_bytes_that_are_no_text(folder: Path, call):
    (folder / "b.bin").write_bytes(b"caf\xc3\xa9 \xff\n" * 60)
    (folder / "b.yaml").write_text(
        "data:\n  files: b.bin\n  unit: bytes\nmodel:\n  hidden_size: 4\n"
        "training:\n  steps: 2\n  batch_size: 2\n  sequence_length: 5\n"
    )
    assert call("train", "b.yaml", "-q").code == 0
    (folder / "one.bin").write_bytes(b"caf\xc3\xa9 \xff\n")
    out = call("eval", "runs/b", "one.bin", "--by", "line", "--tsv").out
    assert tsv(out)[0]["text"] == r"café \xff\n"
    told = call("eval", "runs/b", "one.bin").out
    assert re.match(r"bytes +8\nloss +\d\.\d+ nats per byte\nbits per byte  \d", told)
    rows = json.loads(call("eval", "runs/b", "one.bin", "--by", "character", "--json").out)
    texts = [row["text"] for row in rows["rows"]]
    assert texts == ["a", "f", r"\xc3", r"\xa9", " ", r"\xff", "\n"]
    assert encode_corpus(["one.bin"], load_model(Path("runs/b")).vocabulary).characters == 8


def test_a_part_of_the_text_trained_on(call, folder: Path, run: Path) -> None:
    loaded = load_model(run)
    corpus = encode_corpus(loaded.config.data.files, loaded.vocabulary)
    cut = int(len(corpus.ids) * 0.9)
    for part, ids in (("train", corpus.ids[:cut]), ("validation", corpus.ids[cut:])):
        nats = np.concatenate(list(exact_losses(loaded.model, ids)))
        figures = json.loads(call("eval", run, "--part", part, "--json").out)
        assert figures["characters"] == len(ids)
        assert figures["loss"] == pytest.approx(nats.mean(), rel=1e-12)


def test_a_part_that_cannot_be_had(refuse, folder: Path, run: Path) -> None:
    assert "keeps no test part" in refuse(3, "eval", run, "--part", "test")
    assert "Give TEXT, or --part" in refuse(2, "eval", run)
    assert "- stands alone" in refuse(2, "eval", run, "-", "--part", "train")


def test_a_part_of_a_text_that_has_moved(call, refuse, folder: Path, run: Path) -> None:
    expected = json.loads(call("eval", run, "--part", "validation", "--json").out)
    own = Path(load_model(run).config.data.files[0])
    content = own.read_bytes()
    halves = [folder / "one.txt", folder / "two.txt"]
    halves[0].write_bytes(content[:700])
    halves[1].write_bytes(content[700:])
    own.rename(folder / "away")
    try:
        message = refuse(3, "eval", run, "--part", "validation")
        assert message.endswith(
            "if the text has moved, name it: charlstm eval MODEL TEXT --part ..."
        )
        found = json.loads(call("eval", run, *halves, "--part", "validation", "--json").out)
        assert found["loss"] == expected["loss"]
        assert "not the text" in refuse(3, "eval", run, halves[0], "--part", "validation")
    finally:
        (folder / "away").rename(own)


def test_several_texts_are_one(call, folder: Path, run: Path) -> None:
    text = (folder / "text.txt").read_text()
    (folder / "a.txt").write_text(text[:300])
    (folder / "b.txt").write_text(text[300:500])
    (folder / "ab.txt").write_text(text[:500])
    both = json.loads(call("eval", run, "a.txt", "b.txt", "--json").out)
    assert both["text"] == "a.txt, b.txt"
    assert both["loss"] == json.loads(call("eval", run, "ab.txt", "--json").out)["loss"]


def test_the_parts_of_a_changed_text_are_not_those_trained_on(
    refuse, folder: Path, run: Path
) -> None:
    text = Path(load_model(run).config.data.files[0])
    before = text.read_bytes()
    try:
        text.write_bytes(before[:-1])
        assert "not the text that this model was trained on; if that has moved" in refuse(
            3, "eval", run, "--part", "validation"
        )
    finally:
        text.write_bytes(before)


@pytest.fixture
def from_elsewhere(folder: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose text lies neither here nor beside it."""
    text = tmp_path_factory.mktemp("elsewhere") / "text.txt"
    shutil.copy(folder / "text.txt", text)
    checkpoint = folder / "stranger.safetensors"
    shutil.copy(run / "best.safetensors", checkpoint)
    name_texts(checkpoint, str(text))
    return checkpoint


def test_a_text_elsewhere_is_read_only_if_asked_for(
    from_elsewhere: Path, folder: Path, call, refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = load_model(from_elsewhere).config.data.files[0]
    words = ("eval", from_elsewhere, "--part", "train")
    line = refuse(3, *words)
    assert f"the checkpoint names {text} as its text, neither here nor beside" in line
    assert "name it yourself" in line
    expected = call("eval", from_elsewhere, text, "--part", "train", "--json").out
    (folder / "link.txt").symlink_to(text)
    name_texts(from_elsewhere, str(folder / "link.txt"))
    assert "neither here" in refuse(3, *words)
    monkeypatch.chdir(Path(text).parent)
    name_texts(from_elsewhere, text)
    assert call(*words, "--json").out == expected


@pytest.mark.parametrize("pattern", ["/usr/**/*", "{here}/*/../../../../usr/**/*"])
def test_a_glob_that_leads_elsewhere_is_not_followed(
    from_elsewhere: Path, folder: Path, refuse, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    pattern = pattern.format(here=folder)
    name_texts(from_elsewhere, pattern)
    monkeypatch.setattr(glob, "glob", lambda *arguments, **others: pytest.fail("followed"))
    assert f"names {pattern} as its text" in refuse(3, "eval", from_elsewhere, "--part", "train")


def test_a_loop_of_links_is_a_line(run: Path, folder: Path, refuse) -> None:
    (folder / "text.txt").unlink()
    (folder / "text.txt").symlink_to("text.txt")
    for command in (["eval", run, "--part", "train"], ["originality", run]):
        assert "Too many levels of symbolic links" in refuse(3, *command)


@pytest.mark.parametrize("answer", ["", "n\n", "\n"])
def test_who_does_not_answer_has_not_agreed(
    from_elsewhere: Path, call, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    result = call("eval", from_elsewhere, "--part", "train")
    assert (result.code, result.out) == (3, "")
    assert re.search(
        r"Read it\? \[y/N\]: \s*Error: the checkpoint names .*; nothing was read\n\Z", result.err
    )


def test_of_a_text_longer_than_it_was_no_more_is_read(
    from_elsewhere: Path, refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(load_model(from_elsewhere).config.data.files[0])
    monkeypatch.setattr(code_points, "BLOCK_BYTES", 1 << 16)
    with text.open("a") as file:
        file.truncate(1 << 33)  # of zeros, which take no room
    monkeypatch.chdir(text.parent)
    line = refuse(3, "eval", from_elsewhere, "--part", "train")
    assert "no longer the text that it was" in line


def test_in_lanes(run: Path, call, refuse):
    exact = json.loads(call("eval", run, "text.txt", "--json").out)
    found = json.loads(call("eval", run, "text.txt", "--json", "--lanes", 8).out)
    assert found.pop("lanes") == 8
    assert found.pop("loss") == pytest.approx(exact.pop("loss"), abs=1e-3)
    assert found["characters"] == exact["characters"]
    told = "--lanes gives the loss of the whole text alone, without --by."
    assert told in refuse(2, "eval", run, "text.txt", "--lanes", 8, "--by", "line")
    assert told in refuse(2, "eval", run, "text.txt", "--lanes", 8, "--adapt")
