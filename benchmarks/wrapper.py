# SPDX-License-Identifier: Apache-2.0
"""wrapper.py BUILD_FOLDER: what a call on muster's NCCL communicator costs beside the raw NCCL call.

callgrind counts every call of two contestants on its own, in the calling thread alone. Each way of launching runs twice:

    all      all instructions of the call; the medians are muster_instructions and raw_instructions
    outside  without those in NCCL's functions

NCCL's own part varies with the state of malloc and of the thread library, by more than is looked for. What is outside of
it does not vary: `added` is the difference of the second counts, and of the first for looks that the raw call does
without; `ratio` is 1 + added / raw_instructions.

With launch=thread (NCCL 2.22 and later) a call returns ncclInProgress, and who called looks until it is launched. How
often is chance, so that calls are compared that looked equally often: once in vain and once more. The wait between the
looks is not counted. With launch=immediate (earlier) a call returns ncclSuccess.
"""
import collections
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import results

BUDGET = 1.02
NCCL = """ncclAllReduce ncclReduce ncclBroadcast ncclAllGather ncclReduceScatter ncclAlltoAll ncclGather ncclScatter
ncclSend ncclRecv ncclGroupStart ncclGroupEnd ncclRedOpCreatePreMulSum ncclRedOpDestroy
__wrap_ncclCommGetAsyncError""".split()
FEWEST = 3  # calls of a kind, for a median
TRIES = 8


def lines_of(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed with status {done.returncode}:\n{done.stderr[-4000:]}")
    return [line.split("\t") for line in done.stdout.splitlines()]


def counts_of(program, launch, not_counted):
    """A list of (operation, contestant, looks, instructions), one for each call."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "callgrind.out")
        options = ["--collect-atstart=no", "--zero-before=measured", "--dump-after=measured", "--combine-dumps=yes"]
        options += [f"--toggle-collect={name}" for name in ["measured", *not_counted]]
        lines = lines_of(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *options, program, launch])
        totals = []
        wanted = False
        with out.open(errors="replace") as text:
            for line in text:
                if line.startswith("desc: Trigger:"):
                    wanted = line.split(":", 2)[2].strip() == "--dump-after=measured"
                elif wanted and line.startswith("totals:"):
                    totals.append(int(line.split()[1]))
    if len(totals) != len(lines):
        raise SystemExit(f"callgrind wrote {len(totals)} counts for {len(lines)} calls")
    return [(operation, contestant, int(looks), total)
            for (operation, contestant, looks, _), total in zip(lines, totals)]


def medians_of(program, launch, not_counted):
    """{(operation, contestant): (looks, median)} of the calls that looked most often, less what counting itself costs."""
    calls = collections.defaultdict(list)
    for _ in range(TRIES):
        for operation, contestant, looks, total in counts_of(program, launch, not_counted):
            calls[operation, contestant, looks].append(total)
        most = {}
        for operation, contestant, looks in calls:
            most[operation, contestant] = max(looks, most.get((operation, contestant), 0))
        if all(len(calls[(*who, looks)]) >= FEWEST for who, looks in most.items()):
            break
    else:
        raise SystemExit("too few calls found NCCL still at it")
    empty = statistics.median(calls["nothing", "raw", 0])
    return {who: (looks, round(statistics.median(calls[(*who, looks)]) - empty)) for who, looks in most.items()}


def allocations_of(program, launch):
    allocations = collections.defaultdict(list)
    for operation, contestant, _, count in lines_of([program, launch]):
        allocations[operation, contestant].append(int(count))
    return {who: statistics.median_high(counts) for who, counts in allocations.items()}


def measure(build, launch):
    program = str(build / "wrapper")
    everything = medians_of(program, launch, ["uncounted_wait"])
    outside = medians_of(program, launch, NCCL)
    allocations = allocations_of(str(build / "wrapper-allocations"), launch)
    look = everything["look", "raw"][1] - outside["look", "raw"][1]
    for operation in dict.fromkeys(operation for operation, _ in everything):
        if operation in ("nothing", "look"):
            continue
        looks = everything[operation, "muster"][0]
        raw_looks, raw = everything[operation, "raw"]
        added = outside[operation, "muster"][1] - outside[operation, "raw"][1] + (looks - raw_looks) * look
        yield {
            "bench": "wrapper",
            "operation": operation,
            "launch": launch,
            "type": "float",
            "elements": 1024,
            "muster_instructions": everything[operation, "muster"][1],
            "raw_instructions": raw,
            "added": added,
            "looks": [looks, raw_looks],
            "ratio": round(1 + added / raw, 4),
            "allocations": allocations[operation, "muster"] - allocations[operation, "raw"],
        }


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1], "benchmarks")
    rows = []
    for launch in ["immediate", "thread"]:
        for row in measure(build, launch):
            print(json.dumps(row), flush=True)
            rows.append(row)
    results.write("wrapper", build.parent, rows, {"valgrind": results.output_of(["valgrind", "--version"])})
    over = [row for row in rows if row["ratio"] > BUDGET or row["allocations"] > 0]
    print(f"{len(rows) - len(over)} of {len(rows)} within {BUDGET} and without allocations; highest ratio "
          f"{max(row['ratio'] for row in rows)}", file=sys.stderr)


if __name__ == "__main__":
    main()
