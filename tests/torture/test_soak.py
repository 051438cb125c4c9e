"""A long run: what it takes from the machine does not grow."""

import os
import time
from pathlib import Path

from torture.processes import TORTURE, finish, quick_folder, train, wait_for_step

from charlstm.saved.run_folder import RunFolder

SECONDS = 20 if TORTURE == 1 else 1800
WARM_UP = 12 if TORTURE == 1 else 60
MOST_GROWTH = 2_000_000 if TORTURE == 1 else 1_000_000
SETTINGS = ["training.steps=100000000", "output.report_every=1", "output.checkpoint_every=2"]


def resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def count(pid: int, what: str) -> int:
    """``fd``: open files; ``task``: threads."""
    return len(list(Path(f"/proc/{pid}/{what}").iterdir()))


def test_memory_and_descriptors_stay_flat():
    with quick_folder() as folder:
        process = train(folder, *SETTINGS, "--quiet")
        wait_for_step(process, folder, 2)
        time.sleep(WARM_UP)
        memory, descriptors = [resident(process.pid)], []
        threads = count(process.pid, "task")
        end = time.monotonic() + SECONDS - WARM_UP
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.1)
            memory.append(resident(process.pid))
            descriptors.append(count(process.pid, "fd"))
        assert process.poll() is None
        assert count(process.pid, "task") == threads
        process.terminate()
        finish(process)
        run = RunFolder(folder / "run")
        growth = max(memory) - memory[0]
        print(
            f"soak: {SECONDS} s, {run.steps()[0]:,} steps; after {WARM_UP} s memory grew by"
            f" {growth:,} bytes of {memory[0]:,}; {min(descriptors)} to {max(descriptors)} files"
        )
        assert growth <= MOST_GROWTH
        assert max(descriptors) - min(descriptors) <= 2  # a file being written, and its folder
        assert len(run.steps()) == 2
        assert len(list(folder.rglob("*"))) < 15
