"""Event files for TensorBoard: what metrics.jsonl holds, written once more in its format."""

import math
import tempfile
from collections.abc import Mapping
from itertools import chain, count
from pathlib import Path

from charlstm.errors import UserError
from charlstm.look.curves.panels import METRICS
from charlstm.saved.history import History, number
from charlstm.system.files import make_folder, refused, write_atomically

FILE = "events.out.tfevents.0.charlstm"  # always the same, so that writing again replaces it


def write_events(histories: Mapping[str, History], folder: Path) -> None:
    """A folder for each run, with one file. Gaps stay gaps.

    The clock starts with the training: TensorBoard's "Relative" axis counts its seconds, and
    "Wall" means nothing. Raises a `UserError` without tensorboardX.
    """
    taken: set[Path] = set()
    for name, history in histories.items():
        content = event_file(history)
        home = _free(folder / name.strip("/").replace("/", "_"), taken)
        taken.add(home)
        make_folder(home)
        write_atomically(home / FILE, [content])


def _free(home: Path, taken: set[Path]) -> Path:
    """Also where a_b and a/b are two runs."""
    numbered = (home.with_name(f"{home.name}-{n}") for n in count(2))
    return next(path for path in chain([home], numbered) if path not in taken)


def event_file(history: History) -> bytes:
    """By the synchronous part of tensorboardX: the rest writes in a thread that hides errors."""
    try:
        from tensorboardX.event_file_writer import EventsWriter  # noqa: PLC0415 (optional)
        from tensorboardX.proto.event_pb2 import Event  # noqa: PLC0415
        from tensorboardX.summary import scalar  # noqa: PLC0415
    except ImportError:
        raise UserError(
            "--tensorboard needs tensorboardX, which is not installed:"
            " pip install 'charlstm[tensorboard]'"
        ) from None
    with tempfile.TemporaryDirectory() as folder, refused("write", Path(folder)):
        writer = EventsWriter(f"{folder}/events")
        for row in history.rows:
            seconds = number(row.get("seconds"))
            wall_time = 0.0 if math.isnan(seconds) else seconds
            for metric in METRICS:
                value = number(row.get(metric))
                if not math.isnan(value):
                    summary = scalar(metric, value)
                    event = Event(wall_time=wall_time, step=row["step"], summary=summary)
                    writer.write_event(event)
        writer.close()
        (file,) = Path(folder).iterdir()
        return file.read_bytes()
