# SPDX-License-Identifier: Apache-2.0
"""Ranks that are missing, doubled, different or dying: everybody ends in time, in one text that names the culprits.

usage: ranks.py WORKER STORE_SERVER
"""

import pathlib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from processes import (AT_ONCE, DIED, ERROR, LISTENING, SLOW_MACHINE, Failure, Group, clean_environment,  # noqa: E402
                       ended_with_error, free_port, main, one_text, rank_process, require, until_said)

worker, store_server = sys.argv[1:3]


def missing(absent, world_size=4, timeout=2.0):
    with Group() as group:
        here = [rank for rank in range(world_size) if rank not in absent]
        ranks = group.ranks([worker, "--timeout", int(timeout * 1000)], here, world_size, free_port())
        group.wait(30)
        ended_with_error(ranks, timeout + LISTENING)
        # The first one's deadline may end the others.
        begin = min(rank.started for rank in ranks)
        require(all(rank.started - begin + rank.seconds >= timeout for rank in ranks), "a rank gave up before a deadline")
        text = one_text(ranks)
        names = ", ".join(str(rank) for rank in absent)
        require(f"{len(absent)} of {world_size} ranks did not arrive within 2 s: {names}" in text, text)
        if 0 not in absent:
            for rank in ranks:
                require(f"({rank_process(rank)})" in text, f"{rank.name} is not among the arrived: {text}")


def missing_one():
    missing([3])


def missing_two():
    missing([1, 2])


def missing_rank_0():
    with Group() as group:
        ranks = group.ranks([worker, "--timeout", 2000], [1, 2, 3], 4, free_port())
        group.wait(30)
        ended_with_error(ranks, 2 + LISTENING)
        for rank in ranks:
            require("rank 0, which serves the store, did not arrive: no store could be reached at 127.0.0.1:" in
                    rank.error and "about 0;" in rank.stderr, rank.error)


def too_few_open_files():
    """Where rank 0 has no room for all, nobody is called missing for it."""
    with Group() as group:
        limited = ["bash", "-c", 'ulimit -n 60; exec "$@"', "few", worker, "--timeout", 20000]
        port = free_port()
        ranks = group.ranks(limited, [0], 64, port) + group.ranks([worker, "--timeout", 20000], [1, 2, 3], 64, port)
        group.wait(30)
        ended_with_error(ranks, 20)
        text = one_text(ranks)
        # Gloo's own sockets come first.
        require("needs a connection for each of 64 ranks" in text and "a hard limit of 60" in text and
                "ulimit -n 128" in text or "Gloo: socket: Too many open files" in text, text)


def late_rank_is_waited_for():
    with Group() as group:
        port = free_port()
        group.ranks([worker, "--timeout", 30000], [0, 1, 2], 4, port)
        while "waiting for 1 of 4 ranks: 3" not in group.all[0].stderr:
            require(group.all[0].poll() is None, "rank 0 ended before it said who is missing")
            require(time.monotonic() - group.all[0].started < 20, "rank 0 never said who is missing")
            time.sleep(0.05)
        group.ranks([worker, "--timeout", 30000], [3], 4, port)
        group.wait(30)
        require(all(process.code == 0 for process in group.all), "a rank failed")


def doubled_rank():
    """Both are there before the roll is called."""
    with served() as (group, environment, port):
        ranks = group.ranks([worker, "--timeout", 20000], [1, 2, 2, 3], 4, port, environment)
        time.sleep(1.5)
        ranks += group.ranks([worker, "--timeout", 20000], [0], 4, port, environment)
        group.wait(30, ranks)
        ended_with_error(ranks, 5)
        text = one_text(ranks)
        require("rank 2 is claimed by more than one process" in text, text)
        require(all(rank_process(rank) in text for rank in ranks[1:3]), f"not both processes are named: {text}")


def doubled_rank_at_once():
    """A race: all hear of it, or the world forms and the one process too many hears whose place it wanted."""
    for _ in range(5):
        with Group() as group:
            ranks = group.ranks([worker, "--timeout", 20000, "--linger", 1500], [0, 1, 2, 2, 3], 4, free_port())
            group.wait(30)
            codes = [rank.code for rank in ranks]
            if 0 not in codes:
                require("rank 2 is claimed by more than one process" in one_text(ranks), ranks[0].error)
                continue
            require(codes[:2] == [0, 0] and codes[4] == 0 and sorted(codes[2:4]) == [0, ERROR], f"exit codes {codes}")
            late = ranks[2] if codes[2] == ERROR else ranks[3]
            require("one process too many" in late.error or "lost the store" in late.error, late.error)


def doubled_rank_that_comes_late():
    """The world stands; the second process of a rank hears at once whose place it wanted, and the world goes on."""
    with Group() as group:
        port = free_port()
        ranks = group.ranks([worker, "--timeout", 20000, "--linger", 4000], range(3), 3, port)
        time.sleep(2)
        late = group.ranks([worker, "--timeout", 20000], [2], 3, port)
        group.wait(30)
        require(all(rank.code == 0 for rank in ranks), "a rank of the world failed")
        ended_with_error(late, 2)
        require("one process too many" in late[0].error and f"rank 2 there is {rank_process(ranks[2])}" in late[0].error,
                late[0].error)


def doubled_rank_in_place_of_another():
    with Group() as group:
        ranks = group.ranks([worker, "--timeout", 20000], [0, 1, 2, 2], 4, free_port())
        group.wait(30)
        ended_with_error(ranks, 5)
        require("rank 2 is claimed by more than one process" in one_text(ranks), ranks[0].error)


def doubled_rank_0_on_a_served_store():
    """Rank 2 never comes, so that no world can form with one of the two before the other is there."""
    with served() as (group, environment, port):
        ranks = group.ranks([worker, "--timeout", 20000], [1, 0, 0], 3, port, environment)
        group.wait(30, ranks)
        ended_with_error(ranks, 5)
        text = one_text(ranks)
        require("rank 0 is claimed by more than one process" in text, text)
        late = group.ranks([worker, "--timeout", 1500], [2], 3, port, environment)
        group.wait(30, late)
        require("refused: rank 0 is claimed by more than one process" in late[0].error, late[0].error)


def doubled_rank_0_that_serves():
    with Group() as group:
        ranks = group.ranks([worker, "--timeout", 3000], [0, 0], 2, free_port())
        group.wait(30)
        ended_with_error(ranks, 3 + LISTENING)
        require(any("in use" in rank.error for rank in ranks), "nobody says that the port is in use")


def another_world_size():
    with Group() as group:
        port = free_port()
        ranks = group.ranks([worker, "--timeout", 20000], [0, 1, 3], 4, port)
        ranks += group.ranks([worker, "--timeout", 20000], [2], 3, port)
        group.wait(30)
        ended_with_error(ranks, 5)
        text = one_text(ranks)
        require("ranks disagree on the world size" in text and f"rank 2 ({rank_process(ranks[3])})" in text, text)


def another_world_size_and_a_rank_outside():
    with Group() as group:
        port = free_port()
        ranks = group.ranks([worker, "--timeout", 20000], [0, 1, 2], 4, port)
        ranks += group.ranks([worker, "--timeout", 20000], [5], 8, port)
        group.wait(30)
        ended_with_error(ranks, 5)
        text = one_text(ranks)
        require("ranks disagree on the world size" in text and f"rank 5 ({rank_process(ranks[3])})" in text, text)


def another_mesh():
    with Group() as group:
        ranks = group.ranks([worker, "--timeout", 20000], range(4), 4, free_port(),
                            r2=["--tp", "4", "--dp", "1"], r0=["--tp", "2"], r1=["--tp", "2"], r3=["--tp", "2"])
        group.wait(30)
        ended_with_error(ranks, 5)
        text = one_text(ranks)
        require("ranks disagree on the mesh" in text and f"dp=1 tp=4 cp=1: rank 2 ({rank_process(ranks[2])})" in text,
                text)


def a_mesh_that_does_not_fit_on_one_rank():
    with Group() as group:
        ranks = group.ranks([worker, "--timeout", 20000], range(4), 4, free_port(), r2=["--tp", "3"])
        group.wait(30)
        ended_with_error(ranks, 5)
        text = one_text(ranks)
        require(f"rank 2 ({rank_process(ranks[2])}) failed before it: world size 4 is not divisible" in text, text)


def a_mesh_that_fits_nobody():
    with Group() as group:
        ranks = group.ranks([worker, "--timeout", 20000, "--tp", 3], range(4), 4, free_port())
        group.wait(30)
        ended_with_error(ranks, 5)
        text = one_text(ranks)
        require(text.startswith("muster: world size 4 is not divisible by TP (3) * CP (1) = 3"), text)


def failure(option, words):
    with Group() as group:
        ranks = group.ranks([worker, "--timeout", 20000], range(4), 4, free_port(), r2=[option])
        group.wait(30)
        ended_with_error(ranks, 5)
        text = one_text(ranks)
        require(f"rank 2 ({rank_process(ranks[2])}) failed" in text and words in text, text)


def failed_device():
    failure("--fail-device", "the device burns")


def failed_connect():
    failure("--fail-connect", "the network burns")


def failed_connect_of_rank_0():
    with Group() as group:
        ranks = group.ranks([worker, "--timeout", 20000], range(4), 4, free_port(), r0=["--fail-connect"])
        group.wait(30)
        ended_with_error(ranks, 5)
        require(f"rank 0 ({rank_process(ranks[0])}) failed" in one_text(ranks), ranks[1].error)


def stalled_after_a_late_start():
    """Making the axes has what is left of init's one deadline, not a time of its own."""
    with Group() as group:
        port, options = free_port(), ["--timeout", 8000, "--tp", 2]
        early = group.ranks([worker, *options], [0, 1, 3], 4, port)
        time.sleep(6)
        late = group.ranks([worker, *options], [2], 4, port, r2=["--stall", 30000])
        group.wait(20, early)
        late[0].kill()
        ended_with_error(early, 8 + LISTENING)


def killed_rank_0_while_the_axes_are_made():
    """Its store goes with it, and the others wait for a rank that does not come: they end at once all the same."""
    with Group() as group:
        ranks = group.ranks([worker, "--timeout", 30000, "--tp", 2, "--stall", 60000], range(4), 4, free_port(),
                            {"MUSTER_FAULT_RANK": 3})
        time.sleep(3)
        ranks[0].kill()
        killed = time.monotonic()
        group.wait(10, ranks[1:3])
        require(time.monotonic() - killed < 2 + SLOW_MACHINE, "they waited")
        for rank in ranks[1:3]:
            require(rank.code == ERROR, f"{rank.name} ended with {rank.code}")
            require("lost the store" in rank.error or "lost the connection to rank 0" in rank.error
                    or "remote process exited" in rank.error, rank.error)


def killed_at_connect():
    with Group() as group:
        ranks = group.ranks([worker, "--timeout", 3000], range(4), 4, free_port(), r2=["--die-connect"])
        group.wait(30)
        alive = [rank for rank in ranks if rank is not ranks[2]]
        ended_with_error(alive, 3 + LISTENING)
        require(ranks[2].code == DIED, f"rank 2 ended with {ranks[2].code}")
        one_text(alive)


def killed_at_any_store_operation():
    """Rank 2 dies at its K-th word to the store, for every K that there is: the others end in time and name it."""
    for operation in range(1, 40):
        with Group() as group:
            ranks = group.ranks([worker, "--timeout", 1500], range(3), 3, free_port(),
                                r2=["--die-at-operation", operation])
            group.wait(30)
            if ranks[2].code == 0:
                require(operation > 5, f"rank 2 needs only {operation - 1} store operations?")
                require(all(rank.code == 0 for rank in ranks), "a rank failed in a run without a death")
                return
            require(ranks[2].code == DIED, f"operation {operation}: rank 2 ended with {ranks[2].code}")
            for rank in ranks[:2]:
                # Its last words to the store come after all have committed: then the mesh stands, and Gloo notices.
                require(rank.code == ERROR, f"operation {operation}: {rank.name} ended with {rank.code}")
                require(rank.seconds < 1.5 + LISTENING + SLOW_MACHINE, f"operation {operation}: {rank.seconds:.1f} s")
                require("2" in rank.error, f"operation {operation}: rank 2 is not named: {rank.error}")
    raise Failure("rank 2 never got through")


class served:
    """A store that somebody else serves and that outlives the ranks, as torchrun's agent does."""

    def __enter__(self):
        self.group = Group()
        self.server = self.group.start([store_server], clean_environment(), "store server")
        until_said(self.server)
        port = int(self.server.stdout.split()[-1])
        return self.group, {"TORCHELASTIC_RUN_ID": "job", "TORCHELASTIC_USE_AGENT_STORE": "True"}, port

    def __exit__(self, *error):
        return self.group.__exit__(*error)


def restart_on_a_dirty_store():
    """An attempt dies at every place that there is; the next one on the same store knows nothing of it."""
    with served() as (group, environment, port):
        for operation in range(1, 40):
            first = group.ranks([worker, "--timeout", 1000], range(3), 3, port, environment,
                                r1=["--die-at-operation", operation])
            died = first[1]
            group.wait(30, [died])
            for rank in first:
                if died.code != 0:
                    rank.kill()
            again = group.ranks([worker, "--timeout", 20000], range(3), 3, port, environment)
            group.wait(30, again)
            require(all(rank.code == 0 for rank in again), f"the attempt after operation {operation} failed")
            if died.code == 0:
                return
            del group.all[1:]
    raise Failure("rank 1 never got through")


def restart_with_another_world_size():
    with served() as (group, environment, port):
        for world_size in (4, 2, 3):
            ranks = group.ranks([worker, "--timeout", 20000], range(world_size), world_size, port, environment)
            group.wait(30, ranks)
            require(all(rank.code == 0 for rank in ranks), f"world size {world_size} failed")
        crashed = group.ranks([worker, "--timeout", 20000], [1, 2, 3], 4, port, environment)
        time.sleep(1)
        for rank in crashed:
            rank.kill()
        ranks = group.ranks([worker, "--timeout", 20000], range(2), 2, port, environment)
        group.wait(30, ranks)
        require(all(rank.code == 0 for rank in ranks), "the smaller world after a crash failed")


def one_process_too_many():
    """A rank that comes when the world has formed without it says so, and the world goes on."""
    with served() as (group, environment, port):
        ranks = group.ranks([worker, "--timeout", 20000], range(2), 2, port, environment)
        group.wait(30, ranks)
        late = group.ranks([worker, "--timeout", 1500], [1], 2, port, environment)
        group.wait(30, late)
        ended_with_error(late, 1.5 + LISTENING)
        require("formed a world of 2 ranks and went on" in late[0].error, late[0].error)


def strangers_on_the_port():
    """Silent, talking and half-talking connections to rank 0 while the ranks meet: nobody is disturbed."""
    with Group() as group:
        port = free_port()
        group.ranks([worker, "--timeout", 20000], [0], 3, port)
        strangers = []
        for words in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x00\xce\xf7\x85", b"\xff" * 4096,
                      b"\x00\xce\xf7\x85\x3c\x01" + b"\xff" * 8):
            end = time.monotonic() + 10
            while True:
                try:
                    strangers.append(socket.create_connection(("127.0.0.1", port), timeout=10))
                    break
                except ConnectionRefusedError:
                    require(time.monotonic() < end, "rank 0 does not listen")
                    time.sleep(0.01)
            strangers[-1].sendall(words)
        group.ranks([worker, "--timeout", 20000], [1, 2], 3, port)
        group.wait(30)
        for stranger in strangers:
            stranger.close()
        require(all(process.code == 0 for process in group.all), "a rank failed")


def something_else_on_the_port():
    """What listens at the address is no store: rank 0 cannot serve there, and the others say what they met."""
    with socket.create_server(("127.0.0.1", 0)) as other, Group() as group:
        stop = threading.Event()

        def answer():
            other.settimeout(0.1)
            while not stop.is_set():
                try:
                    connection, _ = other.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            ranks = group.ranks([worker, "--timeout", 10000], range(3), 3, other.getsockname()[1])
            group.wait(30)
        finally:
            stop.set()
            thread.join()
        ended_with_error(ranks, 5)
        require("in use" in ranks[0].error, ranks[0].error)
        for rank in ranks[1:]:
            require("is not a c10d store" in rank.error and "HTTP/1.1 400" in rank.error, rank.error)


if __name__ == "__main__":
    sys.exit(main({
        test.__name__.replace("_", " "): test for test in (
            missing_one, missing_two, missing_rank_0, too_few_open_files, late_rank_is_waited_for, doubled_rank,
            doubled_rank_at_once, doubled_rank_that_comes_late,
            doubled_rank_in_place_of_another, doubled_rank_0_on_a_served_store, doubled_rank_0_that_serves,
            another_world_size, another_world_size_and_a_rank_outside, another_mesh,
            a_mesh_that_does_not_fit_on_one_rank, a_mesh_that_fits_nobody, failed_device, failed_connect,
            failed_connect_of_rank_0, stalled_after_a_late_start, killed_rank_0_while_the_axes_are_made, killed_at_connect,
            killed_at_any_store_operation, restart_on_a_dirty_store,
            restart_with_another_world_size, one_process_too_many, strangers_on_the_port,
            something_else_on_the_port)}, at_once=AT_ONCE))
