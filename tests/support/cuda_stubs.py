# SPDX-License-Identifier: Apache-2.0
"""Lets a torch that was built for CUDA be imported where its CUDA libraries are not, for tests that never touch a GPU.

usage: cuda_stubs.py TORCH_FOLDER

Fills TORCH_FOLDER/lib with a stand-in for every library of NVIDIA's that the ones there need. All functions answer 100,
which is cudaErrorNoDevice.
"""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile

FAMILY = re.compile(r"lib(cu|nv|nccl)")  # what NVIDIA's libraries are called
NAMES = re.compile(r"(__)?(cu|nv|nccl)")  # and their functions


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed(library):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-d", library))


def undefined(libraries):
    """Symbols that the libraries leave to others, by the name of their version, which is the other library's; those
    without a version under ''."""
    found = collections.defaultdict(set)
    for library in libraries:
        for line in output("nm", "-D", "--undefined-only", library).splitlines():
            symbol, _, version = line.split()[-1].partition("@")
            found[version.lstrip("@")].add(symbol)
    return found


def build(name, versions, folder):
    """versions: the symbols of the library, by version."""
    with tempfile.TemporaryDirectory() as work:
        source, script = pathlib.Path(work, "stubs.c"), pathlib.Path(work, "versions")
        symbols = sorted(set().union(*versions.values()))
        source.write_text("\n".join(f"int {symbol}(void) {{ return 100; }}" for symbol in symbols))
        script.write_text("".join(f"{version} {{ {''.join(symbol + ';' for symbol in sorted(own))} }};\n"
                                  for version, own in versions.items() if version and own))
        versioned = [f"-Wl,--version-script={script}"] if script.read_text() else []
        subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{name}", *versioned, "-o", folder / name,
                        source], check=True)


def main(folder):
    libraries = sorted(folder.glob("*.so*"))
    present = {library.name for library in libraries}
    missing = {name for library in libraries for name in needed(library)
               if name not in present and FAMILY.match(name)}
    symbols = undefined(libraries)
    loose = {symbol for symbol in symbols[""] if NAMES.match(symbol)}  # without a version it may be anybody's
    for name in sorted(missing):
        build(name, {name: symbols.get(name, set()), "": loose - symbols.get(name, set())}, folder)
    print(f"{len(missing)} stand-ins in {folder}: {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) / "lib")
