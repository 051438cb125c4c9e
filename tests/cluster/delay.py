"""Run in the switch by hosts.py: a long or a poor way between two of its ports, without netem.

Every frame that comes in at one of two interfaces leaves by the other, so many milliseconds later,
but for a share of them, which is lost. A frame may be a long piece that the receiver's kernel is to
cut, with a checksum still to be filled in; the header that says so travels with it.
"""

import errno
import random
import select
import socket
import sys
import time
from collections import deque

SOL_PACKET, VNET_HEADER, IGNORE_OUTGOING = 263, 15, 23
EVERY_PROTOCOL = 3
AT_MOST = 600  # seconds


def port(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    opened.setsockopt(SOL_PACKET, VNET_HEADER, 1)
    opened.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    opened.bind((interface, 0))
    opened.setblocking(False)
    return opened


def relay(one: socket.socket, other: socket.socket, seconds: float, lost: float) -> None:
    across, chance = {one: other, other: one}, random.Random(1)
    under_way: deque[tuple[float, socket.socket, bytes]] = deque()
    end = time.monotonic() + AT_MOST
    while (now := time.monotonic()) < end:
        while under_way and under_way[0][0] <= now:
            _, target, frame = under_way.popleft()
            target.send(frame)
        rest = under_way[0][0] - now if under_way else 1.0
        for source in select.select(list(across), [], [], rest)[0]:
            frame = source.recv(1 << 17)
            if chance.random() >= lost:
                under_way.append((time.monotonic() + seconds, across[source], frame))


if __name__ == "__main__":
    try:
        relay(port(sys.argv[1]), port(sys.argv[2]), float(sys.argv[3]) / 1e3, float(sys.argv[4]))
    except OSError as error:
        if error.errno not in (errno.ENETDOWN, errno.ENXIO):  # the way is not needed any more
            sys.exit(f"delay: {error}")
