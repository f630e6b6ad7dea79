# SPDX-License-Identifier: Apache-2.0
"""torchrun in every mode: who serves the store, several nodes, restarts on a store that outlives the attempts.

usage: torchrun.py WORKER [WORD]...     the tests whose names contain the words

MUSTER_TORCH_PYTHON, or this Python, has torch; MUSTER_OLD_TORCH_PYTHONS may name others, with older ones, separated by ":".
"""

import functools
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from processes import AT_ONCE, Group, clean_environment, free_port, main, require, skip  # noqa: E402

worker = sys.argv[1]
LIMIT = 100    # seconds; a run takes three or four, most of which Python needs to load torch
SOON = 20000   # milliseconds that a worker may need to form the world; far below what it would take to notice nothing

# Where a rank is killed: each leaves the next attempt another state of the store.
PLACES = ["start", "store", "hello", "verdict", "connecting", "connected", "commit", "formed"]

NOT_SHARED = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # c10d: rank 0 is to serve, on a port that torchrun names


# Options are written as torch 1 knows them, too: with "_".


def static():
    return ["--rdzv_backend", "static", "--master_addr", "127.0.0.1", "--master_port", str(free_port())]


def c10d(port=0):
    return ["--rdzv_backend", "c10d", "--rdzv_endpoint", f"127.0.0.1:{port}"]


def torchrun(group, options, words=(), ranks=8, environment=None, python=None):
    return group.start([python or torch_python(), "-W", "ignore", "-m", "torch.distributed.run", *options, "--no_python",
                        "--monitor_interval", 0.1, "--nproc_per_node", ranks, worker, "--timeout", SOON, *words],
                       clean_environment(**environment or {}), "torchrun")


def torch_python():
    return os.environ.get("MUSTER_TORCH_PYTHON") or sys.executable


def formed(launchers, world_size):
    """All ended well, and every rank was in one world."""
    for launcher in launchers:
        require(launcher.code == 0, f"{launcher.name} ended with {launcher.code}")
    said = re.findall(r"^worker: rank (\d+) of (\d+): ok$", "".join(launcher.stdout for launcher in launchers), re.M)
    require(sorted(said, key=lambda pair: int(pair[0])) == [(str(rank), str(world_size)) for rank in range(world_size)],
            f"the worlds that formed: {said}")


def mode(options, words=("--tp", 2, "--cp", 2), environment=None, python=None):
    with Group() as group:
        launcher = torchrun(group, options() if callable(options) else options, words, environment=environment, python=python)
        group.wait(LIMIT)
        formed([launcher], 8)
        return launcher


def virtual_local_rank():
    text = subprocess.run([torch_python(), "-m", "torch.distributed.run", "--help"], capture_output=True, text=True,
                          check=True).stdout
    if "--virtual-local-rank" not in text:
        print("this torchrun has no --virtual-local-rank")
        return
    mode([*c10d(), "--virtual-local-rank"])


def another_address(of_the_launcher):
    """TORCHELASTIC_USE_AGENT_STORE tells of MASTER_ADDR:MASTER_PORT alone: anywhere else rank 0 serves."""
    options = static()
    mode(options, ["--port", options[-1] if of_the_launcher else free_port()])


def nodes(options_of_node, words=("--tp", 2, "--cp", 2), environment=None, restarts=0):
    """Two launchers, as on two hosts."""
    with Group() as group:
        for node in range(2):
            torchrun(group, ["--nnodes", 2, "--max_restarts", restarts, *options_of_node(node)], words, 4, environment)
        group.wait(LIMIT)
        formed(group.all, 8)
        return "".join(launcher.stderr for launcher in group.all)


def c10d_nodes(**how):
    port, name = free_port(), f"job-{os.getpid()}"
    return nodes(lambda node: [*c10d(port), "--rdzv_id", name], **how)


def static_nodes():
    options = static()
    nodes(lambda node: [*options, "--node_rank", node])


def killed_twice(place):
    """Options for a worker: rank 2 is killed in the first attempt and rank 0 in the second."""
    return ["--tp", 2, "--kill-at", f"2@{place},0@{place}"]


def require_killed(stderr, place):
    said = re.findall(r"worker: rank (\d) is killed at (\w+)", stderr)
    require(said == [("2", place), ("0", place)], f"who was killed, and where: {said}")


def restarts(options, place, environment=None, python=None):
    with Group() as group:
        launcher = torchrun(group, ["--max_restarts", 2, *options()], killed_twice(place), 4, environment, python)
        group.wait(LIMIT)
        require_killed(launcher.stderr, place)
        formed([launcher], 4)


def restarts_of_nodes(place):
    require_killed(c10d_nodes(words=killed_twice(place), restarts=2), place)


def refused(python):
    """The launcher serves a store that is too old: every rank says so long before its time is up."""
    with Group() as group:
        launcher = torchrun(group, static(), python=python)
        group.wait(LIMIT)
        require(launcher.code != 0, "the launcher ended well")
        require("is the store of torch 2.1 or older" in launcher.stderr, "no rank names the store")
        require("within" not in launcher.stderr, "a rank waited for its deadline")


def summary(python=None):
    """What ended the ranks stands in torchrun's own summary of the failures."""
    with Group() as group:
        launcher = torchrun(group, c10d(), ["--fail-device"], 4, {"MUSTER_FAULT_RANK": 2}, python)
        group.wait(LIMIT)
        require(launcher.code != 0, "the launcher ended well")
        _, found, text = launcher.stderr.partition("Root Cause (first observed failure):")
        require(found and re.search(r"traceback : muster: .*\n +rank 2 \(.*\) failed before it: the device burns\n", text),
                f"the summary: {text}")


def version(python):
    """Of its torch; None where there is no torchrun. That of torch 1.13 does not run with Python 3.11."""
    done = subprocess.run([python, "-W", "ignore", "-c", "import torch.distributed.run; print(torch.__version__)"],
                          capture_output=True, text=True, check=False)
    found = re.match(r"(\d+)\.(\d+)", done.stdout)
    number = found and tuple(int(part) for part in found.groups())
    return number if number and number >= (2, 0) else None


def of_old_torch(python):
    """Before 2.4, rank 0 serves under c10d. Where the launcher serves, it must speak at least the protocol of 2.2."""
    number = version(python)
    if number is None:
        print(f"{python} has no torchrun that runs")
        return {}
    name = f"torchrun {number[0]}.{number[1]}, "
    tests = {name + "c10d": functools.partial(mode, c10d, python=python),
             name + "what failed is in the summary": functools.partial(summary, python)}
    if number != (2, 3):  # its c10d closes the rendezvous at the first failure, whatever the workers are
        tests[name + "c10d, killed when formed"] = functools.partial(restarts, c10d, "formed", python=python)
    if number < (2, 2):
        return tests | {name + "static": functools.partial(refused, python)}
    return tests | {name + "static": functools.partial(mode, static, python=python),
                    name + "static, killed when formed": functools.partial(restarts, static, "formed", python=python)}


TESTS = {
    "static": functools.partial(mode, static),
    "c10d": functools.partial(mode, c10d),
    "c10d, a port that is given": lambda: mode(c10d(free_port())),
    "c10d, rank 0 serves": functools.partial(mode, c10d, environment=NOT_SHARED),
    "standalone": functools.partial(mode, ["--standalone"]),
    "standalone, rank 0 serves": functools.partial(mode, ["--standalone"], environment=NOT_SHARED),
    "virtual local rank": virtual_local_rank,
    "the launcher's address, by TcpRendezvous": functools.partial(another_address, True),
    "what failed is in the summary": summary,
    "another address, by TcpRendezvous": functools.partial(another_address, False),
    "two nodes, static": static_nodes,
    "two nodes, c10d": c10d_nodes,
    "two nodes, c10d, rank 0 serves": functools.partial(c10d_nodes, environment=NOT_SHARED),
    "two nodes, killed at hello": functools.partial(restarts_of_nodes, "hello"),
    "two nodes, killed when formed": functools.partial(restarts_of_nodes, "formed"),
}
TESTS |= {f"c10d, killed at {place}": functools.partial(restarts, c10d, place) for place in PLACES}
TESTS |= {f"static, killed at {place}": functools.partial(restarts, static, place) for place in PLACES}
TESTS |= {f"c10d, rank 0 serves, killed at {place}": functools.partial(restarts, c10d, place, NOT_SHARED)
          for place in ("hello", "formed")}

if __name__ == "__main__":
    if version(torch_python()) is None:
        skip(f"{torch_python()} cannot import torch.distributed.run")
    for old in filter(None, os.environ.get("MUSTER_OLD_TORCH_PYTHONS", "").split(":")):
        TESTS |= of_old_torch(old)
    chosen = sys.argv[2:]
    sys.exit(main({name: test for name, test in TESTS.items() if all(word in name for word in chosen)}, at_once=AT_ONCE))
