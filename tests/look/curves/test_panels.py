import math

import pytest

from charlstm.errors import ConfigError
from charlstm.look.curves.panels import METRICS, Panel, Scale, metric_names, panels_of, tick_text
from charlstm.saved.history import History

NAN = math.nan


def history(**curves: list[float]) -> History:
    """Values at steps 10, 20, ...; a second is 5 steps."""
    rows = [
        {"step": 10 * n, "seconds": 2.0 * n, metric: value}
        for metric, values in curves.items()
        for n, value in enumerate(values, start=1)
    ]
    return History(rows)


LEARNING = history(train_loss=[4.0, 3.0, 2.5], val_loss=[4.5, 3.5], grad_norm=[0.5, 8.0, 0.25])
OTHER = history(train_loss=[3.0, 2.0])


def test_losses_of_one_run_share_a_panel():
    loss, norm = panels_of({"a": LEARNING}, ["train_loss", "val_loss", "grad_norm"])
    assert loss.title == "loss, nats per character"
    assert [line.label for line in loss.lines] == ["training loss", "validation loss"]
    assert loss.lines[1].curve == ([10, 20], [4.5, 3.5])
    assert norm.title == "gradient norm before clipping"
    assert [line.label for line in norm.lines] == ["gradient norm before clipping"]


def test_different_units_do_not():
    titles = [p.title for p in panels_of({"a": LEARNING}, ["train_loss", "grad_norm"])]
    assert titles == ["training loss, nats per character", "gradient norm before clipping"]


def test_several_runs_share_a_panel_for_each_metric():
    train, val = panels_of({"a": LEARNING, "b": OTHER}, ["train_loss", "val_loss"])
    assert train.title == "training loss, nats per character"
    assert [(line.label, line.curve.y[-1]) for line in train.lines] == [("a", 2.5), ("b", 2.0)]
    assert [line.label for line in val.lines] == ["a"]


def test_what_nobody_has_is_left_out():
    assert panels_of({"a": OTHER, "b": OTHER}, ["learning_rate"]) == []
    assert panels_of({"a": history(grad_norm=[NAN])}, ["grad_norm"]) == []
    assert panels_of({"a": history(grad_norm=[0.0])}, ["grad_norm"], logarithmic=True) == []


def test_strokes_run_from_0_to_1():
    (panel,) = panels_of({"a": LEARNING}, ["train_loss"])
    (stroke,) = panel.strokes(panel.lines[0])
    assert stroke == [(0.0, 1.0), (0.5, pytest.approx(1 / 3)), (1.0, 0.0)]


def test_the_axis_may_be_another():
    (panel,) = panels_of({"a": LEARNING}, ["train_loss"], "seconds")
    assert panel.x_label == "seconds of training"
    assert panel.lines[0].curve.x == [2.0, 4.0, 6.0]


def test_gaps_interrupt_a_line():
    (panel,) = panels_of({"a": history(train_loss=[1.0, NAN, 3.0, 2.0])}, ["train_loss"])
    assert [len(stroke) for stroke in panel.strokes(panel.lines[0])] == [1, 2]


def test_a_logarithm_has_no_zero():
    metrics = history(learning_rate=[0.0, 1e-4, 1e-2])
    (panel,) = panels_of({"a": metrics}, ["learning_rate"], logarithmic=True)
    assert list(panel.strokes(panel.lines[0])) == [[(0.5, 0.0), (1.0, pytest.approx(1.0))]]


def test_a_metric_can_be_named():
    assert metric_names("train_loss, grad_norm,,train_loss") == ["train_loss", "grad_norm"]
    assert metric_names(",".join(METRICS)) == list(METRICS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train_los", "did you mean 'train_loss'?"),
        ("zzz", "there are train_loss, val_loss,"),
        ("", "name at least one"),
        ("x" * 10_000, "found 'xxx"),
    ],
)
def test_a_name_that_is_none(text: str, message: str):
    with pytest.raises(ConfigError) as caught:
        metric_names(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("scale", "ticks"),
    [
        (Scale(0, 300), [0, 100, 200, 300]),
        (Scale(1.3, 4.1), [2, 3, 4]),
        (Scale(-1, 1), [-1, -0.5, 0, 0.5, 1]),
        (Scale(0.001, 0.003), [0.001, 0.0015, 0.002, 0.0025, 0.003]),
        (Scale(1e-4, 1e-1, True), [1e-4, 1e-3, 1e-2, 1e-1]),
        (Scale(0.4, 20, True), [1, 3, 10]),
        (Scale(1e-8, 1e2, True), [1e-8, 1e-5, 1e-2, 1e1]),
        (Scale(1.1, 1.6, True), [1.1, 1.2, 1.3, 1.4, 1.5, 1.6]),
    ],
)
def test_ticks_are_round(scale: Scale, ticks: list[float]):
    assert scale.ticks() == pytest.approx(ticks)


@pytest.mark.parametrize("value", [0.0, 0.002, -7.0, 1e-300, 1e300])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_constant_has_room_around_it(value: float, logarithmic: bool):
    if logarithmic and value <= 0:
        return
    scale = Scale.around([value, value], logarithmic=logarithmic)
    assert scale.low <= value < scale.high
    assert scale.ticks()
    assert 0 <= scale.position(value) <= 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12000.0, "12,000"),
        (0.30000000000000004, "0.3"),
        (1e-5, "1e-05"),
        (2.5e12, "2.5e+12"),
    ],
)
def test_tick_text(value: float, text: str):
    assert tick_text(value) == text


def test_a_panel_of_one_point():
    (panel,) = panels_of({"a": history(train_loss=[2.0])}, ["train_loss"])
    assert isinstance(panel, Panel)
    assert list(panel.strokes(panel.lines[0])) == [[(0.5, 0.5)]]
