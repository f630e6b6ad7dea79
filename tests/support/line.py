# SPDX-License-Identifier: Apache-2.0
"""A line between two network namespaces that is slow and loses packets, whatever the kernel has: an Ethernet device in
each, and this process between them. Says "ready" once both are there, and goes on until it is ended; ends with 77 where
there is no TUN.

usage: line.py NAMESPACE ADDRESS NAMESPACE ADDRESS DELAY_MS LOSS_PERCENT
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

DEVICE = "line0"
TUNSETIFF, IFF_TAP, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 0x0002, 0x1000, 0x40000000


def end_in(namespace, address):
    """The device in the namespace, as a file of whole frames."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}", "rb") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    try:
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(77)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TAP | IFF_NO_PI))
    subprocess.run(["ip", "addr", "add", address, "dev", DEVICE], check=True)
    subprocess.run(["ip", "link", "set", DEVICE, "up"], check=True)
    return end


def relay(ends, delay, loss):
    draw = random.Random(1)
    on_the_way = []  # (when it arrives, number, at which end, frame)
    count = 0
    while True:
        wait = max(0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
        for end in select.select(ends, [], [], wait)[0]:
            frame = os.read(end, 65536)
            if draw.random() >= loss:
                count += 1
                heapq.heappush(on_the_way, (time.monotonic() + delay, count, ends[1 - ends.index(end)], frame))
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            *_, end, frame = heapq.heappop(on_the_way)
            os.write(end, frame)


if __name__ == "__main__":
    near, far = end_in(*sys.argv[1:3]), end_in(*sys.argv[3:5])
    print("ready", flush=True)
    relay([near, far], float(sys.argv[5]) / 1000, float(sys.argv[6]) / 100)
