# SPDX-License-Identifier: Apache-2.0
"""topology.py BUILD_FOLDER: what a question to a topology costs in worlds of 64 to 10 million ranks.

A topology holds its dynamic extents and nothing else: a question about one rank costs the same in every world, in time
and in memory, unless its answer has more ranks. `within` compares the median of the worlds from 100,000 ranks on with
that of the smaller ones.
"""
import json
import pathlib
import statistics
import subprocess
import sys

import results

SIZES = [64, 1024, 10240, 100096, 1000000, 10000000]
SMALL = 100000
QUESTIONS = ["make", "coordinate", "rank_of", "group", "group_of_two_axes"]
BUDGET = 1.5  # of time; of memory none more
RUNS = 5


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1])
    runs = {ranks: [] for ranks in SIZES}
    for _ in range(RUNS):
        for ranks in SIZES:
            done = subprocess.run([build / "benchmarks/topology", str(ranks)], capture_output=True, text=True, timeout=120,
                                  check=True)
            runs[ranks].append(json.loads(done.stdout))
    rows = [{key: min(row[key] for row in found) if key != "bench" else found[0][key] for key in found[0]}
            for found in runs.values()]
    for row in rows:
        print(json.dumps(row), flush=True)
    results.write("topology", build, rows, {})
    over = False
    for question in QUESTIONS:
        small, large = ([row for row in rows if (row["ranks"] < SMALL) == is_small] for is_small in (True, False))
        time = statistics.median(row[f"{question}_ns"] for row in large) / statistics.median(row[f"{question}_ns"] for row in small)
        memory = max(row[f"{question}_bytes"] for row in large) - max(row[f"{question}_bytes"] for row in small)
        over = over or time > BUDGET or memory > 0
        print(f"{'within' if time <= BUDGET and memory <= 0 else 'OVER  '}  {question}: {time:.2f} of the time in small worlds, "
              f"budget {BUDGET}; {memory:+.0f} bytes, budget 0", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
