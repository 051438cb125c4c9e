"""The arithmetic fingerprint: the same here and now, another where rounding differs."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from places import ROOT
from tiny import forge, newest, tiny_config, train

from charlstm.errors import ConfigError
from charlstm.nn.cells import CELLS
from charlstm.nn.model import Shape
from charlstm.saved.run_folder import RunFolder
from charlstm.training import rounding, run
from charlstm.training.rounding import arithmetic_fingerprint

SHAPE = Shape(30, layers=2, hidden_size=48)
PROGRAM = """
from charlstm.training.rounding import arithmetic_fingerprint
from charlstm.nn.model import Shape
print(arithmetic_fingerprint(Shape(30, layers=2, hidden_size=48), 20, 16))
"""
OTHER_KERNELS = ["Prescott", "Nehalem", "Sandybridge", "Haswell", "SkylakeX"]


def elsewhere(**environment: str) -> str:
    """The fingerprint in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return done.stdout.strip()


def another_kernel() -> str | None:
    """The name of an OpenBLAS kernel that rounds differently here, if there is one."""
    here = elsewhere()
    return next((name for name in OTHER_KERNELS if elsewhere(OPENBLAS_CORETYPE=name) != here), None)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_repeatable_and_has_64_hex_digits(cell: str, dtype: str):
    shape = replace(SHAPE, cell=cell, dtype=dtype)
    first, second = (arithmetic_fingerprint(shape, 5, 3) for _ in range(2))
    assert first == second
    assert re.fullmatch("[0-9a-f]{64}", first)


def test_it_depends_on_the_shapes_that_decide_the_kernels():
    assert len({arithmetic_fingerprint(SHAPE, T, B) for T, B in ((5, 3), (5, 4), (6, 3))}) == 3


def test_it_is_the_same_in_another_process():
    assert elsewhere() == elsewhere(PYTHONHASHSEED="7", LC_ALL="C")


def test_another_kernel_shows():
    if another_kernel() is None:
        pytest.skip("this NumPy has no other OpenBLAS kernel that rounds differently")


def test_one_bit_shows(monkeypatch: pytest.MonkeyPatch):
    before = arithmetic_fingerprint(SHAPE, 5, 3)

    class OneBitOff(rounding.CharLM):
        def loss_and_gradients(self, *args, **others):  # type: ignore[no-untyped-def]
            found = super().loss_and_gradients(*args, **others)
            self.grads[17] = np.nextafter(self.grads[17], np.float32(np.inf))
            return found

    monkeypatch.setattr(rounding, "CharLM", OneBitOff)
    assert arithmetic_fingerprint(SHAPE, 5, 3) != before


# What a resumed run does about it


def resumed(folder: Path, said: list[str], *, exact: bool = False) -> run.Outcome:
    return train(tiny_config(folder), folder / "run", resume=True, exact=exact, say=said.append)


def stopped(folder: Path) -> Path:
    train(tiny_config(folder), folder / "run", stop_after=7)
    return RunFolder(folder / "run").checkpoint_path(7)


def test_other_rounding_is_told_and_the_run_goes_on(tmp_path: Path):
    forge(stopped(tmp_path), lambda arrays, state: state.update(fingerprint="0" * 64))
    said: list[str] = []
    assert resumed(tmp_path, said).reason == "finished"
    warnings = [line for line in said if line.startswith("Warning")]
    assert warnings == [
        "Warning: this machine rounds differently from the one that wrote step 7 (NumPy, BLAS,"
        " processor or threads); the run continues but will not match bit for bit."
    ]
    assert newest(tmp_path / "run").fingerprint != "0" * 64  # from here on, this machine's


def test_exact_refuses_other_rounding_and_changes_nothing(tmp_path: Path):
    file = stopped(tmp_path)
    forge(file, lambda arrays, state: state.update(fingerprint="0" * 64))
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with pytest.raises(ConfigError, match=r"step 7.*--exact was asked for"):
        resumed(tmp_path, [], exact=True)
    after = {p.name: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in before if name != "run.lock")


@pytest.mark.parametrize("exact", [True, False])
def test_other_versions_alone_are_no_matter(tmp_path: Path, exact: bool):
    versions = {"charlstm": "0.0.1", "numpy": "1.0"}
    forge(stopped(tmp_path), lambda arrays, state: state.update(versions=versions))
    said: list[str] = []
    assert resumed(tmp_path, said, exact=exact).reason == "finished"
    assert not [line for line in said if "Warning" in line]
