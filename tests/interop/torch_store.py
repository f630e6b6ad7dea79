#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The stores of muster and of torch, each as the client of the other.

    torch_store.py TOOL [PYTHON]     PYTHON has torch; without it MUSTER_TORCH_PYTHON, else python3
    torch_store.py --old TOOL        with the Pythons of MUSTER_OLD_TORCH_PYTHONS, which have older ones

TOOL is the store_tool program. Exits with 77 when there is no torch.
"""
import os
import subprocess
import sys
import threading
import time

LIMIT = 60  # seconds, for any single program


def start(python, tool):
    """Runs the tests with an interpreter that has torch."""
    try:
        probe = subprocess.run([python, "-c", "import torch.distributed as d; d.TCPStore"], capture_output=True,
                               text=True, timeout=2 * LIMIT)
    except OSError as error:
        print(f"cannot run {python}: {error}; see MUSTER_TORCH_PYTHON")
        return 1
    if probe.returncode != 0:
        reason = (probe.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"skipped: {python} has no torch.distributed: {reason}")
        return 77
    quiet = {**os.environ, "TORCH_CPP_LOG_LEVEL": "ERROR"}  # the tests make it warn on purpose
    return subprocess.run([python, __file__, "--inside", tool], env=quiet, timeout=6 * LIMIT).returncode


def start_old(tool):
    pythons = os.environ.get("MUSTER_OLD_TORCH_PYTHONS", "").split(":")
    if pythons == [""]:
        print("skipped: no Python with an older torch is named in MUSTER_OLD_TORCH_PYTHONS")
        return 77
    return max(start(python, tool) for python in pythons)


def connect(host, port, **options):
    from datetime import timedelta
    from torch.distributed import TCPStore
    options = {"wait_for_workers": False, **options}
    return TCPStore(host, port, is_master=False, timeout=timedelta(seconds=20), **options)


def raises(kind, call):
    try:
        call()
    except kind:
        return True
    return False


def run_tool(tool, *args):
    done = subprocess.run([tool, *map(str, args)], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, f"{args}: {done.stderr}"


def torch_client(host, port):
    """Every operation of a torch client."""
    from datetime import timedelta
    from torch.distributed import DistError, DistStoreError, PrefixStore
    store, other = connect(host, port), connect(host, port)
    before = store.num_keys()
    store.set("key", "one")
    assert store.get("key") == b"one"
    store.set("key", b"\x00\xff/")
    assert other.get("key") == b"\x00\xff/"
    store.set("empty", "")
    assert store.get("empty") == b""
    assert store.add("n", 5) == 5 and store.add("n", -7) == -2 and store.get("n") == b"-2"
    if torch_version() >= (2, 3):
        assert store.check(["key", "n"]) and not store.check(["key", "none"])

    store.wait(["key", "n"])
    for _ in range(5):
        assert raises(DistStoreError, lambda: store.wait(["key", "none"], timedelta(milliseconds=30)))
        assert store.get("n") == b"-2"
    waiter = threading.Thread(target=lambda: other.wait(["late"], timedelta(seconds=20)))
    waiter.start()
    time.sleep(0.05)
    assert waiter.is_alive()
    if compare_set_keeps_the_lock():
        store.compare_set("late", "", "x")
    else:
        store.set("late", "x")
    waiter.join(10)
    assert not waiter.is_alive(), "compare_set wakes those who wait"

    before_turn = store.num_keys()
    assert store.compare_set("turn", "x", "y") == b"x" and store.num_keys() == before_turn
    assert store.compare_set("turn", "", "1") == b"1"
    assert store.compare_set("turn", "0", "2") == b"1"
    assert store.compare_set("turn", "1", "2") == b"2"
    store.append("log", "ab")
    store.append("log", "cd")
    assert store.get("log") == b"abcd"
    assert store.delete_key("turn") and not store.delete_key("turn")

    keys = [f"many/{i}" for i in range(1000)]
    values = [f"value {i}" for i in range(1000)]
    store.multi_set(keys, values)
    assert [bytes(value) for value in store.multi_get(keys)] == [value.encode() for value in values]
    other.wait(keys)
    large = bytes(range(256)) * (8 * 1024 * 1024 // 256)
    store.set("large", large)
    assert store.get("large") == large
    store.set("k" * 8191, "long")
    assert store.get("k" * 8191) == b"long"
    scoped = PrefixStore("scope", store)
    scoped.set("key", "scoped")
    assert store.get("scope/key") == b"scoped"
    # key, empty, n, late, log, many, large, the longest, scope/key
    assert store.num_keys() == before + 1008, (before, store.num_keys())
    if torch_version() >= (2, 5):
        assert store.clone().get("log") == b"abcd"

    broken = connect(host, port)
    assert raises(DistError, lambda: broken.add("log", 1)), "adding to what is no number"
    assert store.get("log") == b"abcd"
    connect(host, port, world_size=1, wait_for_workers=True)
    store.set_timeout(timedelta(milliseconds=100))
    assert raises(DistError, lambda: store.get("none"))
    assert raises(DistError, lambda: store.multi_get(["key", "none"]))


def torch_race(host, port, rounds, name, failures):
    try:
        store = connect(host, port)
        seen = ""
        for _ in range(rounds):
            store.add("sum", 1)
            while True:
                want = f"{int(seen.split()[0]) + 1 if seen else 1} of {name}"
                seen = store.compare_set("turn", seen, want).decode()
                if seen == want:
                    break
    except Exception as error:  # a thread's own would be lost
        failures.append(error)


def race(tool, host, port):
    """Two clients of muster and two of torch, all at the same two keys."""
    rounds, failures = 200, []
    names = ["torch0", "torch1"] if compare_set_keeps_the_lock() else ["torch0"]
    ours = [subprocess.Popen([tool, "race", host, str(port), str(rounds)]) for _ in range(2)]
    threads = [threading.Thread(target=torch_race, args=(host, port, rounds, name, failures)) for name in names[1:]]
    for thread in threads:
        thread.start()
    torch_race(host, port, rounds, names[0], failures)
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()
    assert [each.wait(LIMIT) for each in ours] == [0, 0] and not failures, failures
    store = connect(host, port)
    sum_of_all = (len(ours) + len(names)) * rounds
    assert store.add("sum", 0) == sum_of_all
    assert int(store.get("turn").split()[0]) == sum_of_all, store.get("turn")


EVERY_WAY = [("", "127.0.0.1"), ("", "::1"), ("", "localhost"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1")]


def against_our_server(tool, ways):
    for bind, host in ways:
        server = subprocess.Popen([tool, "serve", bind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            port = int(server.stdout.readline())
            torch_client(host, port)
            run_tool(tool, "client", host, port)
            store = connect(host, port)
            assert store.get("cpp/key") == b"two" and store.get("cpp/large2")[1:1009] == b"v" * 1008
            race(tool, host, port)
            del store
            server.stdin.close()
            assert server.wait(LIMIT) == 0
        finally:
            server.kill()
            server.wait()
        print(f"ok: torch's clients and muster's at muster's server, bound to '{bind}', reached as {host}")


def against_torch(tool, libuv, hosts):
    from datetime import timedelta
    from torch.distributed import TCPStore
    for host in hosts:
        server = TCPStore("localhost", 0, is_master=True, timeout=timedelta(seconds=20), wait_for_workers=False,
                          use_libuv=libuv)
        assert server.libuvBackend == libuv
        run_tool(tool, "client", host, server.port)
        assert server.get("cpp/key") == b"two" and server.get("cpp/large2")[1:1009] == b"v" * 1008
        race(tool, "127.0.0.1", server.port)
        print(f"ok: muster's clients at torch's server, {'libuv' if libuv else 'legacy'}, reached as {host}")
        del server


def refused_by_name(tool):
    """The store of a torch that has no VALIDATE yet: muster's client says so at once, and the store goes on."""
    from datetime import timedelta
    from torch.distributed import TCPStore
    server = TCPStore("localhost", 0, 1, True, timeout=timedelta(seconds=20), wait_for_workers=False)
    memory = resident()
    for _ in range(20):
        begun = time.monotonic()
        done = subprocess.run([tool, "client", "127.0.0.1", str(server.port)], capture_output=True, text=True, timeout=LIMIT)
        assert done.returncode == 1 and "is the store of torch 2.1 or older" in done.stderr, done.stderr
        assert time.monotonic() - begun < 10, "the deadline is 30 s"
        server.set("key", "value")
        assert server.get("key") == b"value" and server.num_keys() == 1
    assert resident() < memory + 32 * 2**20, "the words of the handshake were taken for a length"
    print("ok: muster's client names torch's old server and does it no harm")


def resident():
    """Bytes of memory that this process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def torch_version():
    import torch
    return tuple(int(part) for part in torch.__version__.split(".")[:2])


def compare_set_keeps_the_lock():
    """Before torch 2.4 compare_set makes its result without Python's lock: no other thread may run then."""
    return torch_version() >= (2, 4)


def inside(tool):
    import torch
    version = torch_version()
    print(f"torch {torch.__version__}", flush=True)
    if version < (2, 2):
        refused_by_name(tool)
    elif version < (2, 5):
        against_our_server(tool, [("", "127.0.0.1")])
        against_torch(tool, False, ["127.0.0.1"])
        if version > (2, 2):  # with it, 2.2 loses the connections of its own clients, too, at 100 keys
            against_torch(tool, True, ["127.0.0.1"])
    else:
        against_our_server(tool, EVERY_WAY)
        for libuv in True, False:
            against_torch(tool, libuv, ["127.0.0.1", "::1", "[::1]", "localhost"])
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        sys.exit(inside(sys.argv[2]))
    if sys.argv[1] == "--old":
        sys.exit(start_old(sys.argv[2]))
    chosen = sys.argv[2] if len(sys.argv) > 2 else os.environ.get("MUSTER_TORCH_PYTHON") or "python3"
    sys.exit(start(chosen, sys.argv[1]))
