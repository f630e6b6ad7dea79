# SPDX-License-Identifier: Apache-2.0
"""Hosts of a test: network namespaces with addresses of their own, on one bridge. They go with the test."""

import itertools
import os
import pathlib
import shutil
import subprocess
import sys

from processes import clean_environment, require, skip, until


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True)


def can_make_hosts():
    return os.geteuid() == 0 and shutil.which("ip") and \
        subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


def need():
    if not can_make_hosts():
        skip("several hosts need root, ip (Debian: iproute2) and network namespaces")


class Host:
    """One of them: `number` from 1 on."""

    def __init__(self, name, number):
        self.name = name
        self.ipv4, self.ipv6 = f"10.77.0.{number}", f"fd77::{number}"

    def run(self, *command):
        """The command as it starts on this host."""
        return ["ip", "netns", "exec", self.name, *command]

    def listens(self, port):
        """Whether somebody listens at the port there."""
        tables = subprocess.run(self.run("cat", "/proc/net/tcp", "/proc/net/tcp6"), check=True, capture_output=True, text=True)
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
                   for line in tables.stdout.splitlines())

    def cut(self):
        ip("-n", self.name, "link", "set", "eth0", "down")


class Hosts:
    """`with Hosts(2) as (near, far):`"""

    made = itertools.count()

    def __init__(self, count):
        name = f"muster-{os.getpid()}-{next(self.made)}"
        self.net = f"{name}-net"
        self.hosts = [Host(f"{name}-{number}", number) for number in range(1, count + 1)]

    def __enter__(self):
        try:
            ip("netns", "add", self.net)
            ip("-n", self.net, "link", "add", "bridge", "type", "bridge")
            ip("-n", self.net, "link", "set", "bridge", "up")
            for number, host in enumerate(self.hosts):
                ip("netns", "add", host.name)
                ip("-n", host.name, "link", "set", "lo", "up")
                ip("-n", host.name, "link", "add", "eth0", "type", "veth", "peer", "name", f"port{number}", "netns", self.net)
                ip("-n", host.name, "addr", "add", f"{host.ipv4}/24", "dev", "eth0")
                ip("-n", host.name, "-6", "addr", "add", f"{host.ipv6}/64", "dev", "eth0", "nodad")
                ip("-n", host.name, "link", "set", "eth0", "up")
                ip("-n", self.net, "link", "set", f"port{number}", "master", "bridge", "up")
            return self.hosts
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error):
        for name in [*(host.name for host in self.hosts), self.net]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        return False


def line(group, near, far, delay_ms, loss_percent):
    """A slow and lossy line between two hosts, besides their bridge; its addresses there. None where there is no TUN."""
    addresses = "10.78.0.1", "10.78.0.2"
    process = group.start([sys.executable, pathlib.Path(__file__).with_name("line.py"), near.name, f"{addresses[0]}/24",
                           far.name, f"{addresses[1]}/24", delay_ms, loss_percent], clean_environment(), "line")
    until(lambda: process.stdout or process.poll() is not None, "the line is there or has ended")
    require(process.code in (None, 77), "the line does not work")
    return addresses if process.code is None else None
