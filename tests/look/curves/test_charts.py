import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from charlstm.errors import ConfigError, UserError
from charlstm.look.curves.charts import (
    COLOURS,
    Style,
    format_of,
    save_picture,
    style_of,
    terminal_chart,
)
from charlstm.look.curves.panels import Line, Panel
from charlstm.saved.history import Curve

FALLING = Line("falling", Curve([0, 100], [1.0, 0.0]))
RISING = Line("rising", Curve([0, 50, 100], [0.0, 0.5, 1.0]))
LONELY = Line("lonely", Curve([50], [0.5]))
ASCII = Style(width=30, unicode=False)


def panel(*lines: Line, logarithmic: bool = False) -> Panel:
    return Panel("loss", "step", list(lines), logarithmic)


def chart(style: Style, *lines: Line) -> list[str]:
    return list(terminal_chart(panel(*lines), style))


def plotted(rows: list[str]) -> list[str]:
    """What stands right of the axis."""
    return [re.split("[|+│┤]", row, maxsplit=1)[1] for row in rows if re.search("[|+│┤]", row)][:12]


def test_one_line_falls_from_the_upper_left_to_the_lower_right():
    rows = chart(ASCII, FALLING)
    assert rows[0] == "loss"
    area = plotted(rows)
    assert area[0].startswith("**")
    assert area[11].endswith("*")
    assert [len(row) for row in area] == sorted(len(row) for row in area)
    assert rows[-1].split() == ["0", "step", "100"]
    assert set("".join(rows)) <= set(map(chr, range(32, 127)))


def test_nothing_is_wider_than_the_terminal():
    for width in (24, 37, 80, 200):
        rows = chart(Style(width), RISING)
        assert max(map(len, rows)) == width
        assert max(map(len, chart(Style(width, unicode=False), RISING, FALLING))) == width


def test_braille_has_eight_dots_in_a_character():
    area = "".join(plotted(chart(Style(width=24), FALLING)))
    marks = set(area) - {" "}
    assert marks
    assert all(0x2800 < ord(mark) < 0x2900 for mark in marks)


def test_a_single_point_is_seen():
    assert "".join(plotted(chart(ASCII, LONELY))).count("*") == 1


def test_several_lines_are_letters_where_there_are_no_colours():
    for style in (ASCII, Style(30)):
        rows = chart(style, FALLING, RISING)
        assert rows[1] == "a: falling  b: rising"
        area = plotted(rows[2:])
        assert area[0][0] == "a"
        assert area[11][0] == "b"
        assert area[0][-1] == "b"


def test_several_lines_are_braille_where_there_are_colours():
    text = "\n".join(chart(Style(30, colours=True), FALLING, RISING))
    assert {int(n) for n in re.findall(r"38;5;([0-9]+)m", text)} == set(COLOURS[:2])
    assert re.search("[\u2801-\u28ff]", text)


def test_more_lines_than_colours_are_letters():
    lines = [Line(f"run {n}", Curve([0, 9], [n, n + 1])) for n in range(9)]
    assert "ma\x1b[0m run 0" in "\n".join(chart(Style(80, colours=True), *lines))


@pytest.mark.parametrize("count", [1, 2, 60])
def test_a_legend_of_many_runs_is_folded(count: int):
    lines = [Line(f"run-{n}", Curve([0, 9], [n, n + 1])) for n in range(count)]
    assert max(map(len, chart(Style(40), *lines))) == 40


@pytest.mark.parametrize(
    ("environment", "is_terminal", "colours"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(environment, is_terminal, colours):
    assert style_of(environment, "utf-8", 80, is_terminal).colours is colours


@pytest.mark.parametrize(
    ("encoding", "unicode"),
    [("utf-8", True), ("ascii", False), ("latin-1", False), ("none such", False)],
)
def test_what_an_encoding_can_say(encoding: str, unicode: bool):
    assert style_of({}, encoding, 3, False) == Style(24, unicode, False)


# Pictures


@pytest.mark.parametrize("name", ["curves.pdf", "curves", "png", "x.PNG.gz"])
def test_other_formats_are_refused(name: str):
    with pytest.raises(ConfigError, match=r"must end in \.png or \.svg"):
        format_of(Path(name))


def test_formats():
    assert (format_of(Path("a.png")), format_of(Path("b.c.SVG"))) == ("png", "svg")


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"pip install 'charlstm\[plot\]'"):
        save_picture([panel(FALLING)], tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_png(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    save_picture([panel(FALLING, RISING), panel(LONELY)], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_an_svg_has_the_lines_and_is_the_same_every_time(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    names = ["_hidden", "cost $\\no{$", "船", "<b>&"]
    lines = [
        Line(name, Curve([0, 5, 9], [n + 1, float("nan"), 3.0])) for n, name in enumerate(names)
    ]
    for file in ("a.svg", "b.svg"):
        save_picture([panel(*lines, logarithmic=True)], tmp_path / file)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    comments = (tmp_path / "a.svg").read_text()
    ElementTree.fromstring(comments)
    assert [
        name for name in ("_hidden", "cost $\\no{$", "船") if f"<!-- {name} -->" not in comments
    ] == []


def test_twenty_runs_in_one_picture(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    lines = [Line(f"run {n}", Curve([0, 9], [n, n + 1])) for n in range(20)]
    save_picture([panel(*lines)], tmp_path / "a.svg")
    strokes = re.findall(
        "stroke: (#[0-9a-f]{6}); stroke-width: 1.4", (tmp_path / "a.svg").read_text()
    )
    assert len(set(strokes)) == 20


def test_logarithmic_ticks_are_numbers_as_people_write_them(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    line = Line("run", Curve([0, 9], [0.5, 4.0]))
    save_picture([panel(line, logarithmic=True)], tmp_path / "a.svg")
    written = re.findall("<!-- (.*) -->", (tmp_path / "a.svg").read_text())
    assert {"0.5", "1", "2"} <= set(written)
    assert not [text for text in written if "10^" in text]
