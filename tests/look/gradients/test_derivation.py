"""docs/derivation.md quotes code: every quoted line must stand in the function it names."""

import ast
import re

from places import ROOT

PAGE = (ROOT / "docs" / "derivation.md").read_text(encoding="utf-8")
HEADING = re.compile(r"### `(?P<file>[\w/]+\.py)`: `(?P<function>[\w.]+)`")
QUOTING_ROW = re.compile(r"\|.*\| `(?P<code>[^`]+)` \|$")


def quotations() -> list[tuple[str, str, str]]:
    """(file, function, code line) of every row below a heading that names a function."""
    found, place = [], None
    for line in PAGE.splitlines():
        if line.startswith("#"):
            heading = HEADING.fullmatch(line)
            place = (heading["file"], heading["function"]) if heading else None
        elif place and line.startswith("|") and (row := QUOTING_ROW.match(line)):
            found.append((*place, row["code"]))
    return found


def lines_of(file: str, function: str) -> set[str]:
    source = (ROOT / file).read_text(encoding="utf-8")
    node: ast.AST = ast.parse(source)
    for name in function.split("."):
        (node,) = (n for n in ast.iter_child_nodes(node) if getattr(n, "name", None) == name)
    return {line.strip() for line in ast.get_source_segment(source, node).splitlines()}


def test_every_quoted_line_is_in_its_function() -> None:
    quoted = quotations()
    assert len(quoted) > 60
    missing = [q for q in quoted if q[2] not in lines_of(q[0], q[1])]
    assert missing == []


def test_every_row_below_such_a_heading_quotes_code() -> None:
    rows = 0
    below = False
    for line in PAGE.splitlines():
        if line.startswith("#"):
            below = bool(HEADING.fullmatch(line))
        elif below and line.startswith("|") and not re.match(r"\|-|\| (equation|because) ", line):
            assert QUOTING_ROW.match(line), line
            rows += 1
    assert rows == len(quotations())


def test_every_step_of_the_reference_is_derived() -> None:
    """The equations of backward steps, line by line: none is left out."""
    quoted = {(function, code) for _, function, code in quotations()}
    for function in ("lstm_backward", "through_the_matrices", "normalise_backward"):
        for line in lines_of("charlstm/look/gradients/reference.py", function):
            if re.match(r"d\.\w+ = |return np", line) and line != "d.dc_next = dc_next":
                assert (function, line) in quoted, line
