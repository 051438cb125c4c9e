import itertools
import json
import math
from pathlib import Path

import pytest
import tiny

from charlstm.errors import FileError
from charlstm.look.curves.charts import Style, terminal_chart
from charlstm.look.curves.panels import panels_of
from charlstm.look.curves.svg import figure
from charlstm.saved.history import Curve, History, number, read_history


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def test_reports_and_evaluations_become_curves(file: Path):
    file.write_text(
        '{"step": 3, "epoch": 0.5, "seconds": 1.25, "train_loss": 2.5}\n'
        '{"step": 4, "epoch": 0.75, "seconds": 2.0, "val_loss": 2.75}\n'
        '{"step": 6, "epoch": 1.0, "seconds": 2.5, "train_loss": 2.0}\n'
    )
    history = read_history(file)
    assert history.curve("train_loss") == Curve([3, 6], [2.5, 2.0])
    assert history.curve("train_loss", "seconds") == Curve([1.25, 2.5], [2.5, 2.0])
    assert history.curve("val_loss", "epoch") == Curve([0.75], [2.75])
    assert history.curve("grad_norm") == Curve([], [])
    assert (history.last_step, history.damaged) == (6, [])


def test_what_a_run_writes(tmp_path: Path):
    tiny.train(tiny.tiny_config(tmp_path), tmp_path / "run")
    history = read_history(tmp_path / "run" / "metrics.jsonl")
    assert history.curve("train_loss").x == [3, 6, 9, 12, 15, 18]
    assert history.curve("val_loss").x == [5, 10, 15, 20]
    assert history.last_step == 20
    assert len(history.finite("chars_per_second")) == 6


EXTREME = (1.7e308, -1.7e308, 1e300, 1.0, 1e-300, 5e-324, -5e-324, 0.0)


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("axis", ["step", "seconds"])
def test_numbers_near_the_ends_of_floats_can_be_drawn(logarithmic: bool, axis: str):
    for a, b, c in itertools.product(EXTREME, repeat=3):
        rows = [
            {"step": step, "seconds": x, "train_loss": y, "learning_rate": y}
            for step, (x, y) in enumerate([(c, a), (a, b), (b, c)])
        ]
        metrics = ("train_loss", "learning_rate")
        for panel in panels_of({"run": History(rows)}, metrics, axis, logarithmic=logarithmic):
            assert "nan" not in "\n".join(terminal_chart(panel, Style()))
            assert "nan" not in figure(panel)


@pytest.mark.parametrize("end", ["", '{"step": 9', '{"step": 9, "train_loss": 1.0}', "\ufffd"])
def test_what_follows_the_last_line_end_is_not_there_yet(file: Path, end: str):
    file.write_text('{"step": 3, "train_loss": 2.5}\n' + end)
    history = read_history(file)
    assert history.curve("train_loss") == Curve([3], [2.5])
    assert history.damaged == []


def test_null_is_a_gap(file: Path):
    file.write_text(
        "".join(f'{{"step": {n}, "grad_norm": {v}}}\n' for n, v in ((1, 2.0), (2, "null")))
    )
    x, y = read_history(file).curve("grad_norm")
    assert x == [1, 2]
    assert y[0] == 2.0
    assert math.isnan(y[1])
    assert read_history(file).finite("grad_norm") == [2.0]


@pytest.mark.parametrize(
    "line",
    [
        *("", "nonsense", "[]", "3", '{"train_loss": 1.0}', '{"step": "7"}', '{"step": true}'),
        *('{"step": 7, "tr{"step": 8}', "\0\0\0", "[" * 100_000, '{"step": ' + "9" * 5000 + "}"),
    ],
)
def test_damaged_lines_are_left_out_and_counted(file: Path, line: str):
    file.write_text(f'{{"step": 1, "train_loss": 3.0}}\n{line}\n{{"step": 9, "train_loss": 2.0}}\n')
    history = read_history(file)
    assert history.curve("train_loss") == Curve([1, 9], [3.0, 2.0])
    assert history.damaged == [2]


def test_bytes_that_are_no_text(file: Path):
    file.write_bytes(b'\xff\xfe\n{"step": 9, "train_loss": 2.0}\n')
    assert read_history(file).damaged == [1]


def test_no_file_is_no_history_yet(file: Path):
    assert read_history(file) == History()
    assert History().last_step is None


def test_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(FileError, match="is a folder"):
        read_history(tmp_path)


@pytest.mark.parametrize(
    "value", [None, "1", True, [], math.inf, -math.inf, math.nan, 10**400, json.loads("1e999")]
)
def test_what_is_no_finite_number(value: object):
    assert math.isnan(number(value))


def test_numbers():
    assert number(3) == 3.0
    assert number(-0.5) == -0.5


def test_a_point_without_a_place_is_left_out(file: Path):
    file.write_text('{"step": 1, "seconds": null, "train_loss": 3.0}\n')
    assert read_history(file).curve("train_loss", "seconds") == Curve([], [])


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], None),
        (['{"step": 3, "failed": "loss became nan"}'], "loss became nan"),
        (['{"step": 3, "failed": "loss became nan"}', '{"step": 4}'], None),
        (['{"step": 3, "failed": true}'], None),
        (['{"step": 3, "failed": "a\\u001b[31m\\nb"}'], "a\\x1b[31m\\nb"),
        (['{"step": 3, "failed": "' + "x" * 1000 + '"}'], "x" * 300),
    ],
)
def test_why_a_run_failed(tmp_path: Path, lines: list[str], reason: str | None):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    assert read_history(path).failure == reason
