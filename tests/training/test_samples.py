"""Samples made beside a training."""

import itertools
import time

import pytest

from charlstm.training import samples


def test_nobody_waits_for_a_glance(monkeypatch: pytest.MonkeyPatch):
    """Of a model that takes a fifth of a second for a character."""
    clock = itertools.count(0, 0.2)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert samples.at_a_glance(iter("abcdefgh")) == "abc"


def test_a_glance_at_what_is_made_at_once_is_whole():
    assert samples.at_a_glance(iter("abcdefgh")) == "abcdefgh"
