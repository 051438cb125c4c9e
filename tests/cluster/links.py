"""How long an exchange of gradients takes over links of a known speed, against the formula."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from cases import Case, expect
from checkout import ROOT
from hosts import Host, MissingError
from ranks import PYTHON, Hosts, said

PARAMETERS = {"2 x 128": 239_297, "2 x 512": 3_316_289}
ON_THE_WIRE = 1514 / 1448  # a full Ethernet frame, with its headers, to what it carries
AT_MOST = 1.3


def formula(parameters: int, ranks: int, megabits: int) -> float:
    """Milliseconds: that of docs/scaling.md, without delay."""
    bits = 2 * 32 * parameters * (ranks - 1) / ranks
    return ON_THE_WIRE * bits / (1e3 * megabits)


def busy_share() -> float:
    """Of all cores, during a second in which nothing of ours runs."""

    def idle_and_all() -> tuple[int, int]:
        ticks = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        return ticks[3], sum(ticks[:8])

    before = idle_and_all()
    time.sleep(1)
    idle, ticks = (now - then for now, then in zip(idle_and_all(), before, strict=True))
    return 1 - idle / ticks


@contextmanager
def limited(hosts: list[Host], megabits: int) -> Iterator[None]:
    for host in hosts:
        host.limit(megabits)
    try:
        yield
    finally:
        for host in hosts:
            host.unlimited()


def exchange(hosts: Hosts, ranks: int, model: str, megabits: int) -> str:
    busy = busy_share()
    parameters = PARAMETERS[model]
    expected = formula(parameters, ranks, megabits)
    times = max(3, min(40, int(6000 / expected)))
    checkout = hosts.prepare(f"exchange-{ranks}-{parameters}-{megabits}", 1, 0)
    program = (PYTHON, ROOT / "tests/cluster/exchange.py", parameters, times)
    with (
        limited(list(hosts.slurm.hosts[:ranks]), megabits),
        hosts.srun(checkout, f"-N{ranks} -n{ranks} --mpi=pmix --quiet", *program) as step,
    ):
        expect(step.wait(timeout=200) == 0, said(checkout))
    pieces, library = json.loads(said(checkout).split(" | ")[-1])
    ratio = median(pieces) / expected
    found = (
        f"{median(pieces):.1f} ms (least {min(pieces):.1f}), {ratio:.2f} of the formula's"
        f" {expected:.1f}; the library {median(library):.1f} (least {min(library):.1f})"
    )
    if busy > 0.2:
        raise MissingError(f"not judged, others use {busy:.0%} of the cores: {found}")
    expect(ratio <= AT_MOST, found)
    return found


def cases(hosts: Hosts) -> Iterator[Case]:
    for megabits in (100, 1000):
        for ranks in (2, 4):
            for model in PARAMETERS:
                name = f"exchange: {model}, {ranks} ranks, {megabits} Mbit/s"
                yield Case(name, partial(exchange, hosts, ranks, model, megabits))
