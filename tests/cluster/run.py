"""Many machines, tried on one: `make cluster`, or this file with words that choose among the cases.

Needs root on a Linux with network namespaces, and Slurm's and Open MPI's packages; what cannot be
had is named and skipped. Makes hosts in namespaces of their own, a small Slurm on them, and ends
all of it. Nothing else on the machine is touched, and no packet leaves it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import links
import ranks
import scripts
import slurm
from cases import Case, run_all
from checkout import ROOT
from hosts import MissingError, on_a_switch

NAMES = ("n1", "n2", "n3", "n4")


def chosen(cases: Iterator[Case], words: list[str]) -> list[Case]:
    return [case for case in cases if all(word in case.name for word in words)]


def main(words: list[str]) -> int:
    if os.geteuid() != 0:
        print("skipped: namespaces need root", file=sys.stderr)
        return 0
    if ROOT.is_relative_to("/tmp"):
        print("skipped: the hosts see nothing of /tmp; check out elsewhere", file=sys.stderr)
        return 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="charlstm-", dir="/var/tmp")))
        try:
            hosts = stack.enter_context(on_a_switch(NAMES, folder))
            queue = slurm.started(hosts, folder)
        except MissingError as reason:
            print(f"skipped: {reason}", file=sys.stderr)
            return 0
        users, ranked = scripts.Users(queue, folder), ranks.Hosts(queue, folder)
        every = chain(ranks.cases(ranked), links.cases(ranked), scripts.cases(users))
        return 1 if run_all(chosen(every, words)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
