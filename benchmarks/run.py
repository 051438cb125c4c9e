"""``make bench``: both sides in turn, A B A B, and the ratio of each pair.

    python benchmarks/run.py [--rounds 7] [--cores 2] [--only "B 50 T 50 H 128 L 2"]

Installs PyTorch's CPU build into ``.venv-peer`` the first time. Prints the tables of this
processor, keeps them in a file of its own in ``benchmarks/results``, and writes those of all
processors into ``benchmarks/README.md``. Where matplotlib is installed, it draws
``benchmarks/ratios.svg``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import processor
import tables
from shapes import SHAPES, Shape

HERE = Path(__file__).parent
PEER = HERE.parent / ".venv-peer"
PEER_PACKAGE = "torch==2.13.0"
SECONDS_A_TURN = 1.5


class Side:
    """A process that trains or samples when it is told to (see ``serve``)."""

    def __init__(self, python: Path, script: str, cores: int, **environment: str) -> None:
        own = {"BENCH_CORES": str(cores), "OMP_NUM_THREADS": str(cores), **environment}
        if script == "ours.py":
            del own["OMP_NUM_THREADS"]
        self._process = subprocess.Popen(
            [str(python), str(HERE / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | own,
        )

    def ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"the other side ended: exit code {self._process.wait()}")
        return json.loads(answer)

    def end(self) -> int:
        """Close it; returns its peak resident memory in MB (all its processes' largest)."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        _, _, usage = os.wait4(self._process.pid, 0)
        return usage.ru_maxrss // 1024


def peer_python() -> Path:
    python = PEER / "bin" / "python"
    if not python.exists():
        print(f"installing {PEER_PACKAGE} into {PEER.name} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(PEER)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", PEER_PACKAGE, "numpy"]
        subprocess.run(install, check=True)
    return python


def product_limit(cores: int) -> float:
    """GFLOP/s of a plain float32 product on all cores, in a fresh process: the best of ten."""
    code = (
        "import numpy as np, time\n"
        "a = np.random.default_rng(1).random((2048, 2048), dtype=np.float32)\n"
        "best = 1e9\n"
        "for _ in range(10):\n"
        "    t = time.perf_counter(); a @ a; best = min(best, time.perf_counter() - t)\n"
        "print(2 * 2048**3 / best / 1e9)\n"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": str(cores)}
    output = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return float(output.stdout)


def compare_training(shape: Shape, rounds: int, cores: int) -> dict[str, Any]:
    ours = Side(Path(sys.executable), "ours.py", cores)
    peer = Side(peer_python(), "peer.py", cores)
    words = f"train {shape.B} {shape.T} {shape.H} {shape.L}"
    turns: dict[Side, list[float]] = {ours: [], peer: []}
    steps = {}
    for side in (ours, peer):
        side.ask(words)
        warm = side.ask("steps 2")[-1]
        steps[side] = max(2, min(200, round(1e3 * SECONDS_A_TURN / warm)))
        time.sleep(0.3)
    for _ in range(rounds):
        for side in (ours, peer):
            turns[side].append(statistics.median(side.ask(f"steps {steps[side]}")))
            time.sleep(0.3)  # threads that still spin after their work would slow the other side
    ratios = [theirs / own for own, theirs in zip(turns[ours], turns[peer], strict=True)]
    memory = {"ours_mb": ours.end(), "peer_mb": peer.end()}
    own, theirs = (statistics.median(turns[side]) for side in (ours, peer))
    return {
        "shape": shape.name,
        "ours_ms": own,
        "peer_ms": theirs,
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "chars_per_second": shape.B * shape.T / own * 1e3,
        **memory,
    }


def compare_sampling(count: int, rounds: int, cores: int) -> dict[str, Any]:
    ours = Side(Path(sys.executable), "ours.py", cores)
    peer = Side(peer_python(), "peer.py", cores)
    pairs = []
    for _ in range(rounds):
        pairs.append((ours.ask(f"sample {count} 1000"), peer.ask(f"sample {count} 1000")))
        time.sleep(0.3)
    ours.end()
    peer.end()
    return {
        "texts": count,
        "ours_us": statistics.median(own for own, _ in pairs),
        "peer_us": statistics.median(theirs for _, theirs in pairs),
        "ratio": statistics.median(theirs / own for own, theirs in pairs),
    }


def start_up(rounds: int) -> dict[str, float]:
    """Median milliseconds of whole processes."""
    commands = {
        "bare Python": [sys.executable, "-c", "pass"],
        "import charlstm": [sys.executable, "-c", "import charlstm"],
        "charlstm --help": [sys.executable, "-m", "charlstm", "--help"],
        "import torch": [str(peer_python()), "-c", "import torch"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def growth(cores: int) -> dict[str, list[tuple[int, float]]]:
    """Median milliseconds of our step as one number of the first shape grows; ``N``: characters of
    text, 100 steps of them unless it is N that grows.
    """
    base = SHAPES[0]
    N = 100 * base.B * base.T
    series = {
        "H": [64, 128, 256, 512],
        "T": [25, 50, 100, 200],
        "B": [16, 32, 64, 128],
        "L": [1, 2, 3, 4],
        "N": [N, 10 * N, 100 * N, 1000 * N],
    }
    grown: dict[str, list[tuple[int, float]]] = {}
    for letter, values in series.items():
        grown[letter] = []
        for value in values:
            sizes = base._asdict() | {letter: value}
            side = Side(Path(sys.executable), "ours.py", cores)
            side.ask("train " + " ".join(str(sizes.get(name, 0)) for name in "BTHLN"))
            side.ask("steps 3")
            grown[letter].append((value, statistics.median(side.ask("steps 15"))))
            side.end()
    return grown


def draw(results: dict[str, Any], target: Path) -> None:
    try:
        from matplotlib import pyplot
    except ImportError:
        print("no picture: install matplotlib", file=sys.stderr)
        return
    rows = results["training"]
    figure, axes = pyplot.subplots(figsize=(7, 3))
    axes.barh([row["shape"] for row in rows][::-1], [row["ratio"] for row in rows][::-1])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xlabel("PyTorch's time / ours, per training step (above 1: charlstm is faster)")
    figure.tight_layout()
    figure.savefig(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--only", help="one shape, by name")
    options = parser.parse_args()
    available = sorted(os.sched_getaffinity(0))
    if len(available) > options.cores:
        os.sched_setaffinity(0, available[: options.cores])
    peer_python()
    shapes = [shape for shape in SHAPES if options.only in (None, shape.name)]
    results: dict[str, Any] = {
        "machine": processor.named(),
        "date": datetime.now(UTC).date().isoformat(),
        "cores": options.cores,
        "product_gflops": product_limit(options.cores),
        "shapes": [{"name": shape.name, "flops": shape.flops} for shape in shapes],
        "training": [],
    }
    for shape in shapes:
        row = compare_training(shape, options.rounds, options.cores)
        results["training"].append(row)
        print(f"{shape.name}: ratio {row['ratio']:.2f}", file=sys.stderr)
    results["sampling"] = [compare_sampling(n, options.rounds, options.cores) for n in (1, 64)]
    results["start_up_ms"] = start_up(options.rounds)
    results["growth"] = {} if options.only else growth(options.cores)
    print("\n".join(tables.of(results)))
    if options.only is None:
        tables.keep(results, processor.slug())
        draw(results, HERE / "ratios.svg")


if __name__ == "__main__":
    main()
