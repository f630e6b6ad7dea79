# SPDX-License-Identifier: Apache-2.0
"""Ranks that are stopped, continued and killed; strangers of every kind at rank 0's port, and others who serve there.

usage: signals.py WORKER
"""

import contextlib
import os
import pathlib
import re
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from processes import (AT_ONCE, ERROR, LISTENING, SLOW_MACHINE, Group, ended_well, ended_with_error, free_port,  # noqa: E402
                       main, one_text, rank_process, require)

worker = sys.argv[1]
SOON = 2  # what is noticed by a closed connection


def start(group, ranks, world_size, port, timeout, *options):
    return group.ranks([worker, "--timeout", int(1000 * timeout), *options], ranks, world_size, port)


def start_stopped(group, rank, world_size, port, timeout):
    """A rank that is there, but has not run yet."""
    stopped, = group.ranks(["sh", "-c", 'kill -STOP $$; exec "$@"', "sh", worker, "--timeout", int(1000 * timeout)], [rank],
                           world_size, port)
    return stopped


def send(process, number):
    os.kill(process.process.pid, number)


def ends_alone(process, within):
    """One that was stopped too long ends by itself, with an error."""
    continued = time.monotonic()
    send(process, signal.SIGCONT)
    while process.poll() is None:
        require(time.monotonic() < continued + within + SLOW_MACHINE, f"{process.name} does not end")
        time.sleep(0.02)
    require(process.code == ERROR, f"{process.name} ended with {process.code}")


def stopped_before_its_hello_and_continued_in_time():
    with Group() as group:
        port = free_port()
        late = start_stopped(group, 2, 4, port, 30)
        start(group, [0, 1, 3], 4, port, 30)
        time.sleep(1)
        send(late, signal.SIGCONT)
        group.wait(30)
        ended_well(group.all)


def stopped_before_its_hello_and_continued_too_late():
    with Group() as group:
        port = free_port()
        late = start_stopped(group, 2, 4, port, 2)
        others = start(group, [0, 1, 3], 4, port, 2)
        group.wait(30, others)
        ended_with_error(others, 2 + LISTENING)
        require("1 of 4 ranks did not arrive within 2 s: 2" in one_text(others), others[0].error)
        ends_alone(late, 2 + LISTENING)


def stopped_after_its_hello():
    """The world forms, for it was there; then it does not connect."""
    with Group() as group:
        port = free_port()
        first = start(group, [0, 1, 2], 4, port, 4)
        time.sleep(1)
        send(first[2], signal.SIGSTOP)
        others = [first[0], first[1], *start(group, [3], 4, port, 4)]
        group.wait(30, others)
        ended_with_error(others, 4 + 2 * LISTENING)
        text = one_text(others)
        require("of 4 ranks came to the roll call but did not finish connecting" in text and rank_process(first[2]) in text,
                text)
        ends_alone(first[2], 4 + 2 * LISTENING)


def stopped_while_it_connects_and_continued_in_time():
    with Group() as group:
        ranks = start(group, range(4), 4, free_port(), 30, "--slow-connect", 1500)
        time.sleep(0.7)
        send(ranks[2], signal.SIGSTOP)
        time.sleep(2)
        send(ranks[2], signal.SIGCONT)
        group.wait(30)
        ended_well(group.all)


def rank_0_stopped_in_the_roll_call():
    with Group() as group:
        port = free_port()
        ranks = start(group, [0, 1, 2], 4, port, 3)
        time.sleep(1)
        send(ranks[0], signal.SIGSTOP)
        group.wait(30, ranks[1:])
        for rank in ranks[1:]:
            require(rank.code == ERROR, f"{rank.name} ended with {rank.code}")
            require(rank.seconds < 3 + 3 * LISTENING + SLOW_MACHINE, f"{rank.name} took {rank.seconds:.1f} s")
            require(rank.error, rank.stderr)
        ends_alone(ranks[0], 3 + LISTENING)


def rank_0_stopped_and_continued_in_time():
    with Group() as group:
        port = free_port()
        ranks = start(group, [0, 1, 2], 4, port, 30)
        time.sleep(1)
        send(ranks[0], signal.SIGSTOP)
        start(group, [3], 4, port, 30)
        time.sleep(4)
        send(ranks[0], signal.SIGCONT)
        group.wait(30)
        ended_well(group.all)


def killed_after_its_hello():
    """Noticed by its closed connection, long before the deadline."""
    with Group() as group:
        ranks = start(group, [0, 1, 2], 4, free_port(), 30)
        time.sleep(1)
        killed = time.monotonic()
        ranks[2].kill()
        group.wait(30)
        ended_with_error(ranks[:2], killed - ranks[0].started + SOON)
        text = one_text(ranks[:2])
        require("1 of 4 ranks ended without a word after their hello" in text and rank_process(ranks[2]) in text, text)


def killed_while_it_connects():
    with Group() as group:
        ranks = start(group, range(4), 4, free_port(), 30, "--slow-connect", 1500)
        time.sleep(0.7)
        killed = time.monotonic()
        ranks[2].kill()
        group.wait(30)
        alive = [ranks[rank] for rank in (0, 1, 3)]
        ended_with_error(alive, killed - ranks[0].started + 1.5 + SOON)
        text = one_text(alive)
        require("1 of 4 ranks ended without a word while the ranks connected" in text and rank_process(ranks[2]) in text, text)
        require("last seen after the roll call: rank 2" in text, text)


def killed_at_each_place():
    """By the kernel, at every place of an init: the others end at once in one text that names it."""
    for place in ("hello", "verdict", "connected", "commit"):
        with Group() as group:
            ranks = start(group, range(4), 4, free_port(), 30, "--kill-at", f"2@{place}")
            group.wait(30)
            require(ranks[2].code == -signal.SIGKILL, f"{place}: rank 2 ended with {ranks[2].code}")
            alive = [ranks[rank] for rank in (0, 1, 3)]
            ended_with_error(alive, 1 + SOON)
            require("rank 2" in one_text(alive) or rank_process(ranks[2]) in one_text(alive), f"{place}: {alive[0].error}")


def rank_0_killed():
    """With it the store goes: the others end at once, and say what they lost."""
    for options, ranks_there, wait in (([], [0, 1, 2], 1), (["--slow-connect", 1500], range(4), 0.7)):
        with Group() as group:
            ranks = start(group, ranks_there, 4, free_port(), 30, *options)
            time.sleep(wait)
            killed = time.monotonic()
            ranks[0].kill()
            group.wait(30, ranks[1:])
            ended_with_error(ranks[1:], killed - ranks[0].started + 1.5 + SOON)
            for rank in ranks[1:]:
                require("rank 0" in rank.error, rank.error)


def rank_0_serves_until_all_have_closed():
    with Group() as group:
        ranks = group.ranks([worker, "--timeout", 30000], range(4), 4, free_port(), {"MUSTER_FAULT_RANK": "3"},
                            r3=["--linger", 3000])
        group.wait(30)
        ended_well(ranks)
        require(all(rank.seconds > 2.5 for rank in (ranks[0], ranks[3])), "rank 0 did not stay")


def dies_before_the_others_close():
    """Closing tells of it, and nobody waits for the one that is gone."""
    with Group() as group:
        ranks = start(group, range(4), 4, free_port(), 30, "--linger", 2000)
        time.sleep(1)
        ranks[2].kill()
        group.wait(30)
        alive = [ranks[rank] for rank in (0, 1, 3)]
        ended_with_error(alive, 2 + SOON)
        for rank in alive:
            require(re.search(r"lost the connection to rank \d", rank.error), rank.error)


def one_world_after_another():
    """In one process, at one address: nobody falls into the last world's store."""
    with Group() as group:
        ranks = start(group, range(4), 4, free_port(), 30, "--again", 20)
        group.wait(60)
        ended_well(ranks)
        require(all(rank.stdout.count(": ok") == 21 for rank in ranks), "not all worlds")


MAGIC = b"\0" + struct.pack("<I", 0x3C85F7CE)


def connected(port):
    end = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            require(time.monotonic() < end, "rank 0 does not serve")
            time.sleep(0.02)


def strangers(talk):
    """Strangers come while the world waits for its last rank; it forms all the same."""
    with Group() as group, contextlib.ExitStack() as stay:
        port = free_port()
        start(group, range(3), 4, port, 60)
        talk(lambda: stay.enter_context(connected(port)))
        start(group, [3], 4, port, 60)
        group.wait(60)
        ended_well(group.all)


def port_scanner():
    def talk(connect):
        for _ in range(300):
            connect().close()
    strangers(talk)


def thousand_silent_connections():
    def talk(connect):
        for _ in range(1000):
            connect()
    strangers(talk)


def garbage():
    def talk(connect):
        for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(4096), b"\xff" * 1000, b"\0" * 1000, MAGIC + os.urandom(1000)):
            with contextlib.suppress(OSError):
                connect().sendall(text)
    strangers(talk)


def half_a_message():
    def talk(connect):
        for text in (MAGIC[:3], MAGIC, MAGIC + b"\1", MAGIC + b"\1" + struct.pack("<Q", 100) + b"/key"):
            connect().sendall(text)
    strangers(talk)


def lengths_without_end():
    def talk(connect):
        for length in (2**63, 2**64 - 1, 2**31, 2**40):
            for code in (b"\1", b"\5", b"\6", b"\x0a", b"\x0b"):
                with contextlib.suppress(OSError):
                    connect().sendall(MAGIC + code + struct.pack("<Q", length))
    strangers(talk)


@contextlib.contextmanager
def somebody_serves(answer):
    """Another program at the port: answer(connection) talks."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server, contextlib.ExitStack() as stay:
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection = stay.enter_context(server.accept()[0])
                    threading.Thread(target=answer, args=[connection], daemon=True).start()
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def echo(connection):
    with contextlib.suppress(OSError):
        while data := connection.recv(4096):
            connection.sendall(data)


def server_that_echoes():
    with somebody_serves(echo) as port, Group() as group:
        ranks = start(group, range(3), 3, port, 20)
        group.wait(30)
        ended_with_error(ranks, SOON)
        require("Address already in use" in ranks[0].error and "choose another MASTER_PORT" in ranks[0].error, ranks[0].error)
        for rank in ranks[1:]:
            require(re.search(r"what listens at 127.0.0.1:\d+ is (not|no) ", rank.error), rank.error)


def server_that_is_silent():
    with somebody_serves(lambda connection: None) as port, Group() as group:
        ranks = start(group, range(3), 3, port, 4)
        group.wait(40)
        ended_with_error(ranks[:1], SOON)
        ended_with_error(ranks[1:], 4 + 2 * LISTENING)
        for rank in ranks[1:]:
            require("rank 0, which serves the store, did not arrive" in rank.error and "no answer in time" in rank.error,
                    rank.error)


def server_that_hangs_up():
    with somebody_serves(lambda connection: connection.close()) as port, Group() as group:
        ranks = start(group, range(3), 3, port, 3)
        group.wait(40)
        ended_with_error(ranks[1:], 3 + 2 * LISTENING)
        for rank in ranks[1:]:
            require("rank 0, which serves the store, did not arrive" in rank.error, rank.error)


if __name__ == "__main__":
    sys.exit(main({test.__name__.replace("_", " "): test for test in (
        stopped_before_its_hello_and_continued_in_time, stopped_before_its_hello_and_continued_too_late,
        stopped_after_its_hello, stopped_while_it_connects_and_continued_in_time, rank_0_stopped_in_the_roll_call,
        rank_0_stopped_and_continued_in_time, killed_after_its_hello, killed_while_it_connects, killed_at_each_place,
        rank_0_killed, rank_0_serves_until_all_have_closed, dies_before_the_others_close, one_world_after_another,
        port_scanner, thousand_silent_connections, garbage, half_a_message, lengths_without_end, server_that_echoes,
        server_that_is_silent, server_that_hangs_up)}, at_once=AT_ONCE))
