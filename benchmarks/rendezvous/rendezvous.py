# SPDX-License-Identifier: Apache-2.0
"""rendezvous.py BUILD_FOLDER MPIRUN [PYTHON_WITH_TORCH]: how long ranks take to meet.

roll_call: ranks connect to a store, each gives 256 bytes and gets 256 that depend on everybody's, and each knows that all
are done. The ranks are threads of one process, server included, for every contestant; the clock runs from the moment
that all threads exist and rank 0 listens and is connected, to the end of the last rank. Times are medians of runs that
take turns, each a process of its own.

    muster     call_roll and commit, over muster's own store
    floor      bare sockets and epoll, one message each way: whoever has the answer knows that all have come, no more
    floor_both the same with a second message each way, from which all know that all are done
    torch      c10d::TCPStore, libuv server: rank 0 gets all and sets the answer, a barrier of the store at the end
    gloo_file  gloo::rendezvous::FileStore on tmpfs

"connected" and "answered" say when the last of muster's ranks had done so. waits_per_rank counts how often a
rank other than 0 waits for others in call_roll and commit (the answer is none of an init's); switches, how often a rank
waited for anything, a reply for instance: the median rank's voluntary context switches. server_memory is the growth of
the memory of rank 0's process, at its highest, from before it serves to the end of the commit.

whole_process: mpirun -n 8, from its start to its end: a mesh on Gloo (world and three axes), MPI_Init alone, torch's
init_process_group("gloo") and nothing (true). init_ms is the time inside rank 0, which holds that others start later.
"""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).parents[1]), str(pathlib.Path(__file__).parents[2] / "tests/support")]
import plot
import results
from processes import free_port

SIZES = [8, 64, 256, 1024]
RUNS = 7
CONTESTANTS = ["muster", "floor", "floor_both", "torch", "gloo_file"]
SOURCE = pathlib.Path(__file__).parent
BUDGET_TORCH = 1 / 3
BUDGET_FLOOR = 2
BUDGET_GROWTH = 4.5
BUDGET_WAITS = 3
BUDGET_MIB = 64


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(command, environment=None):
    """(ms from start to end, what it printed last as JSON); ends the program when it fails."""
    began = time.monotonic()
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                              timeout=300, env=environment)
    except subprocess.TimeoutExpired:
        sys.exit(f"{command[0]} has not ended after 300 s")
    took = 1000 * (time.monotonic() - began)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed with status {done.returncode}:\n{done.stderr[-4000:]}")
    lines = done.stdout.splitlines()
    return took, json.loads(lines[-1]) if lines else {}


def medians(rows):
    """One object of the medians of objects with the same numbers; the most of the counts of waits."""
    return {key: max(row[key] for row in rows) if key.startswith("waits")
            else round(statistics.median(row[key] for row in rows), 3) for key in rows[0]}


def in_turns(contestants):
    """{name: [result of each run]} of {name: function}; another one begins each time."""
    found = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(RUNS):
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            found[name].append(contestants[name]())
    return found


def roll_calls(programs):
    """A row for each size. The sizes take turns as the contestants do."""
    there = {(name, ranks): lambda name=name, ranks=ranks: run([str(programs / f"rendezvous-{name}"), str(ranks)])[1]
             for ranks in SIZES for name in CONTESTANTS if (programs / f"rendezvous-{name}").exists()}
    found = {who: medians(rows) for who, rows in in_turns(there).items()}
    for ranks in SIZES:
        of = {name: found.get((name, ranks), {}) for name in CONTESTANTS}
        row = {"bench": "roll_call", "ranks": ranks}
        row |= {f"{name}_ms": of[name].get("ms") for name in CONTESTANTS}
        row["waits_per_rank"] = of["muster"]["waits"]
        row |= {phase: of["muster"][phase] for phase in ["connected", "answered"]}
        row |= {f"{name}_switches": of[name].get("switches") for name in CONTESTANTS}
        yield row


def server_memory(programs, ranks):
    most = max(run([str(programs / "rendezvous-memory"), str(ranks)])[1]["mib"] for _ in range(3))
    return {"bench": "server_memory", "ranks": ranks, "mib": most}


def whole_process(programs, mpirun, python):
    launch = [mpirun, "--oversubscribe", *(["--allow-run-as-root"] if os.geteuid() == 0 else []), "-n", "8"]
    names = re.compile("RANK$|_RANK$|WORLD_SIZE$|LOCAL_SIZE$|^MASTER_|^(TP|DP|CP)_SIZE$|^OMPI_|^PMI|^SLURM_|^TORCHELASTIC_")
    environment = {name: value for name, value in os.environ.items() if not names.search(name)}

    def of(command, **more):
        return lambda: run([*launch, *command], environment | {name: f() for name, f in more.items()})

    torch = of([python, str(SOURCE / "whole_torch.py")], MASTER_ADDR=lambda: "127.0.0.1",
               MASTER_PORT=lambda: str(free_port()))
    contestants = {"muster": of([str(programs / "whole-muster")]), "mpi": of([str(programs / "whole-mpi")]),
                   "torch": torch, "nothing": of(["true"])}
    if not (programs / "whole-mpi").exists():
        say("MPI_Init: no numbers, for Open MPI's headers were not found")
        del contestants["mpi"]
    if not python:
        del contestants["torch"]
    found = in_turns(contestants)
    row = {"bench": "whole_process", "launcher": "mpirun", "ranks": 8}
    for name in ["muster", "mpi", "torch", "nothing"]:
        row[f"{name}_ms"] = round(statistics.median(took for took, _ in found[name]), 1) if name in found else None
    for name in ["muster", "mpi", "torch"]:
        inside = medians([said for _, said in found[name]]) if name in found else {"init_ms": None}
        row[f"{name}_init_ms"] = inside.pop("init_ms")
        if inside:
            row[f"{name}_phases"] = inside
    return row


def verdicts(rows):
    """(what, value, budget) of everything that has a budget and a value."""
    calls = {row["ranks"]: row for row in rows if row["bench"] == "roll_call"}
    for ranks in [64, 256, 1024]:
        row = calls[ranks]
        if row["torch_ms"] is not None:
            yield f"roll call of {ranks} ranks / torch", row["muster_ms"] / row["torch_ms"], BUDGET_TORCH
        yield f"roll call of {ranks} ranks / floor", row["muster_ms"] / row["floor_ms"], BUDGET_FLOOR
        # One message each way is what muster has until the answer; the commit is a second round.
        yield f"answer to {ranks} ranks / floor", row["answered"] / row["floor_ms"], BUDGET_FLOOR
        yield f"roll call of {ranks} ranks / floor of two messages", row["muster_ms"] / row["floor_both_ms"], BUDGET_FLOOR
    yield "roll call of 1024 ranks / of 256", calls[1024]["muster_ms"] / calls[256]["muster_ms"], BUDGET_GROWTH
    yield "waits of a rank", max(row["waits_per_rank"] for row in calls.values()), BUDGET_WAITS
    for row in rows:
        if row["bench"] == "server_memory":
            yield f"MiB of a server of {row['ranks']} ranks", row["mib"], BUDGET_MIB


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1])
    programs = build / "benchmarks/rendezvous"
    python = sys.argv[3] if len(sys.argv) == 4 else ""
    if not (programs / "rendezvous-torch").exists():
        say("torch: no numbers, for its package was not found")
    rows = []

    def add(row):
        print(json.dumps(row), flush=True)
        rows.append(row)

    for row in roll_calls(programs):
        add(row)
    add(server_memory(programs, SIZES[-1]))
    add(whole_process(programs, sys.argv[2], python))
    torch = {"torch": results.output_of([python, "-c", "import torch; print(torch.__version__)"])} if python else {}
    gloo = results.output_of(["dpkg-query", "-W", "-f", "${Version}", "libgloo-dev"])
    path = results.write("rendezvous", build, rows,
                         {"mpirun": results.output_of([sys.argv[2], "--version"]), "libgloo-dev": gloo, **torch})
    path.with_suffix(".svg").write_text(plot.roll_call([row for row in rows if row["bench"] == "roll_call"]))

    for what, value, budget in verdicts(rows):
        say(f"{'within' if value <= budget else 'OVER  '}  {what}: {value:.2f}, budget {budget:.2f}")


if __name__ == "__main__":
    main()
