"""What the page carries, decoded and held against the model."""

import re
from dataclasses import replace

import numpy as np
import pytest
from looks import TEXT, a_look, array_of, facts_of, html_of

from charlstm.look.cells import page as page_module
from charlstm.look.cells.activations import activations, read
from charlstm.look.cells.features import measured
from charlstm.look.cells.page import saliency_codes
from charlstm.look.score import exact_losses
from charlstm.pages.packing import element, levels
from charlstm.text.vocabulary import Vocabulary

CELLS = [
    *(("lstm", 0), ("lstm", 3), ("simple", 0), ("layer-norm", 3), ("simple capped", 0)),
    *(("lstm skips", 3), ("layer-norm skips", 3)),
]


def test_surprise_is_that_of_eval() -> None:
    look = report, model, _ = a_look()
    surprise = array_of(html_of(look), "surprise")
    nats = np.concatenate(list(exact_losses(model, report.text.ids)))
    np.testing.assert_allclose(surprise[1:], nats / np.log(2), rtol=2e-5)
    assert np.isnan(surprise[0])
    bits = facts_of(html_of(look))["bitsPerChar"]
    assert bits == pytest.approx(nats.mean() / np.log(2), rel=1e-5)


def test_the_five_likeliest() -> None:
    look = report, model, _ = a_look()
    html = html_of(look)
    (piece,) = read(model, report.text.ids)
    best = np.argsort(-piece.probabilities, axis=1)[:, :5]
    np.testing.assert_array_equal(array_of(html, "likeliest").reshape(-1, 5), best)
    shares = array_of(html, "probabilities").reshape(-1, 5) / 65535
    expected = np.take_along_axis(piece.probabilities, best, axis=1)
    np.testing.assert_allclose(shares, expected, atol=1e-5)


@pytest.mark.parametrize(("cell", "embedding_size"), CELLS)
def test_outputs_and_cells(cell: str, embedding_size: int) -> None:
    look = report, model, _ = a_look(cell, embedding_size)
    html = html_of(look)
    scales = facts_of(html)["scales"]
    (piece,) = read(model, report.text.ids)
    for number, tape in enumerate(piece.tapes):
        codes = array_of(html, f"h-{number}").reshape(6, -1).astype(float)
        h = (codes - scales["half"]) * np.array(scales["h"][number])[:, np.newaxis]
        expected = activations(tape, "h").T
        error = np.abs(h - expected).max(axis=1)
        assert np.all(error <= 0.501 * np.abs(expected).max(axis=1) / 127)
        anchors = array_of(html, f"anchors-{number}").reshape(6, -1) * scales["anchors"][number]
        np.testing.assert_allclose(anchors, tape.c[64::64, 0].T, atol=2e-5 * np.abs(tape.c).max())


@pytest.mark.parametrize(("cell", "embedding_size"), CELLS)
def test_gates_follow_from_what_the_page_carries(cell: str, embedding_size: int) -> None:
    """The sums that network.js makes, made here: h, weights and affine give the gates."""
    look = report, model, _ = a_look(cell, embedding_size)
    html = html_of(look)
    facts = facts_of(html)
    T, H, V = len(report.text.ids), 6, model.shape.vocabulary_size
    h = [
        (array_of(html, f"h-{n}").reshape(H, T).T.astype(float) - facts["scales"]["half"])
        * np.array(facts["scales"]["h"][n])
        for n in range(2)
    ]
    characters = np.eye(V)[report.text.ids]
    below = [characters, np.concatenate((h[0], characters), axis=1) if facts["skips"] else h[0]]
    (piece,) = read(model, report.text.ids)
    for n, tape in enumerate(piece.tapes):
        weights = array_of(html, f"weights-{n}").reshape(H, 4, -1)
        weights = weights * array_of(html, f"weight-scales-{n}").reshape(H, 4, 1)
        affine = array_of(html, f"affine-{n}").reshape(10, H)
        before = np.concatenate((np.zeros((1, H)), h[n][:-1]))
        a = np.einsum("td,ukd->ktu", np.concatenate((below[n], before), axis=1), weights)
        if "layer-norm" in cell:
            a *= array_of(html, f"norms-{n}").reshape(6, T)[:4, :, np.newaxis]
        a = a * affine[:4, np.newaxis] + affine[4:8, np.newaxis]
        gates = dict(zip(facts["gates"], a, strict=True))
        found = {k: np.tanh(a) if k == "g" else 1 / (1 + np.exp(-a)) for k, a in gates.items()}
        if facts["inputGate"] == "capped":
            found["i"] = np.minimum(found["i"], 1 - found["f"])
        for gate, values in found.items():
            np.testing.assert_allclose(values, activations(tape, gate), atol=0.06)


def test_the_norm_of_a_cell_knows_nothing_of_the_item_before() -> None:
    begins = [0, 1, *range(7, 220, 19)]
    report, model, _ = a_look("layer-norm", 3, begins=begins)
    (piece,) = read(model, report.text.ids, items=report.text.items)
    for layer, tape, norms in zip(model.layers, piece.tapes, report.norms, strict=True):
        _, i, f, g = tape.gates[:, :, 0]
        kept = f * tape.c[:-1, 0]
        kept[begins] = 0.0
        n = (kept + i * g - norms[4][:, np.newaxis]) * norms[5][:, np.newaxis]
        c = layer.gain_c.value * n + layer.shift_c.value
        np.testing.assert_allclose(c, tape.c[1:, 0], atol=1e-5)


def test_saliency_within_a_thirtysecond_of_a_doubling() -> None:
    look = report, _, _ = a_look()
    html = html_of(look)
    codes = array_of(html, "saliency").reshape(-1, 9).astype(float)
    largest = array_of(html, "largest")
    norms = report.saliency.norms
    np.testing.assert_array_equal(codes == 0, norms == 0)
    np.testing.assert_array_equal(largest, norms.max(axis=1))
    found = largest[:, np.newaxis] * 2 ** ((codes - 255) / 16)
    visible = codes > 1
    np.testing.assert_allclose(found[visible], norms[visible], rtol=0.023)


def test_saliency_of_nothing_is_nothing() -> None:
    norms = np.array([[0.0, 0.0], [1.0, 1e-9]], np.float32)
    assert saliency_codes(norms, norms.max(axis=1)).tolist() == [[0, 0], [255, 1]]


def test_facts() -> None:
    look = report, _, vocabulary = a_look()
    facts = facts_of(html_of(look))
    shown = TEXT.replace("\x1b", "␛")
    assert "".join(facts["text"]["characters"]) == shown
    assert len(facts["vocabulary"]) == vocabulary.size
    assert facts["cells"] == [cell.as_dict() for cell in report.table.cells]
    np.testing.assert_allclose(facts["saturation"], report.saturation, atol=5e-4)
    assert (facts["layers"], facts["units"], facts["reach"]) == (2, 6, 9)


def test_correlations_are_numpys() -> None:
    report, model, _ = a_look()
    (piece,) = read(model, report.text.ids)
    features = measured(report.text.characters)
    for cell in report.table.cells:
        if cell.feature == "inside quotation marks":
            values = activations(piece.tapes[cell.layer], "c")[:, cell.unit]
            expected = np.corrcoef(features[:, 0], values)[0, 1]
            assert cell.correlation == pytest.approx(expected, abs=1e-4)


def test_no_text_can_end_the_script() -> None:
    html = html_of(a_look())
    assert html.count("</script>") == html.count("<script")
    facts = re.search(r'id="facts">(.*?)</script>', html, re.S)
    assert facts
    assert not re.search(r"[<>&\x00-\x1f\x7f-\uffff]", facts[1])


def test_nothing_is_asked_of_the_network() -> None:
    html = html_of(a_look())
    assert "default-src 'none'" in html
    outside = re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)|@import|https?://[^"\s]+', html)
    assert {found for pair in outside for found in pair if found} <= {"data:,"}


def test_no_placeholder_is_left() -> None:
    assert "<!--" not in html_of(a_look()).split("<body>")[0]
    assert re.findall(r"<!-- \w+ -->", html_of(a_look())) == []


def test_h_gets_coarser_where_room_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    look = a_look(H=40)
    assert facts_of(html_of(look))["scales"]["bits"] == 8
    monkeypatch.setattr(page_module, "LARGEST", 0)
    html = html_of(look)
    assert facts_of(html)["scales"]["bits"] == 5
    assert array_of(html, "h-0").max() <= 30


@pytest.mark.parametrize("bits", [8, 5])
def test_levels(bits: int, rng: np.random.Generator) -> None:
    rows = np.array([rng.uniform(-3, 2, 200), rng.uniform(-0.1, 0.1, 200), np.zeros(200)])
    codes, scale = levels(rows, bits)
    half = 2 ** (bits - 1) - 1
    assert codes.max() <= 2 * half
    assert (codes[2] == half).all()
    error = np.abs((codes - float(half)) * scale[:, np.newaxis] - rows).max(axis=1)
    assert np.all(error[:2] <= 0.501 * np.abs(rows[:2]).max(axis=1) / half)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_elements_come_back(dtype: str, rng: np.random.Generator) -> None:
    array = rng.integers(-300 if dtype in ("int16", "float32") else 0, 255, (7, 5)).astype(dtype)
    np.testing.assert_array_equal(array_of(element("a", array), "a"), array.ravel())


def test_more_characters_than_sixteen_bits_can_number() -> None:
    report, model, _ = a_look()
    far = 66_000
    text = replace(report.text, ids=report.text.ids.astype(np.uint32) + far)
    moved = replace(report, text=text, likeliest=report.likeliest + far)
    vocabulary = Vocabulary.of_characters(range(0xE000, 0xE000 + far + 100))
    html = html_of((moved, model, vocabulary))
    np.testing.assert_array_equal(array_of(html, "ids"), text.ids)
    np.testing.assert_array_equal(array_of(html, "likeliest"), moved.likeliest.reshape(-1))
    assert len(facts_of(html)["vocabulary"]) == far + 100
    assert array_of(html_of(a_look()), "ids").dtype == np.uint16
