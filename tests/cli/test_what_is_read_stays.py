"""What a command reads it does not write over; and prompts, labels and bytes as texts are read."""

import bz2
import json
from pathlib import Path

import pytest
from tiny import tiny_config, train


def test_out_is_none_of_what_is_read(run: Path, folder: Path, refuse):
    best, text = run / "best.safetensors", folder / "text.txt"
    kept = best.read_bytes(), text.read_bytes()
    for words in (
        ("adapt", run, "text.txt", "-o", "text.txt"),
        ("adapt", run, "text.txt", "-o", best),
        ("adapt", run, "*.txt", "-o", "text.txt"),
        ("look", run, "text.txt", "-o", "text.txt"),
        ("export", run, "--format", "npz", "-o", best),
        ("export", run, "-o", "a.html", "--text", "a.html"),
    ):
        (folder / "a.html").write_text("the sea\n")
        assert "is what would be read; name another file" in refuse(2, *words)
    assert (best.read_bytes(), text.read_bytes()) == kept


def test_an_export_replaces_no_checkpoint(run: Path, folder: Path, refuse, call):
    other = folder / "other.safetensors"
    other.write_bytes((run / "best.safetensors").read_bytes())
    assert "is a checkpoint of charlstm" in refuse(2, "export", run, "-o", other)
    assert call("export", run, "-o", "new.safetensors").code == 0
    assert call("export", run, "-o", "new.safetensors").code == 0


@pytest.fixture
def listed(folder: Path) -> Path:
    text = "apple\npear\nplum\n" * 12
    train(tiny_config(folder, text, **{"data.items": "lines"}), folder / "runs" / "list")
    return Path("runs/list")


def test_an_item_goes_on_from_one_alone(listed: Path, call, refuse, monkeypatch):
    assert "prompt: holds what ends an item" in refuse(2, "sample", listed, "-p", "apple\npe")
    monkeypatch.setattr("charlstm.text.encoding.read_stdin", lambda unit: "appl\n")
    monkeypatch.setattr("charlstm.writing.start.read_stdin", lambda unit: "appl\n")
    lines = call("sample", listed, "-p", "-", "--count", "3", "-q", "--seed", "1").out
    assert lines == call("sample", listed, "-p", "appl", "--count", "3", "-q", "--seed", "1").out
    assert all(line.startswith("appl") for line in lines.splitlines())


def test_a_prompt_is_read_as_texts_are(folder: Path, call, refuse):
    settings = {"data.normalize": "NFC", "data.newlines": "normalize", "data.min_count": 2}
    train(tiny_config(folder, "café\r\nsea \ufffd\n" * 12, **settings), folder / "runs" / "nfc")
    options = ("-q", "--seed", "3", "--hide-prompt", "-n", "9")
    plain = call("sample", "runs/nfc", "-p", "café\nsea", *options)
    odd = call("sample", "runs/nfc", "-p", "cafe\u0301\r\nsea", *options)
    assert odd == plain
    assert plain.code == 0
    rare = call("sample", "runs/nfc", "-p", "Z", *options)
    assert rare == call("sample", "runs/nfc", "-p", "\ufffd", *options)
    skipped = call("sample", "runs/nfc", "-p", "Zcafe\u0301", "--skip-unknown", *options)
    assert skipped == call("sample", "runs/nfc", "-p", "café", *options)
    following = [call("next", "runs/nfc", text, "--json").out for text in ("cafe\u0301", "café")]
    assert following[0] == following[1]
    traces = [
        json.loads(call("trace", "runs/nfc", text, "--json").out)["loss"]
        for text in ("cafe\u0301\r\ns", "café\ns")
    ]
    assert traces[0] == traces[1]


def test_bytes_that_are_unknown_are_skipped_as_well(folder: Path, call, refuse):
    settings = {"data.unit": "bytes", "data.byte_values": "observed"}
    train(tiny_config(folder, "the sea\n" * 20, **settings), folder / "runs" / "some")
    options = ("-q", "--seed", "3", "-n", "9", "--hide-prompt")
    assert "--skip-unknown leaves them out" in refuse(3, "sample", "runs/some", "-p", "Zsea")
    skipped = call("sample", "runs/some", "-p", "Zsea", "--skip-unknown", *options)
    assert skipped == call("sample", "runs/some", "-p", "sea", *options)
    assert skipped.code == 0


def test_labels_are_all_there_or_none(folder: Path, call, refuse):
    settings = {"data.items": "lines", "data.labels": True, "data.unit": "bytes"}
    train(tiny_config(folder, "ham\tthe sea\nspam\tgold\n" * 12, **settings), folder / "runs" / "l")
    (folder / "labelled.txt").write_text("ham\tsea\nspam\tgold\n")
    (folder / "bad.txt").write_text("none\tsea\n")
    (folder / "plain.txt").write_text("\nsea\ngold\n")
    said = refuse(3, "classify", "runs/l", "labelled.txt", "bad.txt")
    assert "bad.txt: item 1: label 'none' is none of the model's" in said
    found = json.loads(call("classify", "runs/l", "plain.txt", "--json").out)
    assert [row["text"] for row in found["rows"]] == ["sea", "gold"]
    assert "accuracy" not in found


def test_bytes_that_are_no_character(folder: Path, call):
    text = "Съешь же ещё этих мягких булок\n" * 8
    train(tiny_config(folder, text, **{"data.unit": "bytes"}), folder / "runs" / "ru")
    rows = json.loads(call("next", "runs/ru", "Съ", "--json", "--top", "200").out)["characters"]
    shown = {row["text"] for row in rows}
    assert {r"\xd0", r"\xd1"} <= shown
    assert len(shown) == len(rows)
    assert r"'\xd0'" in call("next", "runs/ru", "Съ", "--top", "200").out
    assert r"'\xd0' -> '\xa1'" in call("trace", "runs/ru", "С").out


def test_originality_of_a_packed_text(run: Path, folder: Path, call):
    text = (folder / "text.txt").read_bytes()[:300]
    (folder / "a.txt").write_bytes(text)
    (folder / "b.txt.bz2").write_bytes(bz2.compress(text))
    options = ("--text", "text.txt")
    plain, packed = (call("originality", run, name, *options) for name in ("a.txt", "b.txt.bz2"))
    assert plain == packed
    assert plain.code == 0, plain.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("look", "runs/c", "text.txt", "--json", "--reach", "3"), "--reach is of the page"),
        (("plot", "runs/c", "--json", "--log"), "--log is for a picture"),
    ],
)
def test_options_that_would_do_nothing(run: Path, refuse, words: tuple[str, ...], message: str):
    assert message in refuse(2, *words)


def test_a_picture_of_a_trace_is_a_png(run: Path, folder: Path, call):
    result = call("trace", run, "sea", "--plot", "falls.svg")
    assert (result.code, result.out) == (2, "")
    assert "the name must end in .png" in result.err
    assert not (folder / "falls.svg").exists()


def test_steps_in_their_order(run: Path, call):
    result = call("trace", run, "sea", "--steps", "1-0")
    assert (result.code, result.out) == (2, "")
    assert "the lower number comes first" in result.err
