"""What a training says: a bar on a terminal, lines elsewhere, nothing when asked for nothing."""

import errno
import io
import math
import re
import subprocess
import sys
from contextlib import redirect_stderr

import pytest

from charlstm.messages import duration, figure
from charlstm.nn.loss import bits, perplexity
from charlstm.training import console
from charlstm.training.console import (
    Bar,
    Lines,
    Silence,
    display_for,
    fitting,
    say,
    say_nothing,
    watched,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_display_fits_its_place():
    with redirect_stderr(Terminal()):
        bar = display_for(False, 0, 10, 12)
        assert type(bar) is Bar
        bar.close()
        assert type(display_for(True, 0, 10, 12)) is Silence
    with redirect_stderr(io.StringIO()):
        assert type(display_for(False, 0, 10, 12)) is Lines
        assert type(display_for(True, 0, 10, 12)) is Silence


def test_a_bar():
    terminal = Terminal()
    with redirect_stderr(terminal):
        bar = Bar(2, 10, 12)
        bar.evaluated(2.0, 1.75)
        for step in range(3, 11):
            bar.stepped(step, 1.25)
        bar.reported("a line for files")
        bar.noted("a sample\x1b[2J\nof two lines")
        bar.warned("mind the gap")
        bar.close()
    text = terminal.getvalue()
    last = re.split(r"[\r\n]+", text.rstrip())[-1]
    assert "100%" in last
    assert "loss 1.250  val 2.000  best 1.750  0 s left" in last
    assert "a sample\\x1b[2J\nof two lines\n" in text
    assert "a line for files" not in text
    assert "Warning: mind the gap\n" in text


def test_a_terminal_is_shown_samples_ever_more_rarely(monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr(console.time, "perf_counter", lambda: now)
    with redirect_stderr(Terminal()):
        bar = Bar(0, 10, 12)
    wanted = []
    for second in range(60):
        now = 100.0 + second
        if bar.wants_sample():
            wanted.append(second)
    assert wanted == [3, 6, 12, 24, 48]
    assert not Lines().wants_sample()


def test_a_bar_of_a_run_whose_length_is_corrected():
    terminal = Terminal()
    with redirect_stderr(terminal):
        bar = Bar(0, 40, 12)
        bar.stepped(1, 1.25)
        bar.lasts(4)
        for step in range(2, 5):
            bar.stepped(step, 1.25)
        bar.close()
    last = re.split(r"[\r\n]+", terminal.getvalue().rstrip())[-1]
    assert "100%" in last
    assert "step 4/4" in last


def test_a_bar_takes_no_process_and_no_semaphore():
    """Not for the lock that tqdm brings, over which Python 3.14 has another process watch."""
    code = """if True:
        import sys
        from charlstm.training.console import Bar
        Bar(0, 10, 12).close()
        print(sorted(name for name in sys.modules if name.startswith("multiprocessing")))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("columns", "text"),
    [(80, "loss 1.250  val 2.000  7 s left"), (40, "loss 1.250  val 2.000"), (9, "")],
)
def test_what_does_not_fit_beside_the_bar_is_left_out(columns: int, text: str):
    parts = ["loss 1.250", "val 2.000", "7 s left"]
    assert fitting(parts, columns) == text


def test_loss_best_and_time_left_fit_sixty_columns():
    parts = ["loss 0.275", "val 0.326", "best 0.325", f"{duration(1e6)} left"]
    assert fitting(parts, 60) == "  ".join(parts)


def test_pieces_are_handed_on(capsys: pytest.CaptureFixture[str]):
    assert list(watched(["abc", "de"], 5)) == ["abc", "de"]
    assert capsys.readouterr() == ("", "")
    with redirect_stderr(Terminal()):
        assert list(watched(["abc", "de"], 5)) == ["abc", "de"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.25, "1.2500"), (999_999.4, "999999.4000"), (1.2345e30, "1.23e+30"), (math.inf, "inf")],
)
def test_a_figure_stays_short(value: float, text: str):
    assert figure(value, 4) == text
    assert figure(-value, 4) == f"-{text}"


def test_lines(capsys: pytest.CaptureFixture[str]):
    lines = Lines()
    lines.stepped(1, 2.0)
    lines.evaluated(2.0, 1.75)
    lines.reported("step 1")
    lines.warned("mind the gap")
    lines.close()
    out, err = capsys.readouterr()
    assert (out, err) == ("", "step 1\nWarning: mind the gap\n")


def test_silence(capsys: pytest.CaptureFixture[str]):
    silence = Silence()
    silence.stepped(1, 2.0)
    silence.evaluated(2.0, 1.75)
    silence.reported("step 1")
    silence.warned("mind the gap")
    silence.close()
    say_nothing("anything")
    assert capsys.readouterr() == ("", "")


def test_say(capsys: pytest.CaptureFixture[str]):
    say("a line")
    assert capsys.readouterr() == ("", "a line\n")


class Gone(Terminal):
    """A terminal that was closed, or a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")

    def flush(self) -> None:
        raise OSError(errno.EIO, "Input/output error")


def test_a_terminal_that_has_gone_ends_nothing():
    terminal = Terminal()
    with redirect_stderr(terminal):
        bar = Bar(0, 10, 12)
    terminal.__class__ = Gone
    with redirect_stderr(terminal):
        for step in range(1, 11):
            bar._bar.last_print_t = 0  # so that it prints every time
            bar.stepped(step, 1.25)
        bar.warned("mind the gap")
        bar.close()
        Lines().reported("a line")


def test_no_stderr_at_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", None)
    say("a line")
    assert type(display_for(False, 0, 10, 12)) is Lines
    assert capsys.readouterr().out == ""


def test_perplexity():
    assert perplexity(math.log(50)) == pytest.approx(50, rel=1e-14)
    assert perplexity(709.0) == math.exp(709.0)
    assert perplexity(1e6) == math.inf


def test_bits():
    assert bits(math.log(2)) == 1.0
    assert bits(math.log(256)) == pytest.approx(8.0, rel=1e-15)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (5999, "100 min"),
        (6000, "1.7 h"),
        (35_999, "10.0 h"),
        (1e6, "278 h"),
    ],
)
def test_duration(seconds: float, text: str):
    assert duration(seconds) == text
