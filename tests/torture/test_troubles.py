"""Full disks, limits, rivals, readers and numbers going wrong, with real processes."""

import fcntl
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from tiny import newest, weights
from torture.processes import (
    CHARLSTM,
    CONFIG,
    ENVIRONMENT,
    TORTURE,
    complete,
    finish,
    names,
    newest_good,
    quick_folder,
    set_up,
    start,
    steps_of,
    strays,
    train,
    undisturbed,
    wait_for_step,
    wait_until,
)

from charlstm.look.curves.comparison import summaries_of
from charlstm.look.inspection import verify
from charlstm.nn.cells import CELLS
from charlstm.saved.checkpoint import load_model, read_checkpoint
from charlstm.saved.run_folder import RunFolder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors")}


def only_line(talk: str) -> str:
    """The last line; it is the only one that is an error, and there is no traceback."""
    lines = talk.splitlines()
    assert "Traceback" not in talk
    assert [line for line in lines if line.startswith("Error")] == lines[-1:]
    return lines[-1]


# The disk


def test_a_limit_on_file_sizes():
    """As ``ulimit -f`` and disk quotas do. The run was fine until then."""
    with quick_folder() as folder:
        complete(folder, "training.steps=9")
        before = contents(folder)

        def limited() -> None:
            undisturbed()
            size = RunFolder(folder / "run").checkpoint_path(9).stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

        talk = complete(folder, "--resume", code=5, before=limited)
        line = only_line(talk)
        assert "step-00000010.safetensors: File too large (needs " in line
        assert "Raise the limit on file sizes (ulimit -f)." in line
        assert line.endswith("The last saved step is 9, in run; continue with --resume.")
        assert contents(folder) == before
        assert strays(folder) == []
        complete(folder, "--resume", "training.steps=12")


FILL = """
import json, subprocess, sys
from pathlib import Path
from charlstm.saved.checkpoint import read_checkpoint
Path("run").mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", "run"], check=True)
command = [sys.executable, "-m", "charlstm", "train", "c.yaml", "--out", "run"]
done = subprocess.run([*command, "output.keep=100000"], capture_output=True, text=True)
kept = sorted(Path("run/checkpoints").iterdir())
steps = [read_checkpoint(path).progress.step for path in kept]
again = subprocess.run([*command, "output.keep=1", "--resume"], capture_output=True, text=True)
names = [p.name for p in Path("run").rglob("*")]
print(json.dumps([done.returncode, done.stderr, steps, again.returncode, again.stderr, names]))
"""


def test_a_disk_that_fills_up():
    with quick_folder() as folder:
        done = subprocess.run(
            ["unshare", "-rm", sys.executable, "-c", FILL],
            cwd=folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"no private mounts here: {done.stderr.strip().splitlines()[-1][:80]}")
        code, talk, steps, again, more_talk, left = json.loads(done.stdout)
        assert code == 5, talk
        line = only_line(talk)
        assert "No space left on device" in line
        assert line.endswith(
            f"The last saved step is {max(steps)}, in run; continue with --resume."
        )
        assert len(steps) > 10
        assert steps == list(range(1, max(steps) + 1))  # all of them whole
        # Asked to keep fewer, the same command goes on: what is old makes room.
        assert again in (0, 5), more_talk
        assert not [name for name in left if name.startswith(".tmp-")]


@pytest.mark.parametrize("saved", [0, 9])
def test_metrics_that_cannot_grow(saved: int):
    """As on a full disk: what was begun of a line is taken back."""
    with quick_folder() as folder:
        if saved:
            complete(folder, f"training.steps={saved}")
        before = contents(folder)
        limit = 10_000

        def limited() -> None:
            undisturbed()
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        options = ("--resume", "output.checkpoint_every=0", "evaluation.every=1000")
        line = only_line(complete(folder, *options, code=5, before=limited))
        assert "cannot write run/metrics.jsonl: File too large (needs " in line
        kept = f"The last saved step is {saved}, in run" if saved else "Nothing was saved yet"
        assert line.endswith(f"(ulimit -f). {kept}; continue with --resume.")
        metrics = (folder / "run" / "metrics.jsonl").read_bytes()
        assert limit - 500 < len(metrics) < limit
        assert metrics.endswith(b"}\n")
        assert contents(folder) == before
        assert strays(folder) == []


def test_links_and_pipes_in_a_run_folder():
    """What a stranger's archive may hold: nothing is written through them, nothing waits."""
    with quick_folder() as folder:
        complete(folder, "training.steps=9")
        precious = folder / "precious"
        precious.write_text("precious\n")
        shutil.copytree(folder / "run", folder / "kept")
        for name in ("metrics.jsonl", "samples.txt", "run.lock", "checkpoints"):
            for make in (lambda path: path.symlink_to(precious), os.mkfifo):
                shutil.rmtree(folder / "run")
                shutil.copytree(folder / "kept", folder / "run")
                if name == "checkpoints":
                    shutil.rmtree(folder / "run" / name)
                else:
                    (folder / "run" / name).unlink()
                make(folder / "run" / name)
                code, talk = finish(train(folder, "--resume", "training.steps=12"))
                assert code in (3, 5, 6), talk
                assert name in only_line(talk)
                assert precious.read_text() == "precious\n"


def test_talk_on_a_full_device_ends_nothing():
    with quick_folder() as folder, Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*CHARLSTM, "train", "c.yaml", "--out", "run"],
            cwd=folder,
            env=ENVIRONMENT,
            stderr=full,
            stdout=subprocess.PIPE,
            check=False,
        )
        assert done.returncode == 0
        assert steps_of(folder) == 400


def test_a_read_only_folder(obedient: list[str]):
    """At the start, and when there is a run in it."""
    with quick_folder() as folder:
        checkpoints = folder / "run" / "checkpoints"
        folder.chmod(0o555)
        line = only_line(complete(folder, code=5, under=obedient))
        assert "cannot create run/checkpoints: Permission denied" in line
        folder.chmod(0o755)
        complete(folder, "training.steps=7")
        before = contents(folder)
        checkpoints.chmod(0o555)
        line = only_line(complete(folder, "--resume", code=5, under=obedient))
        assert "step-00000008.safetensors: Permission denied" in line
        checkpoints.chmod(0o755)
        assert contents(folder) == before
        assert strays(folder) == []
        complete(folder, "--resume")
        assert steps_of(folder) == 400


@pytest.mark.parametrize("place", ["text.txt/run", "x" * 300])
def test_folders_that_cannot_be(place: str):
    with quick_folder() as folder:
        began = time.monotonic()
        code, talk = finish(start(folder, "train", "c.yaml", "--out", place))
        assert (code, time.monotonic() - began < 5) == (5, True), talk
        assert only_line(talk).startswith("Error: cannot create ")
        assert names(folder) == ["c.yaml", "text.txt"]


# Others


def test_of_eight_trainers_one_trains():
    for _ in range(TORTURE):
        with quick_folder() as folder:
            rivals = [train(folder, "training.steps=1000000") for _ in range(8)]
            wait_until(lambda all=rivals: sum(p.poll() is None for p in all) == 1)
            (winner,) = (p for p in rivals if p.poll() is None)
            wait_for_step(winner, folder, 2)
            for loser in rivals:
                if loser is not winner:
                    code, talk = finish(loser)
                    assert code == 6, talk
                    holder = f"run is in use by process {winner.pid} on "
                    assert holder in only_line(talk) or "another process" in talk
            winner.terminate()
            code, talk = finish(winner)
            assert code == -signal.SIGTERM
            found = newest_good(folder)
            assert found is not None
            assert f"Stopped by SIGTERM at step {found.progress.step:,};" in talk


READS = 100 * TORTURE


@pytest.mark.parametrize("best", [True, False])
def test_readers_while_a_trainer_saves_every_step(best: bool):
    """Without a best one the newest is read, which may be gone the moment it was found."""
    with quick_folder() as folder:
        settings = ["training.steps=1000000", "output.keep=1", "-q"]
        if not best:
            settings += ["data.validation_fraction=0", "schedule.kind=constant"]
        process = train(folder, *settings)
        wait_for_step(process, folder, 6)
        seen = set()
        for _ in range(READS):
            loaded = load_model(folder / "run")
            seen.add(loaded.progress.step)
            verdicts = verify(folder / "run")
            assert all(verdict.damaged is False for verdict in verdicts), verdicts
            (summary,) = summaries_of([folder / "run"])
            assert (summary.state, summary.problem) == ("running", None)
        for command in (
            ["sample", "run", "-n", "5", "-q"],
            ["eval", "run", "text.txt", "--json"],
            ["info", "run"],
            ["info", "run", "--verify"],
            ["compare", "run"],
            ["plot", "run"],
            ["report", "run", "-o", "report.html"],
        ):
            code, talk = finish(start(folder, *command))
            assert code == 0, talk
        assert process.poll() is None
        process.kill()
        finish(process)
        print(
            f"{3 * READS} reads during saves of every step: {len(seen)} different steps, 0 errors"
        )
        assert len(seen) > (1 if best else READS / 20)


# Numbers


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("rate", ["1e6", "1e38"])
def test_a_learning_rate_far_too_high(cell: str, rate: str):
    with quick_folder() as folder:
        settings = [f"model.cell={cell}", f"training.learning_rate={rate}", "output.keep=1000"]
        code, talk = finish(train(folder, *settings, "training.steps=40"))
        assert code == (4 if rate == "1e38" else 0), talk
        if code:
            line = only_line(talk)
            assert f"learning rate {float(rate):.3g})" in line
            assert " at step " in line
            assert "gradient norm " in line
        else:
            assert talk.count("Warning: the training loss rose to ") == 1
        assert "RuntimeWarning" not in talk
        assert strays(folder) == []
        for path in (folder / "run").rglob("*.safetensors"):
            read_checkpoint(path)  # refuses what is not finite
        for text in (folder / "run" / "metrics.jsonl").read_text().splitlines():
            json.loads(text, parse_constant=pytest.fail)


def test_diverging_after_a_while_keeps_what_was_good():
    with quick_folder() as folder:
        rarely = ["output.checkpoint_every=0"]
        complete(folder, *rarely, "training.steps=21")
        before = contents(folder)
        talk = complete(folder, *rarely, "--resume", "training.learning_rate=1e38", code=4)
        line = only_line(talk)
        assert re.search(r"(loss|gradient) became \S+ at step 2[2-5] \(gradient norm ", line)
        assert "The last saved step is 21, in run; try a smaller training.learning_rate" in line
        assert contents(folder) == before
        complete(folder, "--resume", "training.steps=30")


# Surroundings


SURROUNDINGS: dict[str, dict[str, str]] = {
    "another hash seed": {"PYTHONHASHSEED": "12345"},
    "Turkish": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "plain C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "another time zone": {"TZ": "Pacific/Chatham"},
    "optimized": {"PYTHONOPTIMIZE": "2"},
}


def test_surroundings_change_nothing():
    """Locale, hash seed, umask, time zone, a terminal or none, another folder and name."""
    short = ["training.steps=30"]
    with quick_folder() as folder:
        complete(folder, *short)
        expected = weights(folder / "run")
        for name, environment in SURROUNDINGS.items():
            complete(folder, *short, "--overwrite", "-q", environment=environment)
            assert weights(folder / "run") == expected, name
        complete(folder, *short, "--overwrite", before=lambda: os.umask(0o077))
        assert weights(folder / "run") == expected, "umask"
        assert (folder / "run" / "metrics.jsonl").stat().st_mode & 0o777 == 0o600
        assert re.search(r"loss 2\.\d+[^\r\n]* step 30/30", on_a_terminal(folder, *short))
        assert weights(folder / "elsewhere" / "ｒun 2") == expected, "terminal"


def on_a_terminal(folder: Path, *settings: str) -> str:
    """What a terminal gets to see of a training that is started in another folder."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [*CHARLSTM, "train", "../c.yaml", *settings, "--overwrite", "--out", "ｒun 2"],
        cwd=elsewhere,
        env=ENVIRONMENT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=undisturbed,  # noqa: PLW1509
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # the other end was closed
            break
        seen += piece
    os.close(ours)
    assert process.wait(timeout=60) == 0, seen
    return seen.decode()


KERNELS = ["Prescott", "Nehalem", "Sandybridge", "Haswell", "SkylakeX"]
ROUNDS_DIFFERENTLY = "rounds differently from the one that wrote step"


def test_another_kernel_is_told_and_exact_refuses():
    with quick_folder() as folder:
        complete(folder, "training.steps=5")
        assert ROUNDS_DIFFERENTLY not in complete(folder, "--resume", "--exact", "training.steps=6")
        for kernel in KERNELS:
            elsewhere = {"OPENBLAS_CORETYPE": kernel}
            code, talk = finish(
                train(folder, "--resume", "--exact", "training.steps=8", environment=elsewhere)
            )
            if code == 2:
                break
        else:
            pytest.skip("no other OpenBLAS kernel here")
        assert "--exact was asked for" in only_line(talk)
        assert steps_of(folder) in (6, 8)
        talk = complete(folder, "--resume", "training.steps=10", environment=elsewhere)
        assert talk.count(ROUNDS_DIFFERENTLY) == 1
        assert newest(folder / "run").progress.step == 10


def test_another_number_of_threads_is_told_where_it_matters():
    """With 1 and 2 threads OpenBLAS adds up a product of this size in another order."""
    text = "".join(random.Random(1).choices("abcdefgh \n", k=4000))
    config = CONFIG.replace("hidden_size: 6", "hidden_size: 128")
    config = config.replace(
        "batch_size: 3, sequence_length: 4", "batch_size: 40, sequence_length: 50"
    )
    with quick_folder() as folder:
        set_up(folder, config)
        (folder / "text.txt").write_text(text)
        two = {"OPENBLAS_NUM_THREADS": "2"}
        complete(folder, "training.steps=1")
        code, talk = finish(
            train(folder, "--resume", "--exact", "training.steps=2", environment=two)
        )
        if code == 0:
            pytest.skip("one thread and two round alike here")
        assert code == 2
        assert ROUNDS_DIFFERENTLY in only_line(talk)
        talk = complete(folder, "--resume", "training.steps=2", environment=two)
        assert talk.count(ROUNDS_DIFFERENTLY) == 1
