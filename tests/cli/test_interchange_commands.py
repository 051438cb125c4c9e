"""charlstm export and charlstm import, as commands."""

import json
import re
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


def bits_told(err: str) -> tuple[float, float]:
    found = re.search(r": (\S+) bits per char in \w+, (\S+) before", err)
    assert found
    return float(found[1]), float(found[2])


def test_a_page_and_what_rounding_costs(run: Path, folder: Path, call):
    result = call("export", run, "-o", "m.html", "--text", "text.txt")
    assert (result.code, result.out) == (0, "m.html\n")
    exact = json.loads(call("eval", run, "text.txt", "--json").out)["bits_per_char"]
    half, before = bits_told(result.err)
    assert before == pytest.approx(exact, abs=6e-5)
    assert half == pytest.approx(exact, abs=1e-3)
    result = call("export", run, "-o", "small.html", "--weights", "int8", "--text", "text.txt")
    eight, before = bits_told(result.err)
    assert before == pytest.approx(exact, abs=6e-5)
    assert eight != before
    assert eight == pytest.approx(exact, abs=5e-3)
    assert (folder / "small.html").stat().st_size < (folder / "m.html").stat().st_size


def test_the_validation_part_is_taken_where_it_is_at_hand(run: Path, folder: Path, call):
    far = call("export", run, "-o", "m.html").err
    assert far == "runs/c/best.safetensors: step 20, as html\n"
    assert call("train", "c.yaml", "--out", "runs/near", "-q").code == 0
    told = call("export", "runs/near", "-o", "m.html").err
    assert re.search(r"\nvalidation part of .*text\.txt: ", told)
    exact = json.loads(call("eval", "runs/near", "--part", "validation", "--json").out)
    assert bits_told(told)[1] == pytest.approx(exact["bits_per_char"], abs=6e-5)


def test_a_large_page_is_noted(run: Path, folder: Path, call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("charlstm.cli.export.HEAVY", 10_000)
    assert "telephones may fail" in call("export", run, "-o", "m.html").err


def test_a_text_goes_with_a_page(run: Path, folder: Path, refuse):
    assert "only format that rounds" in refuse(
        2, "export", run, "-o", "m.npz", "--text", "text.txt"
    )
    assert "cannot be read" in refuse(3, "export", run, "-o", "m.html", "--text", "nothing")
    assert not (folder / "m.html").exists()
    assert "only html rounds" in refuse(2, "export", run, "-o", "m.npz", "--weights", "int8")


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
