"""Hosts on one machine: namespaces of their own for network, name and processes, on one switch.

Each host is what a process of its own, a `sleep`, holds: when that ends, the kernel ends all that
runs there and takes the network away. So nothing is left behind, even if this program is killed.
Traffic stays on the switch: it has no way out to the machine's own network.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AT_MOST = 2 * 3600  # seconds that a host lives
HELD = (
    *("setpriv", "--pdeathsig=KILL", "unshare", "--fork", "--kill-child"),
    *("--net", "--uts", "--ipc", "--mount", "--pid", "--mount-proc", "sleep", str(AT_MOST)),
)
OWN = {"/run": "755", "/tmp": "1777", "/dev/shm": "1777"}  # of each host; the rest is shared


class MissingError(Exception):
    """What this machine cannot do; the part that needs it is skipped."""


@dataclass(frozen=True)
class Host:
    """``holder`` is its first process, seen from outside; ``started`` is what else it runs."""

    name: str
    address: str
    holder: int
    switch: "Host | None" = None
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    def command(self, *arguments: object, folder: Path | None = None) -> list[str]:
        places = ("--net", "--uts", "--ipc", "--mount", "--pid", f"--wdns={folder or Path.cwd()}")
        return ["nsenter", f"--target={self.holder}", *places, "--", *map(str, arguments)]

    def run(
        self, *arguments: object, folder: Path | None = None, check: bool = True, **options: Any
    ) -> str:
        """What it printed. Raises `CalledProcessError` if it failed, unless not to ``check``."""
        command = self.command(*arguments, folder=folder)
        pipes = {"stdout": subprocess.PIPE, "text": True}
        return subprocess.run(command, check=check, timeout=60, **pipes | options).stdout

    def start(
        self, *arguments: object, folder: Path | None = None, **options: Any
    ) -> "subprocess.Popen[str]":
        """A process that ends with the host, if not before."""
        command = self.command(*arguments, folder=folder)
        self.started.append(subprocess.Popen(command, text=True, **options))
        return self.started[-1]

    def processes(self) -> list[str]:
        """The command lines in it, without the ended that nobody has asked after."""
        lines = self.run("ps", "-e", "-o", "stat=,args=").splitlines()
        return [line.split(None, 1)[1] for line in lines if not line.startswith("Z")]

    def limit(self, megabits: int) -> None:
        """What it sends passes at this rate, through a queue of 50 ms."""
        burst = max(16_000, megabits * 125)  # a millisecond's worth
        tbf = f"tbf rate {megabits}mbit burst {burst} latency 50ms"
        self.run("tc", "qdisc", "replace", "dev", "eth0", "root", *tbf.split())

    def unlimited(self) -> None:
        self.run("tc", "qdisc", "del", "dev", "eth0", "root", check=False)

    @contextmanager
    def far_away(self, milliseconds: float, lost: float = 0.0) -> Iterator[None]:
        """What it sends and what it gets is under way for so long, on top of all else; and the
        share ``lost`` of the frames does not come.
        """
        switch, near = self.switch, f"to-{self.name}"
        assert switch is not None
        for command in (
            f"add {near} up promisc on type veth peer name at-{self.name}",
            f"set at-{self.name} master switch up",
            f"set {self.name} nomaster promisc on",
        ):
            switch.run("ip", "link", *command.split())
        program = Path(__file__).with_name("delay.py")
        switch.start(sys.executable, program, self.name, near, milliseconds, lost)
        try:
            yield
        finally:
            switch.run("ip", "link", "del", near)
            switch.run("pkill", "-f", f"delay.py {self.name}", check=False)
            switch.run("ip", "link", "set", self.name, "master", "switch")

    def set_link(self, state: str) -> None:
        """``up`` or ``down``: a cable that is pulled, for both sides hear nothing more."""
        self.run("ip", "link", "set", "eth0", state)


def _first_process_of(holder: "subprocess.Popen[bytes]") -> int:
    """The sleep that unshare has started: it exists once the namespaces do."""
    children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
    while holder.poll() is None:
        for pid in children.read_text().split():
            if Path(f"/proc/{pid}/comm").read_text() == "sleep\n":
                return int(pid)
    assert holder.stderr is not None
    raise MissingError(f"no namespaces: {holder.stderr.read().decode().strip()}")


@contextmanager
def held(name: str, address: str = "", switch: Host | None = None) -> Iterator[Host]:
    holder = subprocess.Popen(HELD, stderr=subprocess.PIPE)
    started: list[subprocess.Popen[str]] = []
    try:
        yield Host(name, address, _first_process_of(holder), switch, started)
    finally:
        holder.kill()
        holder.communicate()
        for process in started:
            process.wait(timeout=30)


def _outcome(what: str, command: Sequence[object]) -> None:
    """Raises `MissingError` if this machine cannot do it."""
    try:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise MissingError(f"no {what}: {error.filename} is not installed") from None
    if done.returncode:
        raise MissingError(f"no {what}: {done.stderr.strip()}")


def _connect(switch: Host, host: Host) -> None:
    """A cable from the host to the switch, made in the switch's network but seen from outside."""
    inside = ("nsenter", f"--target={switch.holder}", "--net", "ip", "link")
    cable = ("add", host.name, "type", "veth", "peer", "name", "eth0", "netns", host.holder)
    _outcome("virtual cables", (*inside, *cable))
    _outcome("bridge", (*inside, "set", host.name, "master", "switch", "up"))
    for name in ("lo", "eth0"):
        host.run("ip", "link", "set", name, "up")
    host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")


@contextmanager
def on_a_switch(names: Sequence[str], folder: Path) -> Iterator[list[Host]]:
    """Hosts that know each other by these names. Raises `MissingError`."""
    addresses = [f"10.77.0.{number}" for number in range(1, len(names) + 1)]
    pairs = list(zip(names, addresses, strict=True))
    known = folder / "hosts"
    known.write_text("127.0.0.1 localhost\n" + "".join(f"{a} {name}\n" for name, a in pairs))
    with ExitStack() as stack:
        switch = stack.enter_context(held("switch"))
        _outcome("bridge", switch.command("ip", "link", "add", "switch", "up", "type", "bridge"))
        hosts = [stack.enter_context(held(*pair, switch)) for pair in pairs]
        for host in hosts:
            host.run("hostname", host.name)
            host.run("mount", "--bind", known, "/etc/hosts")
            for path, mode in OWN.items():
                host.run("mount", "-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", path)
            _connect(switch, host)
        yield hosts
