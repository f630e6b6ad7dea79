#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles every header of include/muster alone and twice in a row, as errors what a strict user's compiler warns of.

    headers.py COMPILER INCLUDE_DIR COMPILE_COMMANDS TU [BACKEND...]

The flags for fmt, threads and the backends are those of the file TU in COMPILE_COMMANDS. A header that reaches a backend
(gloo, nccl) which is not named is left out, and said so.
"""
import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys

import include_graph

WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror".split()
NEEDS = {"gloo": include_graph.is_gloo, "nccl": include_graph.is_nccl}


def library_flags(database, unit, include):
    """-D, -pthread and the folders of other libraries, which become -isystem: only our warnings count."""
    entry = next(e for e in json.loads(pathlib.Path(database).read_text()) if e["file"].endswith(unit))
    flags, words = [], iter(shlex.split(entry["command"]))
    for word in words:
        if word in ("-I", "-isystem"):
            word += next(words)
        if word.startswith(("-I", "-isystem")):
            folder = (pathlib.Path(entry["directory"]) / word.removeprefix("-I").removeprefix("-isystem")).resolve()
            if folder not in (include, pathlib.Path("/usr/include")):
                flags += ["-isystem", str(folder)]
        elif word.startswith("-D") or word == "-pthread":
            flags.append(word)
    return flags


def missing_backend(headers, name, backends):
    _, others = include_graph.reach(headers, name)
    return next((b for b, needs in NEEDS.items() if b not in backends and any(map(needs, others))), None)


def main():
    compiler, include, database, unit, *backends = sys.argv[1:]
    include = pathlib.Path(include).resolve()
    headers = include_graph.read(include)
    flags = library_flags(database, unit, include)
    command = [compiler, "-std=c++20", "-fsyntax-only", *WARNINGS, f"-I{include}", *flags, "-x", "c++", "-"]

    def compile_one(name):
        text = f"#include <muster/{name}>\n" * 2 + "int main() {}\n"
        return name, subprocess.run(command, input=text, capture_output=True, text=True)

    without = {name: missing for name in headers if (missing := missing_backend(headers, name, backends))}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(compile_one, [name for name in headers if name not in without]))
    failed = [(name, done.stderr) for name, done in results if done.returncode or done.stderr]
    for name, errors in failed:
        print(f"<muster/{name}>:\n{errors}")
    for name, missing in without.items():
        print(f"left out: <muster/{name}> needs {missing}")
    print(f"{compiler}: {len(results)} headers compiled, {len(failed)} failed: {', '.join(n for n, _ in failed) or '-'}")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
