"""Writes down what tests/training/test_loop.py and tests/saved/test_checkpoint.py compare with.

Run it for a new format or a new cell, never to make a red test green; a golden checkpoint that
is there already stays as it is:

    python tests/golden/make.py
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE.parent
sys.path[:0] = [
    str(TESTS.parent),
    *(str(TESTS / name) for name in ("", "helpers", "saved", "training")),
]

from test_checkpoint import use_golden  # noqa: E402
from test_loop import trace  # noqa: E402
from tiny import newest, tiny_config, train, write_checkpoint  # noqa: E402

from charlstm.nn.cells import CELLS  # noqa: E402
from charlstm.system.sealed import FORMAT  # noqa: E402

SETTINGS = {
    "model.cell": "layer-norm",
    "model.embedding_size": 3,
    "model.dropout": 0.1,
    "model.recurrent_dropout": 0.1,
    "schedule.kind": "plateau",
    "training.steps": 300,
    "output.report_every": 50,
}


def traces(folder: Path) -> None:
    found = {}
    for cell in CELLS:
        found[cell] = trace(cell, folder)
        for file in [*folder.glob("run/*.*"), *folder.glob("run/checkpoints/*")]:
            file.unlink()
    (HERE / "trace.json").write_text(json.dumps(found, indent=0) + "\n")


def golden_checkpoint(folder: Path) -> None:
    file = HERE / f"format-{FORMAT}.safetensors"
    if file.exists():
        return
    train(tiny_config(folder, **SETTINGS), folder / "golden", stop_after=290)
    made = newest(folder / "golden")
    config = replace(made.config, data=replace(made.config.data, files=("text.txt",)))
    write_checkpoint(file, replace(made, config=config))
    record = use_golden(file, folder)
    file.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        traces(Path(name))
        golden_checkpoint(Path(name))
