# SPDX-License-Identifier: Apache-2.0
"""Two hosts with four ranks each, as network namespaces: they meet over IPv4, IPv6, slow lines and a folder, and say who
is missing when a host or a line is.

usage: hosts.py WORKER
"""

import contextlib
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import hosts  # noqa: E402
from processes import (AT_ONCE, ERROR, LISTENING, SLOW_MACHINE, Group, clean_environment, ended_well, ended_with_error,  # noqa: E402
                       main, one_text, require, until, until_said)

worker = sys.argv[1]
PORT = 29500  # nobody else is on these hosts
RANKS = 4     # a host


def start(group, host, node, address, *options, timeout=30000, world_size=2 * RANKS, **environment):
    """The ranks of a host."""
    return [group.start(host.run(worker, "--timeout", timeout, *options),
                        clean_environment(RANK=node * RANKS + local, WORLD_SIZE=world_size, LOCAL_RANK=local,
                                          LOCAL_WORLD_SIZE=RANKS, MASTER_ADDR=address, MASTER_PORT=PORT, **environment),
                        f"rank {node * RANKS + local}")
            for local in range(RANKS)]


def all_well(group, seconds=60):
    group.wait(seconds)
    ended_well(group.all)


def meet(address):
    with hosts.Hosts(2) as (near, far), Group() as group:
        for node, host in enumerate((near, far)):
            start(group, host, node, address(near), "--tp", 2, "--dp", 2, "--cp", 2)
        all_well(group)


def ipv4():
    meet(lambda near: near.ipv4)


def ipv6():
    meet(lambda near: near.ipv6)


def meet_in_a_folder(**variables):
    with hosts.Hosts(2) as (near, far), Group() as group, tempfile.TemporaryDirectory() as folder:
        for node, host in enumerate((near, far)):
            for local in range(RANKS):
                group.start(host.run(worker, "--timeout", 30000, "--file", f"{folder}/place"),
                            clean_environment(RANK=node * RANKS + local, WORLD_SIZE=2 * RANKS, LOCAL_RANK=local,
                                              LOCAL_WORLD_SIZE=RANKS, **variables), f"rank {node * RANKS + local}")
        all_well(group)
        require(not (pathlib.Path(folder) / "place").exists() or not any((pathlib.Path(folder) / "place").iterdir()),
                "something stays in the folder")


def folder():
    """Nobody tells an address: Gloo takes the one that leads out of the host."""
    meet_in_a_folder()


def slow_and_lossy_line():
    with hosts.Hosts(2) as (near, far), Group() as group:
        addresses = hosts.line(group, near, far, delay_ms=50, loss_percent=5)
        if not addresses:
            print("skipped: a slow and lossy line: this kernel has no TUN")
            return
        ranks = [rank for node, host in enumerate((near, far))
                 for rank in start(group, host, node, addresses[0], "--tp", 2, "--dp", 2, "--cp", 2, timeout=90000)]
        group.wait(120, ranks)
        ended_well(ranks)
        took = max(rank.seconds for rank in ranks)
        require(took > 0.2, f"{took:.2f} s: nothing went over the line")
        print(f"over a line of 50 ms that loses 5 %: {took:.1f} s")


def host_that_is_missing():
    with hosts.Hosts(2) as (near, _), Group() as group:
        ranks = start(group, near, 0, near.ipv4, timeout=2000)
        group.wait(30)
        ended_with_error(ranks, 2 + LISTENING)
        text = one_text(ranks)
        require("4 of 8 ranks did not arrive within 2 s: 4-7" in text or
                "4 of 8 ranks did not arrive within 2 s: 4, 5, 6, 7" in text, text)


def host_of_rank_0_that_is_missing():
    with hosts.Hosts(2) as (near, far), Group() as group:
        ranks = start(group, far, 1, near.ipv4, timeout=2000)
        group.wait(30)
        ended_with_error(ranks, 2 + LISTENING)
        for rank in ranks:
            require("rank 0, which serves the store, did not arrive" in rank.error and near.ipv4 in rank.error, rank.error)


def host_that_does_not_answer():
    """An address that swallows everything."""
    with hosts.Hosts(1) as (near,), Group() as group:
        ranks = start(group, near, 1, "10.77.0.99", timeout=2000)
        group.wait(30)
        ended_with_error(ranks, 2 + LISTENING)
        require("10.77.0.99" in ranks[0].error, ranks[0].error)


def line_that_is_cut_in_the_roll_call():
    """One rank is late; then the line to the other host is cut. The near ones name all that cannot be reached."""
    with hosts.Hosts(2) as (near, far), Group() as group:
        near_ranks = start(group, near, 0, near.ipv4, timeout=8000)[:]
        near_ranks[-1].kill()  # the world cannot form
        far_ranks = start(group, far, 1, near.ipv4, timeout=8000)
        time.sleep(0.2)
        far.cut()
        group.wait(40)
        alive = near_ranks[:-1]
        ended_with_error([*alive, *far_ranks], 8 + 2 * LISTENING)
        require("3" in one_text(alive), alive[0].error)


def line_that_is_cut_while_connecting():
    with hosts.Hosts(2) as (near, far), Group() as group:
        near_ranks = start(group, near, 0, near.ipv4, "--slow-connect", 2000, timeout=6000)
        far_ranks = start(group, far, 1, near.ipv4, "--slow-connect", 2000, timeout=6000)
        time.sleep(1)
        far.cut()
        group.wait(60)
        # What cannot be told ends at the deadline, and one that cannot ask the store a little later.
        ended_with_error(near_ranks, 6 + 2 * LISTENING)
        ended_with_error(far_ranks, 6 + 3 * LISTENING)
        text = one_text(near_ranks)
        require(any(str(rank) in text for rank in range(4, 8)), text)


@contextlib.contextmanager
def names():
    """/etc/hosts as every host of the test sees it: what to start programs with, and a function that adds lines. None
    where root may not mount."""
    with tempfile.NamedTemporaryFile("w", prefix="muster-hosts-") as file:
        def add(lines):
            file.write(lines)
            file.flush()

        see = ["unshare", "--mount", "sh", "-c", f'mount --bind {file.name} /etc/hosts && exec "$@"', "sh"]
        add("127.0.0.1 localhost\n")
        yield (see, add) if subprocess.run([*see, "true"], capture_output=True, check=False).returncode == 0 else None


def start_rank_at_name(group, node, local, host, see):
    return group.start(host.run(*see, worker, "--timeout", 30000),
                       clean_environment(RANK=node * RANKS + local, WORLD_SIZE=2 * RANKS, LOCAL_RANK=local,
                                         LOCAL_WORLD_SIZE=RANKS, MASTER_ADDR="head", MASTER_PORT=PORT),
                       f"rank {node * RANKS + local}")


def start_at_name(group, near, far, see):
    for node, host in enumerate((near, far)):
        for local in range(RANKS):
            start_rank_at_name(group, node, local, host, see)


def name_of_two_families():
    """The name stands for an IPv6 address at which nobody listens, and for the IPv4 address that serves."""
    with hosts.Hosts(2) as (near, far), names() as named, Group() as group:
        if not named:
            print("skipped: a name of two families: root may not mount here")
            return
        see, add = named
        add("fd77::99 head\n10.77.0.1 head\n")
        start_at_name(group, near, far, see)
        all_well(group)


def two_jobs_at_a_name_of_two_families():
    """The second finds the port taken at the first address, and does not serve at the other."""
    with hosts.Hosts(2) as (near, far), names() as named, Group() as group, Group() as second:
        if not named:
            print("skipped: two jobs at a name of two families: root may not mount here")
            return
        see, add = named
        add("fd77::1 head\n10.77.0.1 head\n")
        start_rank_at_name(group, 0, 0, near, see)
        until(lambda: near.listens(PORT), "rank 0 serves")
        start_rank_at_name(second, 0, 0, near, see)
        second.wait(20)
        require("Address already in use" in second.all[0].error, second.all[0].error)
        for local in range(1, RANKS):
            start_rank_at_name(group, 0, local, near, see)
        for local in range(RANKS):
            start_rank_at_name(group, 1, local, far, see)
        all_well(group)


def meet_at_own_name(lines):
    """Rank 0's host has these lines for its own name, as others do not."""
    with hosts.Hosts(2) as (near, far), names() as named, names() as elsewhere, Group() as group:
        if not named:
            print("skipped: a name that is loopback on its own host: root may not mount here")
            return
        named[1](lines)
        elsewhere[1]("10.77.0.1 head\n")
        for node, (host, (see, _)) in enumerate(((near, named), (far, elsewhere))):
            for local in range(RANKS):
                start_rank_at_name(group, node, local, host, see)
        all_well(group)


def name_of_loopback_and_more():
    meet_at_own_name("127.0.1.1 head\n10.77.0.1 head\n")


def name_of_loopback():
    meet_at_own_name("127.0.1.1 head\n")


def name_that_is_known_late():
    """Rank 0, which is to serve there, asks again as the others do."""
    with hosts.Hosts(2) as (near, far), names() as named, Group() as group:
        if not named:
            print("skipped: a name that is known late: root may not mount here")
            return
        see, add = named
        start_at_name(group, near, far, see)
        time.sleep(2)
        require(all(rank.poll() is None for rank in group.all), "a rank did not wait for the name")
        add("10.77.0.1 head\n")
        all_well(group)


def name_that_nobody_knows():
    with hosts.Hosts(1) as (near,), Group() as group:
        ranks = start(group, near, 1, "no-such-host.invalid", timeout=2000)
        group.wait(40)
        for rank in ranks:
            require(rank.code == ERROR and rank.seconds < 2 + 2 * LISTENING + SLOW_MACHINE, f"{rank.code} {rank.seconds}")
            require("the name cannot be resolved" in rank.error and "no-such-host.invalid" in rank.error, rank.error)


def name_server_that_hangs():
    """It takes the questions and answers none: no rank, nor rank 0, which is to serve there, waits beyond its limit."""
    with hosts.Hosts(1) as (near,), tempfile.NamedTemporaryFile("w", prefix="muster-resolv-") as file, Group() as group, \
            Group() as silent:
        see = ["unshare", "--mount", "sh", "-c", f'mount --bind {file.name} /etc/resolv.conf && exec "$@"', "sh"]
        if subprocess.run([*see, "true"], capture_output=True, check=False).returncode != 0:
            print("skipped: a name server that hangs: root may not mount here")
            return
        file.write("nameserver 127.0.0.53\noptions timeout:30 attempts:5\n")
        file.flush()
        server = silent.start(near.run(sys.executable, "-c", "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); "
                                       "s.bind(('127.0.0.53', 53)); print('bound', flush=True); time.sleep(100)"),
                              clean_environment(), "the name server")
        until_said(server, "bound")
        ranks = [group.start(near.run(*see, worker, "--timeout", 3000),
                             clean_environment(RANK=rank, WORLD_SIZE=2, LOCAL_RANK=rank, LOCAL_WORLD_SIZE=2,
                                               MASTER_ADDR="no-such-host.example", MASTER_PORT=PORT), f"rank {rank}")
                 for rank in range(2)]
        group.wait(60)
        for rank in ranks:
            require(rank.code == ERROR and rank.seconds < 3 + 2 * LISTENING + SLOW_MACHINE, f"{rank.code} {rank.seconds}")
            require("name resolution did not end in time" in rank.error, rank.error)


if __name__ == "__main__":
    hosts.need()
    sys.exit(main({test.__name__.replace("_", " "): test for test in (
        ipv4, ipv6, folder, slow_and_lossy_line, host_that_is_missing, host_of_rank_0_that_is_missing,
        host_that_does_not_answer, line_that_is_cut_in_the_roll_call, line_that_is_cut_while_connecting,
        name_of_two_families, two_jobs_at_a_name_of_two_families,
        name_of_loopback_and_more, name_of_loopback, name_that_is_known_late, name_that_nobody_knows,
        name_server_that_hangs)}, at_once=AT_ONCE))
