import json
import sys

import numpy as np
import pytest

from charlstm.errors import ConfigError, UserError
from charlstm.look.gradients.trace import FallOff, trace
from charlstm.look.gradients.trace_rows import Row, as_dict, choose, lines, plot, rows_of
from charlstm.nn.model import CharLM, Shape

V, H, E, T = 6, 5, 4, 3
FORWARD = {"x", "a_i", "a_f", "a_o", "a_g", "i", "f", "o", "g", "c", "h"}
FORWARD_OUTPUT = {"logits", "probability", "loss"}
BACKWARD = {"dh_above", "dh_next", "dh", "do", "dc_next", "dc", "dg", "df", "di"}
BACKWARD |= {"da_i", "da_f", "da_o", "da_g", "dx", "dh_prev", "dc_prev"}
BACKWARD_OUTPUT = {"dlogits", "dW_y", "db_y"}


def passes_of(cell: str = "lstm"):
    return trace(CharLM(Shape(V, cell, 2, H, E), seed=4), np.array([1, 5, 0, 2]))


def names(rows: list[Row], phase: str, step: int | None, layer: int | None) -> set[str]:
    return {r.name for r in rows if (r.phase, r.step, r.layer) == (phase, step, layer)}


@pytest.mark.parametrize("cell", ["lstm", "simple", "layer-norm"])
def test_everything_is_there_for_every_step_and_layer(cell: str) -> None:
    rows = rows_of(passes_of(cell))
    for step in range(T):
        for layer in (0, 1):
            assert names(rows, "forward", step, layer) >= FORWARD
            assert names(rows, "backward", step, layer) >= BACKWARD
        assert names(rows, "forward", step, None) >= FORWARD_OUTPUT
        assert names(rows, "backward", step, None) >= BACKWARD_OUTPUT
    assert {"W_ix", "dW_ix", "W_gh", "dW_gh"} <= names(rows, "parameters", None, 1)
    assert names(rows, "parameters", None, None) == {"E", "dE", "W_y", "dW_y", "b_y", "db_y"}


def test_rows_come_in_the_order_of_computation() -> None:
    rows = rows_of(passes_of())
    places = [(r.phase, r.step, r.layer) for r in rows]
    order = [place for n, place in enumerate(places) if place != (places[n - 1] if n else None)]
    forward = [("forward", t, layer) for t in range(T) for layer in (0, 1, None)]
    backward = [("backward", t, layer) for t in (2, 1, 0) for layer in (None, 1, 0)]
    parameters = [("parameters", None, layer) for layer in (None, 0, 1, None)]
    assert order == forward + backward + parameters


def test_choosing() -> None:
    rows = rows_of(passes_of())
    assert {r.layer for r in choose(rows, layers=[1])} == {1}
    chosen = choose(rows, steps="0,2", only="dh,dW_ix")
    assert {(r.step, r.layer, r.name) for r in chosen} == {
        *((step, layer, "dh") for step in (0, 2) for layer in (0, 1)),
        *((None, layer, "dW_ix") for layer in (0, 1)),
    }
    assert {r.step for r in choose(rows, steps="1-2")} == {1, 2, None}
    assert choose(rows) == rows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [2]}, "--layer: there is no 2; they go from 0 to 1"),
        ({"layers": [-1]}, "--layer: there is no -1; they go from 0 to 1"),
        ({"steps": "1-3"}, "--steps: there is no 3; they go from 0 to 2"),
        ({"steps": "one"}, "--steps: found 'one'; write numbers like 0-3,7"),
        ({"steps": "1-"}, "--steps: found '1-'; write numbers like 0-3,7"),
        ({"steps": ""}, "--steps: found ''; write numbers like 0-3,7"),
        ({"steps": "0-99999999999"}, "write numbers like 0-3,7"),
        ({"only": "dh,dlogit"}, "nothing here is called 'dlogit'; did you mean 'dlogits'?"),
        ({"only": "?"}, "nothing here is called '?'; there are E, W_fh,"),
    ],
)
def test_choosing_what_is_not_there(options, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose(rows_of(passes_of()), **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_in_numbers() -> None:
    row = Row("backward", 3, 1, "dh", np.array([3.0, -4.0]))
    assert row.summary() == {
        **{"phase": "backward", "step": 3, "layer": 1, "name": "dh"},
        **{"shape": [2], "norm": 5.0, "min": -4.0, "max": 3.0},
    }


def test_lines() -> None:
    passes = passes_of()
    rows = choose(rows_of(passes), steps="1", only="c,probability,dc_prev,b_y")
    text = list(lines(rows, passes, "abcdef".__getitem__))
    c, dc = passes.forward[1][0].c, passes.backward[1][1].dc_prev
    output = passes.output[1]
    title = f"step 1: f -> a, probability {output.probability:.6f}, loss {output.loss:.6f} nats"
    assert text[:3] == ["Forward, step by step", title, "  layer 0"]
    assert text[3].split() == [
        *("c", "5", "norm", f"{np.linalg.norm(c):.5g}"),
        *("min", f"{c.min():.5g}", "max", f"{c.max():.5g}"),
    ]
    assert text[7].split() == ["probability", "number", f"{output.probability:.6g}"]
    assert text[8:12] == ["", "Backward, from the last step to the first", title, "  layer 1"]
    assert f"{np.linalg.norm(dc):.5g}" in text[12]
    assert text[-3:-1] == ["Parameters, and their gradients summed over the steps", "  output"]


def test_full_lines_hold_every_number() -> None:
    passes = passes_of()
    rows = choose(rows_of(passes), only="dW_y", steps="0")
    text = "\n".join(lines(rows, passes, str, full=True))
    assert "..." not in text
    *_, step, total = (part.split("]]")[0] for part in text.replace("[[", "]]").split("]]")[1::2])
    shown = [
        [float(n) for n in part.replace("[", " ").replace("]", " ").split()]
        for part in (step, total)
    ]
    expected = (passes.output_backward[0].dW_y, passes.gradients["linear.W_y"])
    for numbers, array in zip(shown, expected, strict=True):
        np.testing.assert_allclose(numbers, array.ravel(), rtol=1e-6, atol=1e-8)


def test_json() -> None:
    passes = passes_of()
    rows = choose(rows_of(passes), only="dc", steps="2", layers=[1])
    report = json.loads(json.dumps(as_dict(rows, passes, "text", full=True)))
    assert report["text"] == "text"
    assert report["loss"] == passes.loss
    assert report["rows"] == [rows[0].summary() | {"values": passes.backward[2][1].dc.tolist()}]
    assert report["fall_off"]["dc"] == FallOff.of(passes).dc.tolist()
    brief = as_dict(rows, passes, "text")
    assert "values" not in brief["rows"][0]


def test_plot(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "vanishing.png"
    plot(FallOff.of(passes_of()), file)
    assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert file.stat().st_size > 10_000


def test_plot_without_matplotlib(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"pip install 'charlstm\[plot\]'"):
        plot(FallOff.of(passes_of()), tmp_path / "vanishing.png")
    assert list(tmp_path.iterdir()) == []
