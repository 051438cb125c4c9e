import struct
import sys
from pathlib import Path

import pytest

from charlstm.errors import UserError
from charlstm.look.curves.tensorboard import FILE, write_events
from charlstm.saved.history import History

HISTORY = History(
    [
        {"step": 5, "seconds": 1.5, "train_loss": 2.5, "grad_norm": None, "epoch": 0.1},
        {"step": 7, "seconds": 2.0, "val_loss": 2.25, "improved": True},
        {"step": 10, "seconds": 3.25, "train_loss": 2.0, "grad_norm": 4.0},
    ]
)


def scalars(file: Path) -> list[tuple[float, int, str, float]]:
    """Time, step, name and value; read as TensorBoard does: length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    content, found = file.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]
        found += [(event.wall_time, event.step, v.tag, v.simple_value) for v in event.summary.value]
    return found


def test_every_number_is_an_event(tmp_path: Path):
    pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")
    write_events({"a": HISTORY, "runs/b": History()}, tmp_path)
    assert scalars(tmp_path / "a" / FILE) == [
        (1.5, 5, "train_loss", 2.5),
        (2.0, 7, "val_loss", 2.25),
        (3.25, 10, "train_loss", 2.0),
        (3.25, 10, "grad_norm", 4.0),
    ]
    assert scalars(tmp_path / "runs_b" / FILE) == []


def test_writing_again_replaces(tmp_path: Path):
    pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")
    for _ in range(2):
        write_events({"a": HISTORY}, tmp_path)
    assert [path.name for path in (tmp_path / "a").iterdir()] == [FILE]
    assert len(scalars(tmp_path / "a" / FILE)) == 4


def test_tensorboard_itself_reads_it(tmp_path: Path):
    pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")
    name = "tensorboard.backend.event_processing.event_accumulator"
    reader = pytest.importorskip(name, reason="needs tensorboard")
    write_events({"a": HISTORY}, tmp_path)
    found = reader.EventAccumulator(str(tmp_path / "a"))
    found.Reload()
    assert sorted(found.Tags()["scalars"]) == ["grad_norm", "train_loss", "val_loss"]
    assert [(e.step, e.value) for e in found.Scalars("train_loss")] == [(5, 2.5), (10, 2.0)]


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    with pytest.raises(UserError, match=r"pip install 'charlstm\[tensorboard\]'"):
        write_events({"a": HISTORY}, tmp_path)
    assert list(tmp_path.iterdir()) == []
