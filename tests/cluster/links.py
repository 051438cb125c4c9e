"""How long an exchange of gradients takes over links of a known speed, against the formula."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median

from cases import Case, expect
from checkout import ROOT
from hosts import Host, MissingError
from ranks import PYTHON, Hosts, said

PARAMETERS = {"2 x 128": 239_297, "2 x 512": 3_316_289}
ON_THE_WIRE = 1514 / 1448  # a full Ethernet frame, with its headers, to what it carries
LATENCIES, MESSAGE = 3, 0.015  # ways of a step; milliseconds of a core
WINDOW = 3e6  # bytes that Linux lets be under way, unless told otherwise
AT_MOST = 1.3


def formula(parameters: int, ranks: int, megabits: int, delay: float) -> float:
    """Milliseconds: that of docs/scaling.md."""
    bits = 2 * 32 * parameters * (ranks - 1) / ranks
    long = delay and 4 * parameters / ranks > WINDOW
    window = 8 * WINDOW / (2e3 * delay) if long else megabits
    across = ON_THE_WIRE * bits / (1e3 * min(megabits, window))
    return across + 2 * (ranks - 1) * MESSAGE + LATENCIES * delay


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
def links_of(hosts: list[Host], megabits: int, delay: float) -> Iterator[None]:
    """``delay``: milliseconds each way, between the last host and the others."""
    for host in hosts:
        host.limit(megabits)
    try:
        with hosts[-1].far_away(delay) if delay else nullcontext():
            yield
    finally:
        for host in hosts:
            host.unlimited()


def exchange(hosts: Hosts, ranks: int, model: str, megabits: int, delay: float) -> str:
    busy = busy_share()
    parameters = PARAMETERS[model]
    expected = formula(parameters, ranks, megabits, delay)
    times = max(3, min(40, int(6000 / expected)))
    checkout = hosts.prepare(f"exchange-{ranks}-{parameters}-{megabits}-{delay}", 1, 0)
    program = (PYTHON, ROOT / "tests/cluster/exchange.py", parameters, times)
    with (
        links_of(list(hosts.slurm.hosts[:ranks]), megabits, delay),
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
    near = [(ranks, speed, 0) for speed in (100, 1000) for ranks in (2, 4)]
    for ranks, megabits, delay in (*near, (2, 1000, 1), (2, 1000, 25)):
        for model in PARAMETERS:
            name = f"exchange: {model}, {ranks} ranks, {megabits} Mbit/s, {delay} ms"
            yield Case(name, partial(exchange, hosts, ranks, model, megabits, delay))
