# SPDX-License-Identifier: Apache-2.0
"""compile.py BUILD_FOLDER [TORCH_FOLDER]: what it costs to include a header of muster, and headers of torch beside it.

A file that includes the header is compiled in turns with its baseline, a file that includes what the header reaches of
other libraries, the standard's and the system's, and no more. `seconds` is the processor time of the compiler, median of
the rounds; `lines` what is left of them all after preprocessing. `precompiled_seconds` is the same file's time where the
umbrella has been compiled once for all files (g++, -x c++-header).
"""
import contextlib
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import tempfile

import results

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/structure"))
import include_graph  # noqa: E402
from headers import library_flags  # noqa: E402

ROUNDS = 5
BUDGETS = {"muster/topology.hpp": 1.3, "muster/muster.hpp": 2.0}
UMBRELLAS = ["topology.hpp", "muster.hpp", "gloo.hpp"]
TORCH = ["torch/csrc/distributed/c10d/TCPStore.hpp", "torch/csrc/distributed/c10d/ProcessGroupGloo.hpp"]


def includes(names):
    return "".join(f"#include {name}\n" for name in names)


def public_headers(graph):
    """The umbrellas and what they export, and the store that stands beside torch's."""
    names = [*UMBRELLAS, *(name for umbrella in UMBRELLAS for name in graph[umbrella].own), "store/tcp.hpp"]
    return list(dict.fromkeys(names))


class Compiler:
    def __init__(self, build, folder):
        database = json.loads((build / "compile_commands.json").read_text())
        words = database[0]["command"].split()
        self.name = words[1] if "ccache" in words[0] else words[0]
        flags = [flag for entry in database
                 for flag in self.folders(build / "compile_commands.json", entry["file"])]
        self.flags = ["-std=c++20", f"-I{ROOT / 'include'}", *(f for flag in dict.fromkeys(flags) for f in ("-isystem", flag))]
        self.flags[:0] = [f"-I{folder}"]  # where precompiled() puts its header
        self.is_gcc = "Free Software" in subprocess.check_output([self.name, "--version"], text=True, timeout=60)
        self.folder = folder

    @staticmethod
    def folders(database, unit):
        """The folders of other libraries' headers."""
        flags = library_flags(database, unit, ROOT / "include")
        named = [folder for word, folder in zip(flags, flags[1:]) if word == "-isystem"]
        return [folder for folder in named if not pathlib.Path(folder).is_relative_to(ROOT)]

    def command(self, text, more):
        unit = pathlib.Path(self.folder) / "unit.cpp"
        unit.write_text(text)
        return [self.name, *self.flags, *more, str(unit)]

    @contextlib.contextmanager
    def precompiled(self, header):
        """While it lasts, the header is there as g++ has compiled it already."""
        done = pathlib.Path(self.folder) / f"{header}.gch"
        done.parent.mkdir(exist_ok=True)
        subprocess.run([self.name, *self.flags, "-w", "-x", "c++-header", ROOT / "include" / header, "-o", done],
                       check=True, timeout=600)
        yield
        done.unlink()

    def call(self, text, more):
        done = subprocess.run(self.command(text, more), capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            sys.exit(f"{text}does not compile:\n{done.stderr[-4000:]}")
        return done

    def seconds(self, text, more):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.call(text, ["-c", "-o", os.devnull, *more])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def lines(self, text, more):
        return self.call(text, ["-E", "-P", *more]).stdout.count("\n")

    def outside(self, text, more, own):
        """Files that are not below `own`, but included by one that is; -H writes a point for each level."""
        found, path = [], []
        for level, name in re.findall(r"^(\.+) (.+)$", self.call(text, ["-fsyntax-only", "-H", *more]).stderr, re.M):
            del path[len(level) - 1:]
            if not name.startswith(own) and all(parent.startswith(own) for parent in path):
                found.append(f'"{name}"')
            path.append(name)
        return found


def measure(compiler, header, baseline, more=()):
    texts = [includes([f"<{header}>"]), includes(baseline)]
    rounds = [[compiler.seconds(text, more) for text in texts] for _ in range(ROUNDS)]
    seconds, floor = (statistics.median(column) for column in zip(*rounds))
    row = {
        "bench": "compile",
        "header": header,
        "seconds": round(seconds, 3),
        "baseline_seconds": round(floor, 3),
        "ratio": round(seconds / floor, 2),
        "lines": compiler.lines(texts[0], more),
        "baseline_lines": compiler.lines(texts[1], more),
    }
    if header.removeprefix("muster/") in UMBRELLAS and compiler.is_gcc:
        with compiler.precompiled(header):
            rounds = [compiler.seconds(texts[0], more) for _ in range(ROUNDS)]
        row["precompiled_seconds"] = round(statistics.median(rounds), 3)
    return row


def measure_all(compiler, torch):
    graph = include_graph.read(ROOT / "include")
    for name in public_headers(graph):
        _, others = include_graph.reach(graph, name)
        yield measure(compiler, f"muster/{name}", [f"<{other}>" for other in sorted(others)])
    if torch:
        own = f"{torch}/include"
        more = ["-DUSE_C10D_GLOO", "-isystem", own, "-isystem", f"{own}/torch/csrc/api/include"]
        for name in TORCH:
            yield measure(compiler, name, compiler.outside(includes([f"<{name}>"]), more, own), more)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    build, torch = pathlib.Path(sys.argv[1]).resolve(), "".join(sys.argv[2:])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for row in measure_all(Compiler(build, folder), torch):
            print(json.dumps(row), flush=True)
            rows.append(row)
    results.write("compile", build, rows, {"torch": results.found_in(f"{torch}/version.py", r"^__version__ = '(.*)'")})
    for row in rows:
        if (budget := BUDGETS.get(row["header"])) is not None:
            print(f"{row['header']}: {row['ratio']} of its baseline, budget {budget}", file=sys.stderr)


if __name__ == "__main__":
    main()
