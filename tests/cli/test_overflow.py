"""Models whose weights are finite, and so large that what they compute is not."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import forge

from charlstm.nn.cells import CELLS

HUGE = {"float32": 3e38, "float64": 1.7e308}


@pytest.fixture
def huge(call: Any, request: pytest.FixtureRequest) -> Path:
    cell, dtype = request.param
    settings = [f"model.cell={cell}", f"model.dtype={dtype}", "evaluation.every=0"]
    settings += ["training.steps=1", "model.layers=2"]
    assert call("train", "c.yaml", *settings, "--out", "run", "-q").code == 0

    def enlarge(arrays: dict[str, Any], state: dict[str, Any]) -> None:
        for name, array in arrays.items():
            if name.startswith("param/"):
                array[...] = HUGE[dtype]

    file = Path("run/best.safetensors")
    forge(file, enlarge)
    return file


USES: dict[str, list[str]] = {
    "eval": ["eval", "text.txt"],
    "eval json": ["eval", "text.txt", "--json"],
    "eval part": ["eval", "--part", "train"],
    "look json": ["look", "short.txt", "--json"],
    "look page": ["look", "short.txt", "-o", "page.html"],
    "look terminal": ["look", "short.txt", "--terminal", "--layer", "0", "--unit", "1"],
    "sample": ["sample", "-q"],
}
ROWS = [["--by", "line"], ["--by", "character"], ["--by", "line", "--json"]]
KINDS = [*((cell, "float32") for cell in CELLS), ("lstm", "float64")]


@pytest.fixture(autouse=True)
def short_text(folder: Path) -> None:
    (folder / "short.txt").write_text((folder / "text.txt").read_text()[:300])


@pytest.mark.parametrize("huge", KINDS, indirect=True, ids="-".join)
def test_no_command_uses_what_is_not_finite(huge: Path, call: Any, refuse: Any):
    for command, *arguments in USES.values():
        line = refuse(3, command, huge, *arguments)
        assert line.startswith("Error: run/best.safetensors: its weights are so large that")
    assert not Path("page.html").exists()
    for arguments in ROWS:
        done = call("eval", huge, "text.txt", *arguments)
        assert (done.code, done.err.count("\n")) == (3, 1)
        assert "nan" not in done.out.lower() + done.err
    info = call("info", huge, "--json")
    assert (info.code, info.err) == (0, "")
    json.loads(info.out, parse_constant=pytest.fail)


@pytest.mark.parametrize("huge", [("simple", "float32")], indirect=True, ids="-".join)
def test_the_arithmetic_of_a_trace_is_wider(huge: Path, call: Any):
    done = call("trace", huge, "the harbour was", "--json", "--full")
    assert done.code == 0
    json.loads(done.out, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("cell", "optimizer"), [*((cell, "adam") for cell in CELLS), ("simple", "sgd")]
)
def test_a_run_at_an_absurd_learning_rate_warns_of_nothing(call: Any, cell: str, optimizer: str):
    settings = [f"model.cell={cell}", f"training.optimizer={optimizer}", "output.sample_every=1"]
    settings += ["training.learning_rate=1e30", "output.checkpoint_every=1", "evaluation.every=1"]
    done = call("train", "c.yaml", *settings, "--out", "run")
    assert done.code in (0, 4)
    assert "RuntimeWarning" not in done.err
    if done.code == 4:
        assert done.err.count("Error: ") == 1
    for command, *arguments in USES.values() if Path("run/best.safetensors").exists() else ():
        done = call(command, "run", *arguments)
        assert done.code in (0, 3), done.err
        if "--json" in arguments and done.code == 0:
            json.loads(done.out, parse_constant=pytest.fail)
