"""What a page that writes holds, decoded and held against the model."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from looks import array_of, facts_of
from writers import CELLS, PROSE, a_model, logits_of, trained_model

from charlstm.api import Model
from charlstm.errors import ConfigError
from charlstm.look.rounding import losses_on_page
from charlstm.saved.interchange.exporting import export
from charlstm.saved.writer.page import page
from charlstm.saved.writer.weights import CODINGS, rounded
from charlstm.text.vocabulary import Vocabulary

HOSTILE = "a\u202eb</script>\u2028<!--\x00\x1b\ud7ff\U0010ffff\u200f&'\""


def part_of_largest(loaded, weights: str) -> float:
    """How far rounding moves the logits on real text, as a part of the largest."""
    ids = loaded.vocabulary.encode(PROSE[:400])
    ours, theirs = logits_of(loaded, ids).copy(), logits_of(rounded(loaded, weights), ids)
    return float(np.abs(ours - theirs).max() / np.abs(ours).max())


@pytest.mark.parametrize(("cell", "embedding_size"), CELLS)
def test_rounding_moves_logits_little(cell: str, embedding_size: int):
    loaded = trained_model(cell, embedding_size)
    halves, bytes_each = part_of_largest(loaded, "float16"), part_of_largest(loaded, "int8")
    assert 1e-6 < halves < 1e-3
    assert 2 * halves < bytes_each < 0.1


def test_float16_is_numpys():
    loaded = a_model("layer-norm", 5)
    html, parameters = page(loaded), loaded.model.parameters()
    halves = array_of(html, "lstm.1.W_h").view(np.float16).reshape(4, 11, 11)
    expected = parameters["lstm.1.W_h"].value.transpose(0, 2, 1).astype(np.float16)
    np.testing.assert_array_equal(halves, expected)
    halves = array_of(html, "linear.W_y").view(np.float16).reshape(-1, 11)
    np.testing.assert_array_equal(halves, parameters["linear.W_y"].value.T.astype(np.float16))
    np.testing.assert_array_equal(array_of(html, "linear.b_y"), parameters["linear.b_y"].value)
    found = rounded(loaded, "float16").model.parameters()
    for name, parameter in parameters.items():
        is_matrix = name.endswith(("E", "W_x", "W_h", "W_y"))
        expected = parameter.value.astype(np.float16 if is_matrix else np.float32)
        np.testing.assert_array_equal(found[name].value, expected)
    shift = parameters["lstm.0.shift"].value.copy()
    shift[2] += 1.0  # the forget gate's bias
    np.testing.assert_array_equal(array_of(html, "lstm.0.shift"), shift.ravel())


def test_int8_is_within_half_a_level_of_its_row():
    loaded = a_model("lstm", 5)
    html, parameters = page(loaded, "int8"), loaded.model.parameters()
    found = rounded(loaded, "int8").model.parameters()
    for name, axis in {"embedding.E": 1, "lstm.0.W_x": 1, "lstm.1.W_h": 1, "linear.W_y": 0}.items():
        value = parameters[name].value
        level = np.abs(value).max(axis=axis, keepdims=True) / 127
        error = np.abs(found[name].value - value) / level
        assert 0.45 < error.max() < 0.501
        scale = array_of(html, f"{name}-scale")
        np.testing.assert_array_equal(scale, level.ravel())
        codes = array_of(html, name).astype(int)
        assert codes.size == value.size
        assert codes.min() >= 0
        assert codes.max() <= 254
    np.testing.assert_array_equal(found["lstm.1.b"].value, parameters["lstm.1.b"].value)


@pytest.mark.parametrize("weights", CODINGS)
def test_a_page_is_under_one_and_a_half_times_its_weights(weights: str):
    """At 2 x 128, as the weights lie in it: two bytes each, or one."""
    loaded = a_model("lstm", hidden_size=128)
    each = 2 if weights == "float16" else 1
    size = len(page(loaded, weights).encode("utf-8"))
    assert size < 1.5 * each * loaded.model.values.size


def test_the_same_model_gives_the_same_bytes_and_no_folders(tmp_path: Path):
    loaded = a_model(path="/home/somebody/runs/sea/best.safetensors")
    for name in ("a.html", "b.html"):
        assert export(loaded, tmp_path / name) == "html"
    content = (tmp_path / "a.html").read_bytes()
    assert content == (tmp_path / "b.html").read_bytes()
    assert b"somebody" not in content
    assert facts_of(content.decode())["name"] == "sea"
    export(loaded, tmp_path / "c.html", weights="int8")
    assert len((tmp_path / "c.html").read_bytes()) < len(content)


def test_a_hostile_vocabulary_stays_text():
    strange = a_model(text=HOSTILE, path="</script><b>/best.safetensors")
    html = page(strange)
    assert html.count("</script>") == html.count("<script")
    found = re.search(r'id="facts">(.*?)</script>', html, re.S)
    assert found
    assert not re.search(r"[<>&\x00-\x1f\x7f-\uffff]", found[1])
    assert facts_of(html)["codes"] == sorted(map(ord, set(HOSTILE)))
    assert facts_of(html)["name"] == "script><b>"


def test_the_network_is_forbidden_and_only_these_scripts_run():
    html = page(a_model())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', html)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    outside = re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)|@import|https?://[^"\s]+', html)
    assert {found for pair in outside for found in pair if found} <= {"data:,"}
    assert re.findall(r"<!-- \w+ -->", html) == []


def test_numbers_too_large_for_float16(tmp_path: Path):
    loaded = a_model()
    loaded.model.parameters()["lstm.1.W_h"].value[2, 3, 4] = 7e4
    with pytest.raises(ConfigError, match=r"lstm\.1\.W_h has numbers too large for float16; try i"):
        export(loaded, tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()
    export(loaded, tmp_path / "a.html", weights="int8")
    assert array_of((tmp_path / "a.html").read_text(), "lstm.1.W_h-scale").max() > 500


def test_only_a_page_is_rounded(tmp_path: Path):
    with pytest.raises(ConfigError, match="npz holds the weights as they are"):
        export(a_model(), tmp_path / "a.npz", weights="int8")


def test_float64_is_rounded_too():
    loaded = a_model()
    model = type(loaded.model)(replace(loaded.model.shape, dtype="float64"))
    model.values[...] = loaded.model.values
    assert page(replace(loaded, model=model)) == page(loaded)
    assert rounded(replace(loaded, model=model), "int8").model.values.dtype == np.float64


def test_what_a_text_goes_through_is_told():
    facts = facts_of(page(a_model(newlines="normalize", min_count=2, replacement="_")))
    assert (facts["newlines"], facts["replacement"]) == ("normalize", "_")
    newline = Vocabulary.of_characters(map(ord, PROSE)).encode("\n").tolist()
    assert facts["starts"] == [{"label": "", "ids": newline}]
    assert facts["end"] is None


def test_what_rounding_costs_is_told_of_the_beginning(tmp_path: Path, monkeypatch):
    loaded = a_model("layer-norm")
    (tmp_path / "t.txt").write_text(PROSE, encoding="utf-8")
    monkeypatch.setattr("charlstm.look.rounding.ENOUGH", 500)
    found = losses_on_page(loaded, "int8", tmp_path / "t.txt")
    assert found is not None
    assert found.text.endswith("t.txt, first 500 characters")
    for value, model in ((found.exact, loaded), (found.rounded, rounded(loaded, "int8"))):
        assert value == pytest.approx(Model(model).score(PROSE[:500]).bits_per_character)
    assert found.exact != found.rounded


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/sea/best.safetensors", "sea"),
        ("runs/sea/checkpoints/step-00000020.safetensors", "sea"),
        ("somewhere/sea.ckpt", "sea"),
    ],
)
def test_the_name_of_the_run_or_of_the_file(path: str, name: str):
    assert facts_of(page(a_model(path=path)))["name"] == name


def test_a_replacement_that_the_model_lacks_is_none():
    """The page would look for it for ever."""
    loaded = a_model(text="the sea\n")
    data = replace(loaded.config.data, min_count=2)
    without = replace(loaded, config=replace(loaded.config, data=data))
    assert facts_of(page(without))["replacement"] is None
    rare = a_model(text="the sea\ufffd\n")
    assert facts_of(page(replace(rare, config=without.config)))["replacement"] == "\ufffd"
