#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the log of one `meson test` run: tally.py LABEL MESON_LOGS EXIT_STATUS

Prints "passed|failed|skipped NAME" for each test to stdout, and to stderr why a test was skipped (its last line of output).
"""
import json
import pathlib
import sys

RESULTS = {"OK": "passed", "EXPECTEDFAIL": "passed", "SKIP": "skipped", "IGNORED": "skipped"}

label, logs, status = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
tests = [json.loads(line) for log in logs.glob("testlog*.json") for line in log.read_text().splitlines()]
results = []
for test in tests:
    name = f"{label}: {test['name']}"
    results.append((RESULTS.get(test["result"], "failed"), name))
    if results[-1][0] == "skipped":
        said = (test.get("stdout", "") + test.get("stderr", "")).strip().splitlines() or ["it did not say why"]
        print(f"skipped {name}: {said[-1]}", file=sys.stderr)
if not results or status and all(result != "failed" for result, _ in results):
    results.append(("failed", f"{label}: meson test ended with status {status} after {len(results)} tests"))
for result, name in results:
    print(result, name)
