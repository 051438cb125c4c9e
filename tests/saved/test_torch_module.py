"""The module that is written beside a state_dict: its source, without PyTorch."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from layers import kind_of
from writers import CELLS, a_model

from charlstm.errors import ConfigError
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
    assert f"Linear(11, {V})" in body
    assert (f"Embedding({V}, 5)" in body) == bool(embedding_size)
    assert ("Layer" in classes) == (cell != "lstm")
    assert "$" not in source


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
