"""The module that is written beside a state_dict: its source, without PyTorch."""

import ast
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from layers import SKIPS, kind_of
from writers import CELLS, a_model

from charlstm.errors import ConfigError
from charlstm.nn.cells import State
from charlstm.saved.interchange.torch_module import CELLS as WRITTEN
from charlstm.saved.interchange.torch_module import module_source, write_module

HOSTILE = "a\u202eb\"\"\"'''\\${cell}$$\u2028\x00\n\ud7ff\U0010ffff"


def assigned(source: str, name: str) -> object:
    (value,) = [
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    ]
    return ast.literal_eval(value)


@pytest.mark.parametrize(("cell", "embedding_size"), CELLS)
def test_it_is_python_with_the_sizes_of_the_model(cell: str, embedding_size: int):
    source = module_source(a_model(cell, embedding_size))
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    V = a_model().vocabulary.size
    body = ast.unparse(classes["Model"])
    assert f"LSTM({embedding_size or V}, 11, 2)" in body
    assert f"Linear({22 if cell.endswith(SKIPS) else 11}, {V})" in body
    assert (f"Embedding({V}, 5)" in body) == bool(embedding_size)
    assert ("Layer" in classes) == (cell != "lstm")
    assert "$" not in source


def _cat(arrays: list[np.ndarray], dim: int) -> np.ndarray:
    return np.concatenate(arrays, axis=dim)


def torch_of_numpy() -> dict[str, ModuleType]:
    """As much of PyTorch as a written layer's step needs, with NumPy's arrays."""
    torch, nn, functional = (ModuleType(f"torch{end}") for end in ("", ".nn", ".nn.functional"))
    torch.sigmoid, torch.tanh, torch.minimum = lambda a: 1 / (1 + np.exp(-a)), np.tanh, np.minimum
    torch.einsum, torch.stack, torch.cat = np.einsum, np.stack, _cat
    torch.empty, torch.nn, nn.functional = lambda *sizes: np.empty(sizes), nn, functional
    nn.Module, nn.ModuleList, nn.Parameter = object, list, lambda array: array

    def layer_norm(a: np.ndarray, shape: tuple[int], eps: float) -> np.ndarray:
        mean, variance = (f(a, axis=-1, keepdims=True) for f in (np.mean, np.var))
        return (a - mean) / np.sqrt(variance + eps)

    functional.layer_norm = layer_norm
    return {module.__name__: module for module in (torch, nn, functional)}


@pytest.mark.parametrize(
    "cell", [cell for cell, _ in CELLS if cell != "lstm" and not cell.endswith(SKIPS)]
)
def test_a_written_step_is_that_of_the_layer(
    cell: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
):
    for name, module in torch_of_numpy().items():
        monkeypatch.setitem(sys.modules, name, module)
    written: dict[str, Any] = {}
    loaded = a_model(cell)
    exec(module_source(loaded), written)
    ours = loaded.model.layers[1]
    theirs = written["Layer"](11, 11)
    for name, parameter in ours.parameters().items():
        assert getattr(theirs, name).shape == parameter.value.shape
        setattr(theirs, name, parameter.value)
    x, h, c = rng.standard_normal((3, 4, 11)).astype(np.float32)
    _, end = ours.forward(x[np.newaxis], State(h, c), ours.tape(1, 4))
    found = theirs.step(x @ ours.W_x.value + h @ ours.W_h.value, c)
    np.testing.assert_allclose(found, end, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cell", [cell for cell, _ in CELLS if cell.endswith(SKIPS)])
def test_written_layers_with_skips_are_those_of_the_model(
    cell: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
):
    for name, module in torch_of_numpy().items():
        monkeypatch.setitem(sys.modules, name, module)
    written: dict[str, Any] = {}
    model = a_model(cell, 5, layers=3).model
    exec(module_source(a_model(cell, 5, layers=3)), written)
    theirs = written["LSTM"](5, 11, 3)
    for ours, layer in zip(model.layers, theirs, strict=True):
        for name, parameter in ours.parameters().items():
            assert getattr(layer, name).shape == parameter.value.shape
            setattr(layer, name, parameter.value)
    ids, (h, c) = rng.integers(20, size=(4, 2)), rng.standard_normal((2, 3, 2, 11))
    states = [State(*pair) for pair in zip(h.astype(np.float32), c.astype(np.float32), strict=True)]
    tape = model.tape(4, 2)
    _, ends = model.forward(ids, states, tape)
    top, state = theirs.forward(model.embedding.E.value[ids], (h, c))
    np.testing.assert_allclose(top.reshape(8, 33), tape.top, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.stack(state, axis=1), ends, rtol=0, atol=1e-6)


def test_every_cell_has_a_module():
    assert WRITTEN.keys() == {kind_of(cell)["cell"] for cell, _ in CELLS}


def test_a_hostile_vocabulary_is_a_literal():
    source = module_source(a_model(text=HOSTILE))
    assert source.isascii()
    assert assigned(source, "CHARACTERS") == "".join(sorted(set(HOSTILE)))


def test_bytes_and_reserved_symbols_are_told():
    loaded = a_model(text="añ", unit="bytes")
    assert assigned(module_source(loaded), "CHARACTERS") == "a\xb1\xc3"
    hostile = loaded.vocabulary.with_specials(("end", 'label:"""\nimport os'))
    source = module_source(replace(loaded, vocabulary=hostile))
    assert "After them come the ids of 'end', " in source
    assert all("os" not in names_in(node) for node in ast.parse(source).body)


def names_in(node: ast.stmt) -> set[str]:
    is_import = isinstance(node, ast.Import | ast.ImportFrom)
    return {alias.name for alias in node.names} if is_import else set()


def test_it_replaces_itself_and_nothing_else(tmp_path: Path):
    write_module(a_model("lstm"), tmp_path / "my.pt")
    write_module(a_model("simple"), tmp_path / "my.pt")
    assert "class Layer" in (tmp_path / "my.py").read_text()
    (tmp_path / "my.py").write_text("import this\n")
    with pytest.raises(ConfigError, match=r"my\.py is a file that charlstm did not write"):
        write_module(a_model(), tmp_path / "my.pt")
    assert (tmp_path / "my.py").read_text() == "import this\n"
    with pytest.raises(ConfigError, match="take another end"):
        write_module(a_model(), tmp_path / "my.py")
