"""Ranks on several hosts: the same numbers, a rank that dies, a link that goes down or is slow."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cases import Case, expect
from checkout import CONFIG, ENVIRONMENT, Checkout, after_make_install
from hosts import Host
from slurm import Slurm

PYTHON = ENVIRONMENT / "bin" / "python"
TRAIN = (PYTHON, "-m", "charlstm", "train", CONFIG, "--resume", "--out", "run")
ENDLESS = 100_000_000
SHARING = {"OMPI_MCA_mpi_yield_when_idle": "1"}  # hosts are many and cores few


def wait_until(condition: Callable[[], bool], seconds: float) -> float | None:
    """How long it took; None if it did not come about."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            return None
        time.sleep(0.2)
    return time.monotonic() - started


@dataclass(frozen=True)
class Hosts:
    """The first ones of a Slurm, and a folder that all of them see."""

    slurm: Slurm
    folder: Path

    def prepare(self, name: str, steps: int, every: int) -> Checkout:
        checkout = after_make_install(self.folder / name)
        checkout.write_config(steps, every)
        return checkout

    @contextmanager
    def srun(
        self, checkout: Checkout, options: str, *command: object
    ) -> "Iterator[subprocess.Popen[str]]":
        """Started from the first host, what it says in srun.log; ended at the end."""
        with (checkout.folder / "srun.log").open("w") as log:
            step = self.slurm.hosts[0].start(
                *("srun", "--job-name=ranks", *options.split(), *command),
                folder=checkout.folder,
                env=self.slurm.environment() | SHARING,
                stdout=log,
                stderr=log,
            )
            try:
                yield step
            finally:
                for host in self.slurm.hosts:
                    host.set_link("up")
                self.slurm.run("scancel", "--quiet", "--name=ranks")
                wait_until(lambda: not self.slurm.run("squeue", "--noheader"), 40)
                for host in self.slurm.hosts:
                    host.run("pkill", "-KILL", "-f", "charlstm train", check=False)

    def trains(self, checkout: Checkout) -> None:
        started = wait_until(lambda: checkout.reports("run") > 2, 90)
        expect(started is not None, f"does not train: {said(checkout)}")


def said(checkout: Checkout) -> str:
    lines = (checkout.folder / "srun.log").read_text(errors="replace").splitlines()
    return " | ".join(line for line in lines if line.strip())


def trainers(host: Host) -> list[str]:
    return [line for line in host.processes() if "charlstm train" in line and "srun" not in line]


def results(checkout: Checkout) -> tuple[list[float], bytes]:
    """All losses, and the bytes of all numbers of the newest checkpoint."""
    from safetensors.numpy import load_file

    lines = (checkout.folder / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [report["train_loss"] for report in map(json.loads, lines) if "train_loss" in report]
    newest = max((checkout.folder / "run" / "checkpoints").glob("step-*"))
    arrays = load_file(newest)
    return losses, b"".join(arrays[name].tobytes() for name in sorted(arrays))


def locally(checkout: Checkout, workers: int) -> None:
    command = [*map(str, TRAIN), "--quiet", f"training.workers={workers}"]
    subprocess.run(command, cwd=checkout.folder, check=True, stdout=subprocess.DEVNULL)


def same_bits(hosts: Hosts, nodes: int, ranks: int) -> str:
    name = f"bits-{nodes}-{ranks}"
    apart, local = hosts.prepare(name, 100, 0), hosts.prepare(f"{name}-local", 100, 0)
    locally(local, ranks)
    with hosts.srun(apart, f"-N{nodes} -n{ranks} --mpi=pmix", *TRAIN) as step:
        expect(step.wait(timeout=200) == 0, said(apart))
    expect(results(apart) == results(local), "other numbers than with local workers")
    return f"the losses and weights of 100 steps are those of {ranks} local workers"


def same_bits_over_a_poor_link(hosts: Hosts, lost: float) -> str:
    with hosts.slurm.hosts[1].far_away(1, lost):
        return same_bits(hosts, 2, 2)


def dead_rank(hosts: Hosts) -> str:
    """Killed on the other host: nobody is left on any, and what was saved is whole."""
    checkout = hosts.prepare("dead-rank", ENDLESS, 20)
    with hosts.srun(checkout, "-N2 -n4 --mpi=pmix --kill-on-bad-exit=1", *TRAIN) as step:
        hosts.trains(checkout)
        here, there = hosts.slurm.hosts[:2]
        there.run("pkill", "-KILL", "--oldest", "-f", "charlstm train")
        ended = wait_until(lambda: step.poll() is not None, 60)
        expect(ended is not None, f"srun does not end: {said(checkout)}")
        gone = wait_until(lambda: not trainers(here) + trainers(there), 30)
        expect(gone is not None, f"left: {trainers(here)} and {trainers(there)}")
    info = [*map(str, TRAIN[:3]), "info", "run"]
    subprocess.run(info, cwd=checkout.folder, check=True, stdout=subprocess.DEVNULL)
    return f"srun ended with {step.returncode} after {ended:.0f} s, nobody left, last save is whole"


def dead_link(hosts: Hosts) -> str:
    """For good: rank 0 says which rank it misses, ends, and leaves nobody on its host."""
    checkout = hosts.prepare("dead-link", ENDLESS, 20)
    limited = (*TRAIN, "training.rank_timeout=8")
    with hosts.srun(checkout, "-N2 -n4 --mpi=pmix --kill-on-bad-exit=1", *limited) as step:
        hosts.trains(checkout)
        here, there = hosts.slurm.hosts[:2]
        there.set_link("down")
        told = wait_until(lambda: "has not been heard of" in said(checkout), 40)
        expect(told is not None, f"says nothing: {said(checkout)}")
        gone = wait_until(lambda: not trainers(here), 60)
        expect(gone is not None, f"left on its host: {trainers(here)}: {said(checkout)}")
        ended = wait_until(lambda: step.poll() is not None, 60)
        left = len(trainers(there))
        there.set_link("up")
        freed = wait_until(lambda: not trainers(there), 60)
    rank = re.search(r"rank (\d) on n2 has not been heard of for 8 seconds", said(checkout))
    expect(rank is not None, f"names another: {said(checkout)}")
    kept = re.search(r"The last saved step is ([\d,]+)", said(checkout))
    saved = int(kept[1].replace(",", "")) if kept else None
    expect(saved == checkout.steps("run")[-1], said(checkout))
    status = "srun waits on" if ended is None else f"srun ended with {step.returncode}"
    after = "stay" if freed is None else f"end {freed:.0f} s after the link is back"
    return (
        f"told after {told:.0f} s, nobody left here {gone:.0f} s later, {status};"
        f" the {left} on the other side {after}"
    )


def link_returns(hosts: Hosts) -> str:
    """Before the time is up: the training ends with the numbers of an undisturbed one."""
    checkout, local = hosts.prepare("link-returns", 400, 0), hosts.prepare("undisturbed", 400, 0)
    with hosts.srun(checkout, "-N2 -n2 --mpi=pmix", *TRAIN) as step:
        hosts.trains(checkout)
        hosts.slurm.hosts[1].set_link("down")
        time.sleep(6)
        before = checkout.reports("run")
        time.sleep(1)
        expect(checkout.reports("run") == before, "goes on without its link")
        hosts.slurm.hosts[1].set_link("up")
        expect(step.wait(timeout=120) == 0, said(checkout))
    locally(local, 2)
    expect(results(checkout) == results(local), "other numbers than undisturbed")
    return "7 s without link; then on, to the numbers of two local workers"


def alone_without_mpi4py(hosts: Hosts) -> str:
    checkout = hosts.prepare("alone", 20, 0)
    program = (
        "import sys; sys.modules['mpi4py'] = None; sys.argv[0] = 'charlstm'\n"
        "from charlstm.__main__ import main; main()"
    )
    command = (PYTHON, "-c", program, *TRAIN[3:])
    with hosts.srun(checkout, "-n1 --mpi=pmix", *command) as step:
        expect(step.wait(timeout=60) == 0, said(checkout))
    return "trains"


def two_without_mpi(hosts: Hosts) -> str:
    checkout = hosts.prepare("two-alone", 20, 0)
    with hosts.srun(checkout, "-n2 --mpi=none", *TRAIN) as step:
        step.wait(timeout=60)
    expect("each trains by itself" in said(checkout), said(checkout))
    return "each says that it trains by itself, and names --mpi"


def cases(hosts: Hosts) -> Iterator[Case]:
    yield Case("srun -n1 --mpi=pmix without mpi4py", partial(alone_without_mpi4py, hosts))
    yield Case("srun -n2 --mpi=none", partial(two_without_mpi, hosts))
    for nodes, ranks in ((2, 2), (2, 4), (4, 4)):
        yield Case(f"ranks: {ranks} on {nodes} hosts", partial(same_bits, hosts, nodes, ranks))
    poor = partial(same_bits_over_a_poor_link, hosts, 0.03)
    yield Case("ranks: 2 on 2 hosts, 3 % of all frames lost", poor)
    yield Case("ranks: one is killed", partial(dead_rank, hosts))
    yield Case("link: comes back", partial(link_returns, hosts))
    yield Case("link: stays down", partial(dead_link, hosts))
