"""How long a user waits for a loss: Tiny Shakespeare, ours, PyTorch's nn.LSTM, and a small GPT.

    python benchmarks/time_to_loss.py TEXT [--seconds 240] [--cores 2]
                                           [--sides ours,usual,recipe,gpt]

Each side trains by itself on the same cores, one after the other, from the command to the end, and
is evaluated on the whole validation part (the last tenth) on the way; that takes its time here as
it does for a user. ``ours`` is configs/shakespeare.yaml; ``usual`` is nn.LSTM of the same size with
PyTorch's start and a constant 2e-3; ``recipe`` has our start and schedule as well; ``gpt`` is a
Transformer by nanoGPT's settings for CPUs (``peer_gpt.py``), on windows of 64 characters. Keeps the
curves in time_to_loss/PROCESSOR.json, beside those of sides that were measured there before on as
many cores, and prints the table; where matplotlib is installed, a picture too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import processor
from run import peer_python

from charlstm.saved.history import read_history

HERE = Path(__file__).resolve().parent
GOALS = (1.88, 1.60, 1.50, 1.45)
SIDES = {
    "ours": "charlstm, configs/shakespeare.yaml",
    "usual": "nn.LSTM, PyTorch's start, constant 2e-3",
    "recipe": "nn.LSTM, our start and schedule",
    "gpt": "a GPT by nanoGPT's settings for CPUs",
}
EVERY = 150
"""Steps between our evaluations."""
Curve = list[tuple[float, float]]
"""Seconds since the command, and nats a character."""


def ours(text: Path) -> Curve:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        recipe = HERE.parent / "configs" / "shakespeare.yaml"
        words = [f"data.files={text}", f"evaluation.every={EVERY}", "--out", str(out), "--quiet"]
        command = [sys.executable, "-m", "charlstm", "train", str(recipe), *words]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        whole = time.perf_counter() - began
        seconds, losses = read_history(out / "metrics.jsonl").curve("val_loss", "seconds")
    around = whole - seconds[-1]  # start and end of the program, all counted as start
    return [(second + around, loss) for second, loss in zip(seconds, losses, strict=True)]


def peers(side: str, text: Path, options: argparse.Namespace) -> Curve:
    words = [side, str(text), str(options.cores), str(options.seconds)]
    command = [str(peer_python()), str(HERE / "peer_to_loss.py"), *words]
    environment = os.environ | {"OMP_NUM_THREADS": str(options.cores)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [(seconds, nats) for seconds, nats in map(json.loads, done.stdout.splitlines())]


def measured_before(file: Path, cores: int) -> dict[str, Curve]:
    kept = json.loads(file.read_text("utf-8")) if file.exists() else {"cores": None}
    return kept["curves"] if kept["cores"] == cores else {}


def reached(curve: Curve, goal: float) -> str:
    """Seconds to the first evaluation at or below it."""
    times = (f"{seconds:.0f}" for seconds, nats in curve if nats <= goal)
    return next(times, "not reached")


def table(curves: dict[str, Curve]) -> Iterator[str]:
    yield "| " + " | ".join(["", *(f"{goal:.2f} nats, s" for goal in GOALS), "last"]) + " |"
    yield "|---|" + "--:|" * (len(GOALS) + 1)
    for side, curve in curves.items():
        seconds, nats = curve[-1]
        cells = [SIDES[side], *(reached(curve, goal) for goal in GOALS)]
        yield f"| {' | '.join(cells)} | {nats:.4f} after {seconds:.0f} s |"


def draw(curves: dict[str, Curve], target: Path) -> None:
    try:
        from matplotlib import pyplot
    except ImportError:
        print("no picture: install matplotlib", file=sys.stderr)
        return
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for side, curve in curves.items():
        axes.plot(*zip(*curve, strict=True), label=SIDES[side], marker=".")
    axes.set(xlabel="seconds", ylabel="nats a character, whole validation part", ylim=(1.4, 2.0))
    axes.legend()
    figure.tight_layout()
    figure.savefig(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument(
        "--seconds", type=float, default=240.0, help="of a side in PyTorch, at most"
    )
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--sides", default=",".join(SIDES))
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    peer_python()
    text = options.text.resolve()
    file = HERE / "time_to_loss" / f"{processor.slug()}.json"
    curves = measured_before(file, options.cores)
    for side in options.sides.split(","):
        curves[side] = ours(text) if side == "ours" else peers(side, text, options)
    curves = {side: curves[side] for side in SIDES if side in curves}
    print(f"{processor.named()}; {options.cores} cores\n")
    print("\n".join(table(curves)))
    kept = {"machine": processor.named(), "cores": options.cores, "curves": curves}
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    draw(curves, file.with_suffix(".svg"))


if __name__ == "__main__":
    main()
