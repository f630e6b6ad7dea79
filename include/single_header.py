# SPDX-License-Identifier: Apache-2.0
"""Writes the library as one file for each backend, DIR/muster.hpp (NCCL) and DIR/muster_gloo.hpp (Gloo):

    single_header.py DIR

Every header stands in it once, in include order, within a guard of its own: a program may include both files.
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
SPDX = "// SPDX-License-Identifier: Apache-2.0"
FILES = {"muster.hpp": ("muster/muster.hpp", "with the NCCL backend"),
         "muster_gloo.hpp": ("muster/gloo.hpp", "with the Gloo backend")}
INCLUDE = re.compile(r"\s*#\s*include\s*<([^>]+)>")
OPENS, CLOSES = re.compile(r"\s*#\s*if"), re.compile(r"\s*#\s*endif")
DROPPED = re.compile(rf"{re.escape(SPDX)}$|#\s*pragma once|// IWYU pragma: ")


class Collector:
    """Reads a header and all that it includes: `parts` are the headers, `others` what the library does not hold."""

    def __init__(self, root):
        self.root, self.seen, self.parts, self.others = root, set(), [], set()

    def add(self, name):
        if name in self.seen:
            return
        self.seen.add(name)
        kept, depth = [], 0
        for line in (self.root / name).read_text(encoding="utf-8").splitlines():
            depth += bool(OPENS.match(line)) - bool(CLOSES.match(line))
            include = INCLUDE.match(line)
            if include and depth > 0 and include[1].startswith("muster/"):
                sys.exit(f"{name}: <{include[1]}> is included within #if; what the one file holds may not depend on it")
            if include and depth == 0:
                if include[1].startswith("muster/"):
                    self.add(include[1])
                else:
                    self.others.add(include[1])
            elif not DROPPED.match(line):
                kept.append(line)
        code = "\n".join(kept).strip()
        guard = "MUSTER_ONE_FILE_" + re.sub(r"\W", "_", name.removeprefix("muster/")).upper()
        self.parts.append(f"// {name}\n#ifndef {guard}\n#define {guard}\n\n{code}\n\n#endif // {guard}\n")


def version_of(root):
    return re.search(r'version = "([^"]+)"', (root / "muster/core/version.hpp").read_text(encoding="utf-8"))[1]


def one_file(root, entry, what):
    collector = Collector(root)
    collector.add(entry)
    others = sorted(collector.others, key=lambda name: ("." not in name, name))  # the standard's come last
    includes = "".join(f"#include <{name}>\n" for name in others)
    return (f"{SPDX}\n// muster {version_of(root)} {what}, as one file. Made by include/single_header.py from include/{entry}.\n"
            f"#pragma once\n\n{includes}\n" + "\n".join(collector.parts))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (entry, what) in FILES.items():
        (folder / name).write_text(one_file(HERE, entry, what), encoding="utf-8")


if __name__ == "__main__":
    main()
