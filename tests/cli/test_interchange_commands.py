"""charlstm export and charlstm import, as commands."""

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from charlstm.saved.checkpoint import load_model


def test_there_and_back(run: Path, folder: Path, call):
    result = call("export", run, "-o", "m.safetensors")
    assert (result.code, result.out) == (0, "m.safetensors\n")
    assert "as safetensors" in result.err
    result = call("import", "m.safetensors", "-o", "m.ckpt")
    assert (result.code, result.out) == (0, "m.ckpt\n")
    assert result.err == "lstm 1 x 8, embedding 0, 14 characters, float32\n"
    before = call("eval", run, "text.txt")
    assert call("eval", "m.ckpt", "text.txt") == before
    sampled = [call("sample", path, "--seed", "3", "-q").out for path in (run, "m.ckpt")]
    assert sampled[0] == sampled[1]


def test_the_format_may_be_named(run: Path, folder: Path, call):
    assert call("export", run, "--format", "safetensors", "-o", "weights").code == 0
    assert "linear.weight" in load_file(folder / "weights")


@pytest.mark.parametrize("way", ["list", "text", "sorted text"])
def test_a_vocabulary_is_given(run: Path, folder: Path, call, way: str):
    """As a JSON list, a JSON text, or by a text whose sorted characters it is."""
    call("export", run, "-o", "m.safetensors")
    save_file(load_file(folder / "m.safetensors"), folder / "foreign.safetensors")
    known = load_model(run).vocabulary
    characters = [chr(code) for code in known.code_points]
    if way == "sorted text":
        given = ("--vocabulary-from", "text.txt")
    else:
        (folder / "v.json").write_text(
            json.dumps(characters if way == "list" else "".join(characters))
        )
        given = ("--vocabulary", "v.json")
    assert call("import", "foreign.safetensors", *given, "-o", "m.ckpt").code == 0
    assert call("eval", "m.ckpt", "text.txt") == call("eval", run, "text.txt")


def test_a_reversed_list_is_another_order(run: Path, folder: Path, call):
    call("export", run, "-o", "m.safetensors")
    characters = [chr(code) for code in load_model(run).vocabulary.code_points]
    (folder / "v.json").write_text(json.dumps(characters[::-1]))
    assert call("import", "m.safetensors", "--vocabulary", "v.json", "-o", "m.ckpt").code == 0
    assert call("eval", "m.ckpt", "text.txt").out != call("eval", run, "text.txt").out


def test_what_is_refused(run: Path, folder: Path, refuse, call):
    assert "which format?" in refuse(2, "export", run, "-o", "m")
    assert "Missing option '-o'" in refuse(2, "export", run)
    assert "cannot write" in refuse(5, "export", run, "-o", "no/m.npz")
    assert "cannot read" in refuse(3, "export", "nothing", "-o", "m.npz")
    assert "no safetensors file" in refuse(3, "import", "text.txt", "-o", "m.ckpt")
    call("export", run, "-o", "m.safetensors")
    both = ("--bytes", "--vocabulary-from", "text.txt")
    assert "exclude each other" in refuse(2, "import", "m.safetensors", *both, "-o", "m.ckpt")
    message = refuse(3, "import", "m.safetensors", "--bytes", "-o", "m.ckpt")
    assert "the model knows 14 characters, the vocabulary has 256" in message
    for content in ("{", "7", '["a", "bc"]', "\ufeff[]"):
        (folder / "v.json").write_text(content)
        assert "v.json: " in refuse(
            3, "import", "m.safetensors", "--vocabulary", "v.json", "-o", "m.ckpt"
        )
    assert not (folder / "m.ckpt").exists()


def test_both_can_train_on(run: Path, folder: Path, call):
    call("export", run, "-o", "m.safetensors")
    call("import", "m.safetensors", "-o", "m.ckpt")
    assert call("train", "c.yaml", "init_from=m.ckpt", "-q", "--out", "tuned").code == 0
    assert load_model(Path("tuned")).progress.step == 20
