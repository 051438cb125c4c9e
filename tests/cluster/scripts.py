"""The scripts of examples/ and README.md, unmodified, in the queue of a small Slurm."""

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cases import Case, expect
from checkout import CONFIG, Checkout, after_make_install, after_pip_install
from slurm import Job, Slurm

# Slurm looks at time limits twice a minute, so the signal comes 30 to 60 seconds after the start.
SHORT = ("--time=2", "--signal=TERM@30")
ENDLESS = 100_000_000


@dataclass(frozen=True)
class Script:
    """``options`` make it fit a small Slurm; ``run`` is the folder where it trains."""

    name: str
    run: str
    options: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


MPI = Script("examples/slurm-mpi.sh", "runs/slurm", ("--ntasks-per-node=1",), (CONFIG,))
ARRAY = Script("examples/slurm-array.sh", "runs/array/h64", ("--array=0",))
README = Script("README.md", "runs/quickstart")


@dataclass(frozen=True)
class Submitted:
    """A job in the queue, and what it has written so far."""

    slurm: Slurm
    number: str
    checkout: Checkout
    script: Script

    def wait(self, until: Callable[[Job], bool], seconds: float) -> Job:
        return self.slurm.wait(self.number, until, seconds)

    def cancel(self) -> Job:
        return self.slurm.cancel(self.number)

    def newest(self) -> int:
        """The step of its newest checkpoint, -1 if there is none."""
        return max(self.checkout.steps(self.script.run), default=-1)

    def reports(self) -> int:
        return self.checkout.reports(self.script.run)

    def told(self) -> str:
        """Its state and the end of its log, to be read when something is not as it must be."""
        job, log = self.slurm.job(self.number), "no log"
        with suppress(FileNotFoundError):
            log = (self.checkout.folder / "slurm.log").read_text(errors="replace")
        return f"{state(job)}: " + " | ".join(line[-160:] for line in log.splitlines()[-6:])


def state(job: Job) -> str:
    return f"{job['JobState']}, Restarts={job['Restarts']}, ExitCode={job['ExitCode']}"


@dataclass(frozen=True)
class Users:
    """They check out or install, and submit a script."""

    slurm: Slurm
    folder: Path
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def prepare(
        self, steps: int, every: int, make: Callable[[Path], Checkout] = after_make_install
    ) -> Checkout:
        checkout = make(self.folder / f"user-{next(self.numbers)}")
        checkout.write_config(steps, every)
        return checkout

    def submit(self, checkout: Checkout, script: Script, *options: str) -> Submitted:
        log = f"--output={checkout.folder}/slurm.log"
        command = (*script.options, *options, log, _file(checkout, script), *script.arguments)
        number = self.slurm.submit(checkout.folder, *command, path=checkout.path)
        return Submitted(self.slurm, number, checkout, script)


def _file(checkout: Checkout, script: Script) -> str:
    """README's is cut out of it, as a reader would."""
    if script is not README:
        return script.name
    text = (checkout.folder / script.name).read_text()
    found = re.search(r"^(#!/bin/bash\n#SBATCH.*?)^```$", text, re.DOTALL | re.MULTILINE)
    expect(found is not None, "README.md has no script for Slurm")
    (checkout.folder / "single.sh").write_text(found[1])
    return "single.sh"


def finishes(users: Users, script: Script, make: Callable[[Path], Checkout]) -> str:
    job = users.submit(users.prepare(200, 0, make), script)
    ended = job.wait(lambda _: False, seconds=120)
    expect((ended["JobState"], ended["Restarts"]) == ("COMPLETED", "0"), job.told())
    expect(job.newest() == 200, f"its newest checkpoint is of step {job.newest()}")
    return f"{state(ended)}, 200 steps"


def reaches_its_limit(users: Users, script: Script) -> str:
    """Only the signal makes it save. It goes back into the queue, and on from there."""
    job = users.submit(users.prepare(ENDLESS, 0), script, *SHORT)
    again = job.wait(lambda now: now["Restarts"] == "1", seconds=150)
    expect(again["Restarts"] == "1", job.told())
    saved, reports = job.newest(), job.reports()
    expect(saved > 0, f"nothing saved: {job.told()}")
    job.wait(lambda _: job.reports() > reports, seconds=100)
    expect(job.reports() > reports, f"does not go on: {job.told()}")
    ended = job.cancel()
    expect(job.newest() > saved, f"did not go on from step {saved}: {job.told()}")
    return f"saved step {saved}, requeued, went on to {job.newest()}; {state(ended)}"


def has_no_text(users: Users, script: Script) -> str:
    checkout = users.prepare(ENDLESS, 0)
    checkout.remove_text()
    job = users.submit(checkout, script)
    ended = job.wait(lambda now: now["Restarts"] != "0", seconds=60)
    expect((ended["JobState"], ended["Restarts"]) == ("FAILED", "0"), job.told())
    expect("harbour.txt" in job.told(), f"no word of the text: {job.told()}")
    return state(ended)


def _training(users: Users, script: Script) -> Submitted:
    job = users.submit(users.prepare(ENDLESS, 0), script)
    job.wait(lambda _: job.reports() > 1, seconds=60)
    expect(job.reports() > 1, f"does not train: {job.told()}")
    return job


def is_cancelled(users: Users, script: Script) -> str:
    """What there is, is saved; the job does not come back."""
    job = _training(users, script)
    ended = job.cancel()
    expect((ended["JobState"], ended["Restarts"]) == ("CANCELLED", "0"), job.told())
    expect(job.newest() > 0, f"nothing saved: {job.told()}")
    return f"{state(ended)}, saved step {job.newest()}"


def is_requeued(users: Users, script: Script) -> str:
    """By somebody else, as at a preemption: it saves, and goes on later."""
    job = _training(users, script)
    users.slurm.run("scontrol", "requeue", job.number)
    job.wait(lambda now: now["JobState"] == "RUNNING" and now["Restarts"] == "1", seconds=60)
    saved, reports = job.newest(), job.reports()
    expect(saved > 0, f"nothing saved: {job.told()}")
    job.wait(lambda _: job.reports() > reports, seconds=60)
    ended = job.cancel()
    expect(job.newest() > saved, f"did not go on from step {saved}: {job.told()}")
    return f"saved step {saved}, went on to {job.newest()}; {state(ended)}"


MPIRUN = Script("mpirun.sh", "runs/mpirun")
MPIRUN_SCRIPT = """\
#!/bin/bash
#SBATCH --nodes=2 --ntasks-per-node=1 --time=2 --signal=B:USR1@30
. .venv/bin/activate
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec mpirun charlstm train configs/quickstart.yaml --out runs/mpirun --resume
"""


def mpirun_in_a_script(users: Users) -> str:
    """As docs/scaling.md advises: the signal makes it save, and it goes on to its limit."""
    checkout = users.prepare(ENDLESS, 0)
    (checkout.folder / MPIRUN.name).write_text(MPIRUN_SCRIPT)
    job = users.submit(checkout, MPIRUN)
    job.wait(lambda _: job.newest() > 0, seconds=120)
    expect(job.newest() > 0, f"nothing saved: {job.told()}")
    reports = job.reports()
    job.wait(lambda _: job.reports() > reports, seconds=30)
    expect(job.reports() > reports, f"does not go on: {job.told()}")
    return f"saved step {job.newest()} and went on; {state(job.cancel())}"


def cases(users: Users) -> Iterator[Case]:
    for script in (MPI, ARRAY, README):
        yield Case(f"{script.name}: missing text", partial(has_no_text, users, script))
        for make in (after_make_install, after_pip_install):
            name = f"{script.name}: {make.__name__.replace('_', ' ')}"
            yield Case(name, partial(finishes, users, script, make))
        yield Case(f"{script.name}: time limit", partial(reaches_its_limit, users, script))
        yield Case(f"{script.name}: scancel", partial(is_cancelled, users, script))
    yield Case(f"{MPI.name}: scontrol requeue", partial(is_requeued, users, MPI))
    yield Case("mpirun in a script, USR1", partial(mpirun_in_a_script, users))
