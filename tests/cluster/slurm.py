"""A small Slurm over hosts made by `hosts`: its own munge, controller and a daemon on every host.

Nothing of a Slurm that this machine may already have is used or changed.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hosts import Host, MissingError

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
PACKAGES = "munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins libpmix-dev"
SBIN = "/usr/sbin"
MUNGE = ("--log-file=/run/munge/log", "--pid-file=/run/munge/pid", "--seed-file=/run/munge/seed")
Job = dict[str, str]
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}

# cred_expire: a job that goes back into the queue waits for so long before it starts again.
CONFIGURATION = """\
ClusterName=charlstm
SlurmctldHost={controller}
SlurmUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=5
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=10
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/spool-%n
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """Its commands run on the first host, as root, in the folder of the caller."""

    hosts: Sequence[Host]
    configuration: Path

    def run(self, *arguments: object, **options: Any) -> str:
        """What a command of Slurm printed. Raises `CalledProcessError`."""
        return self.hosts[0].run(*arguments, **{"env": self.environment()} | options)

    def environment(self) -> dict[str, str]:
        """As after logging in: without the environment of Python that this program runs in."""
        plain = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        home = os.environ.get("HOME", "/root")
        return {"HOME": home, "PATH": plain, "SLURM_CONF": str(self.configuration)}

    def submit(self, folder: Path, *arguments: object, path: str = "") -> str:
        """The number of the new job. ``path`` is where commands are looked for first."""
        environment = self.environment()
        environment["PATH"] = f"{path}:{environment['PATH']}".lstrip(":")
        return self.run("sbatch", "--parsable", *arguments, folder=folder, env=environment).strip()

    def job(self, number: str) -> Job:
        """What Slurm says of it, or of one task of an array: JobState, Restarts and more."""
        shown = self.run("scontrol", "--oneliner", "show", "job", number).splitlines()[-1]
        return dict(re.findall(r"(\w+)=(\S*)", shown))

    def wait(self, number: str, until: Callable[[Job], bool], seconds: float) -> Job:
        """The job once it is so; or as it is when it has ended, or when the time is up."""
        end = time.monotonic() + seconds
        while not until(job := self.job(number)):
            if job["JobState"] in ENDED or time.monotonic() > end:
                break
            time.sleep(0.3)
        return job

    def ended(self, number: str, seconds: float) -> Job:
        return self.wait(number, lambda job: False, seconds)

    def cancel(self, number: str) -> Job:
        self.run("scancel", "--quiet", number)
        return self.ended(number, seconds=40)


def _check_programs() -> None:
    path = f"{os.environ['PATH']}:{SBIN}"
    missing = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if missing:
        raise MissingError(f"no {', '.join(missing)}: apt-get install {PACKAGES}")


def _configure(hosts: Sequence[Host], folder: Path) -> Path:
    cores = os.cpu_count()
    nodes = [f"NodeName={h.name} NodeAddr={h.address} CPUs={cores} RealMemory=8000" for h in hosts]
    values = {"controller": f"{hosts[0].name}({hosts[0].address})", "nodes": "\n".join(nodes)}
    file = folder / "slurm.conf"
    file.write_text(CONFIGURATION.format(folder=folder, **values))
    return file


def _start_munge(host: Host, key: Path, log: IO[str]) -> None:
    """One for each host, for it takes a credential that comes again for a replayed one."""
    host.run("mkdir", "/run/munge")
    host.start(f"{SBIN}/munged", "--foreground", "--force", f"--key-file={key}", *MUNGE, stderr=log)


def _new_key(folder: Path) -> Path:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    return key


def started(hosts: Sequence[Host], folder: Path) -> Slurm:
    """A Slurm with idle nodes, until the hosts end. Raises `MissingError`."""
    _check_programs()
    slurm = Slurm(hosts, _configure(hosts, folder))
    key, log = _new_key(folder), (folder / "daemons.log").open("w")
    for host in hosts:
        _start_munge(host, key, log)
    options = {"env": slurm.environment(), "stderr": log}
    hosts[0].start(f"{SBIN}/slurmctld", "-D", **options)
    for host in hosts:
        host.start(f"{SBIN}/slurmd", "-D", **options)
    _wait_for_nodes(slurm)
    return slurm


def _wait_for_nodes(slurm: Slurm) -> None:
    states = ""
    for _ in range(60):
        with suppress(subprocess.CalledProcessError):
            states = slurm.run("sinfo", "-hN", "-o", "%T", stderr=subprocess.DEVNULL)
        if states.split() == ["idle"] * len(slurm.hosts):
            return
        time.sleep(0.5)
    log = (slurm.configuration.parent / "daemons.log").read_text()
    raise MissingError(f"no Slurm: the states of its nodes are {states.split()}: {log[-300:]}")
