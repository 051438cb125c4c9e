"""Long texts and many ranks, measured: the figures of docs/scaling.md.

python benchmarks/scaling.py corpus TEXT     2 GB made of TEXT: encoding, memory, first step
python benchmarks/scaling.py ranks TEXT      MPI ranks against local workers, on two cores
python benchmarks/scaling.py simulate        the cost model for 1 to 512 ranks
"""

import argparse
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from charlstm.saved.history import read_history

LINES_AT_A_TIME = 40  # longer than what a model sees at once, so that permuted text stays text


# A long text


def make_long_text(source: Path, size: int, target: Path) -> None:
    """Passages of ``source`` in a random order, again and again, ``size`` bytes in all."""
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    passages = [
        "".join(lines[start : start + LINES_AT_A_TIME]).encode()
        for start in range(0, len(lines), LINES_AT_A_TIME)
    ]
    order = random.Random(1)
    with target.open("wb") as file:
        while file.tell() < size:
            order.shuffle(passages)
            file.write(b"".join(passages))


@dataclass(frozen=True)
class Run:
    """A training as seen from outside: seconds until its first step, bytes, median of its steps."""

    first_step: float
    peak_resident: int
    milliseconds: float


def train(config: Path, out: Path, *settings: str, launcher: tuple[str, ...] = ()) -> Run:
    """Run ``charlstm train`` in a process of its own and watch it."""
    command = [*launcher, sys.executable, "-m", "charlstm", "train", str(config), *settings]
    command += ["--out", str(out), "--overwrite"]
    started, first_step, said = time.perf_counter(), math.nan, []
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step ") and math.isnan(first_step):
            first_step = time.perf_counter() - started
        said.append(line)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(" ".join(command) + "\n" + "".join(said))
    training = yaml.safe_load((out / "config.yaml").read_text())["training"]
    characters = training["batch_size"] * training["sequence_length"]
    speeds = read_history(out / "metrics.jsonl").finite("chars_per_second")
    milliseconds = statistics.median(1e3 * characters / speed for speed in speeds[1:])
    return Run(first_step, usage.ru_maxrss * 1024, milliseconds)


def write_config(path: Path, text: Path, **training: int | str) -> Path:
    config = {
        "data": {"files": [str(text)], "validation_fraction": 0.0},
        "model": {"hidden_size": 128, "layers": 2, "embedding_size": 0, "dropout": 0},
        "training": {"batch_size": 50, "sequence_length": 50, "steps": 200, **training},
        "output": {"report_every": 1, "checkpoint_every": 0},
    }
    path.write_text(yaml.safe_dump(config))
    return path


def corpus(text: Path, size: int, folder: Path, repeats: int) -> None:
    """Encoding, memory, the first step and the cost of a step, of 1 MB and of ``size`` bytes."""
    long, short = folder / "long.txt", folder / "short.txt"
    make_long_text(text, size, long)
    make_long_text(text, 1_000_000, short)
    long_config = write_config(folder / "long.yaml", long)
    short_config = write_config(folder / "short.yaml", short)
    baseline = train(short_config, folder / "runs" / "short")
    first = train(long_config, folder / "runs" / "long")
    megabytes = long.stat().st_size / 1e6
    print(f"text                    {megabytes:,.0f} MB")
    print(
        f"encoding                {megabytes / (first.first_step - baseline.first_step):,.0f} MB/s"
    )
    print(f"peak, 1 MB of text      {baseline.peak_resident / 1e6:,.0f} MB")
    print(f"peak, encoding it all   {first.peak_resident / 1e6:,.0f} MB")
    pairs = [
        (
            train(short_config, folder / "runs" / "short"),
            train(long_config, folder / "runs" / "long"),
        )
        for _ in range(repeats)
    ]
    print(f"peak, cached            {max(b.peak_resident for _, b in pairs) / 1e6:,.0f} MB")
    first_steps = [
        statistics.median(run.first_step for run in side) for side in zip(*pairs, strict=True)
    ]
    print("first step              {:.2f} s for 1 MB, {:.2f} s for all of it".format(*first_steps))
    steps = [
        statistics.median(run.milliseconds for run in side) for side in zip(*pairs, strict=True)
    ]
    print("a step                  {:.1f} ms for 1 MB, {:.1f} ms for all of it".format(*steps))
    ratio = statistics.median(b.milliseconds / a.milliseconds for a, b in pairs)
    print(f"                        ratio of the pairs {ratio:.2f}")


# Ranks

LENIENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_mpi_yield_when_idle": "1",
}


Shapes = tuple[tuple[int, int, int], ...]  # hidden units, batch, steps to measure


def ranks(
    text: Path, folder: Path, repeats: int, shapes: Shapes = ((128, 50, 100), (512, 100, 12))
) -> None:
    """One process, two local workers and two MPI ranks in turn, all on the cores 0 and 1."""
    os.environ.update(LENIENT)
    on_two_cores = ("taskset", "-c", "0,1")
    sides = {
        "1 process": (on_two_cores, "training.workers=1"),
        "2 workers": (on_two_cores, "training.workers=2"),
        "2 ranks": ((*on_two_cores, "mpirun", "-n", "2"), "training.workers=1"),
    }
    for hidden, batch, steps in shapes:
        config = write_config(folder / "c.yaml", text, batch_size=batch, steps=steps)
        found: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(repeats):
            for name, (launcher, workers) in sides.items():
                settings = (workers, f"model.hidden_size={hidden}")
                run = train(config, folder / "runs" / "ranks", *settings, launcher=launcher)
                found[name].append(run.milliseconds)
        print(f"2 x {hidden}, batch of {batch} x 50: median ms a step, quickest median of a run")
        for name, times in found.items():
            print(f"  {name:12}{statistics.median(times):8.1f}{min(times):8.1f}")
        pairs = zip(found["2 workers"], found["2 ranks"], strict=True)
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        print(f"  workers / ranks, median of the pairs: {ratio:.2f}")


# The cost model


@dataclass(frozen=True)
class Model:
    """A model, its batch, and what its step costs on one core: ``fixed + per_lane * lanes``."""

    name: str
    parameters: int
    batch: int
    length: int
    fixed: float
    per_lane: float
    spread: float

    def compute(self, lanes: float) -> float:
        return self.fixed + self.per_lane * lanes


@dataclass(frozen=True)
class Network:
    """One rank's link: bytes a second, seconds one way, seconds that a core needs for a message."""

    name: str
    bandwidth: float
    latency: float
    message: float

    def all_reduce(self, parameters: int, ranks: int) -> float:
        """Two exchanges in which each rank sends (R - 1) / R of a vector, in R - 1 messages.

        They arrive together: the way counts twice, and once more for what TCP has to learn of it.
        """
        share = (ranks - 1) / ranks
        messages = (ranks - 1) * self.message
        return 2 * (share * 4 * parameters / self.bandwidth + messages) + 3 * self.latency


NETWORKS = (
    Network("1 Gbit/s Ethernet", 0.117e9, 50e-6, 15e-6),
    Network("10 Gbit/s Ethernet", 1.17e9, 20e-6, 15e-6),
    Network("100 Gbit/s InfiniBand", 12e9, 2e-6, 4e-6),
)
SHAPES = ((128, 2, 50, 50), (512, 2, 100, 50), (1024, 1, 128, 128))  # H, layers, B, T


def measure(text: Path, hidden: int, layers: int, batch: int, length: int) -> Model:
    """Times of a step with a few, more and all lanes, on one core, and the line through them."""
    import numpy as np

    from charlstm.config.reading import config_from_dict
    from charlstm.system.comm import Alone
    from charlstm.training.dataset import read_dataset
    from charlstm.training.setup import prepare
    from charlstm.training.trainer import Requests

    times, spreads = {}, []
    for lanes in (batch // 16, batch // 4, batch):
        config = config_from_dict(
            {
                "data": {"files": [str(text)]},
                "model": {"hidden_size": hidden, "layers": layers, "embedding_size": 0},
                "training": {"batch_size": lanes, "sequence_length": length},
            },
            "scaling",
        )
        trainer, _ = prepare(read_dataset(config), Alone(), None)
        samples = []
        started = time.perf_counter()
        while len(samples) < 5 or (time.perf_counter() - started < 3 and len(samples) < 200):
            before = time.perf_counter()
            trainer.step(Requests())
            samples.append(time.perf_counter() - before)
        quarters = statistics.quantiles(samples[1:], n=4)
        times[lanes] = quarters[0]  # what else runs on the machine can only slow a step down
        spreads.append((quarters[2] - quarters[0]) / 1.35 / times[lanes])
    per_lane, fixed = np.polyfit(list(times), list(times.values()), 1)
    if fixed < 0:
        fixed, per_lane = 0.0, times[batch] / batch
    name = f"{layers} x {hidden}, batch of {batch} x {length}"
    parameters = trainer.model.values.size
    return Model(name, parameters, batch, length, fixed, per_lane, min(spreads))


def simulated_step(model: Model, network: Network, ranks: int, batch: int, seed: int = 1) -> float:
    """Mean seconds of a step: everybody waits for the rank with the most lanes and worst luck."""
    luck = random.Random(seed)
    lanes = math.ceil(batch / ranks)
    slowest = [
        max(model.compute(lanes) * math.exp(model.spread * luck.gauss(0, 1)) for _ in range(ranks))
        for _ in range(100)
    ]
    return statistics.fmean(slowest) + network.all_reduce(model.parameters, ranks)


def simulate(text: Path) -> None:
    """Speed against one core, for the same batch cut smaller and for batches that grow."""
    counts = [2**power for power in range(10)]
    for shape in SHAPES:
        model = measure(text, *shape)
        print(
            f"\n{model.name}: {model.parameters:,} parameters;"
            f" {1e3 * model.fixed:.1f} + {1e3 * model.per_lane:.2f} ms a lane,"
            f" spread {model.spread:.0%}; {12 * model.parameters / 1e6:.0f} MB a checkpoint"
        )
        print(f"{'ranks':36}" + "".join(f"{count:7}" for count in counts))
        one = model.compute(model.batch)
        for network in NETWORKS:
            same = [
                one / simulated_step(model, network, count, model.batch)
                if count <= model.batch
                else math.nan
                for count in counts
            ]
            growing = [
                count * one / simulated_step(model, network, count, model.batch * count)
                for count in counts
            ]
            for what, speeds in (("same batch", same), ("batch x ranks", growing)):
                print(f"{network.name:22}{what:14}" + "".join(map(_cell, speeds)))


def _cell(speed: float) -> str:
    return "      -" if math.isnan(speed) else f"{speed:7.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["corpus", "ranks", "simulate"])
    parser.add_argument("text", type=Path)
    parser.add_argument("--size", type=float, default=2e9, help="bytes of text, for corpus")
    parser.add_argument("--folder", type=Path, help="where to work [a temporary folder]")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    text = options.text.resolve()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="charlstm-scaling-") as name:
        if options.what == "corpus":
            corpus(text, int(options.size), Path(name), options.repeats)
        elif options.what == "ranks":
            ranks(text, Path(name), options.repeats)
        else:
            simulate(text)


if __name__ == "__main__":
    os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1"))
    main()
