"""docs/reliability.md names the test that holds each promise; those tests must exist."""

import ast
import re
from pathlib import Path

import pytest
from places import ROOT

TEXT = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


def functions_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("file", "name"), NAMED, ids="::".join)
def test_it_exists(file: str, name: str):
    assert name.startswith("test_")
    assert name in functions_in(ROOT / file)


def test_every_promise_names_its_tests():
    promises = TEXT.split("## What is not promised")[0].count("\n\n**")
    held = len(re.findall(r"\n: `tests/", TEXT))
    assert promises == held >= 20
    assert TEXT.count("::test_") == len(re.findall(r"`tests/[\w/]+\.py::test_\w+`", TEXT))
