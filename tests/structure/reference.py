# SPDX-License-Identifier: Apache-2.0
"""Writes the API reference as HTML, and fails on any warning of Doxygen: every public name has its comment.

usage: reference.py DOXYGEN SOURCE_ROOT OUTPUT
       reference.py DOXYGEN SOURCE_ROOT --self-test
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

PAGES = 100  # far fewer, and Doxygen saw no header


def warnings(doxygen, root, output):
    output.mkdir(parents=True, exist_ok=True)
    run = subprocess.run([doxygen, "docs/Doxyfile"], cwd=root, env=os.environ | {"MUSTER_REFERENCE": str(output)},
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield from (line.replace(f"{root}/", "") for line in run.stdout.splitlines() if line.strip())
    if run.returncode != 0:
        yield f"{doxygen} ended with {run.returncode}"
    pages = len(list((output / "html").glob("*.html")))
    if pages < PAGES:
        yield f"{output}/html has {pages} pages, fewer than {PAGES}"


# What is done to a header, and the word that a complaint about it must have.
BAD = {
    "a member": ("core/deadline.hpp", "    /// Whether it has passed.\n", "", "expired"),
    "a member below another": ("core/deadline.hpp", "    /// Time left, never",
                               "    void first();\n\n    /// Time left, never", "first"),
    "a function": ("core/log.hpp", "/// The default sink", "void second();\n\n/// The default sink", "second"),
    "a type": ("core/error.hpp", "/// What kind of",
               "struct Third {\n    int fourth;\n};\n\n/// What kind of", "Third"),
    "an empty type": ("core/log.hpp", "/// Where progress", "struct Sixth {};\n\n/// Where progress", "Sixth"),
    "a concept": ("comm/reduction.hpp", "/// Satisfied", "// Satisfied", "Reduction"),
    "a reference to nothing": ("core/version.hpp", "/// Version", "/// @copydoc fifth()\n/// Version", "fifth"),
}


def self_test(doxygen, root):
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        for part in ("docs/Doxyfile", "docs/doxygen_filter.py"):
            (copy / part).parent.mkdir(exist_ok=True)
            shutil.copy(root / part, copy / part)
        shutil.copytree(root / "include/muster", copy / "include/muster")
        for name, old, new, _ in BAD.values():
            header = copy / "include/muster" / name
            text = header.read_text()
            if old not in text:
                yield f"{name} has no {old!r} any more"
            header.write_text(text.replace(old, new, 1))
        found = list(warnings(doxygen, copy, copy / "output"))
        for what, (*_, word) in BAD.items():
            if not any(word in warning for warning in found):
                yield f"{what}: no complaint with {word!r}"
        print(f"{len(found)} complaints about {len(BAD)} mistakes")


def main():
    doxygen, root, output = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), sys.argv[3]
    found = list(self_test(doxygen, root) if output == "--self-test" else
                 warnings(doxygen, root, pathlib.Path(output).resolve()))
    print("\n".join(found) or "ok")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
