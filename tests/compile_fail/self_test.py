#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that run.py can fail: self_test.py COMPILER... checks it on small files, each wrong in one way."""

import json
import pathlib
import subprocess
import sys
import tempfile

RUN = pathlib.Path(__file__).with_name("run.py")

GOOD = """
// CASE WRONG: size is wrong
#ifdef WRONG
static_assert(sizeof(char) == 2, "size is wrong");
#else
static_assert(sizeof(char) == 1, "size is wrong");
#endif
"""

# What is wrong, the file, and what run.py must say; None where nothing is wrong.
FILES = [
    ("nothing", GOOD, None),
    ("the case compiles", GOOD.replace("== 2", "== 1"), "WRONG: compiles, but must not"),
    ("other words", GOOD.replace(': size is wrong', ': size is odd'), "WRONG: no error says 'size is odd'"),
    ("the words stand only in the source", GOOD.replace('2, "size is wrong");', "2); // size is wrong"),
     "WRONG: no error says"),
    ("the words stand only in a warning", GOOD.replace('static_assert(sizeof(char) == 2, "size is wrong");',
                                                       '#warning "size is wrong"\n#error "no"'), "WRONG: no error says"),
    ("the control does not compile", GOOD.replace("== 1", "== 3"), "without a case the file does not compile"),
    ("no right twin", GOOD.replace("#else\nstatic_assert(sizeof(char) == 1, \"size is wrong\");\n", ""),
     "case WRONG has no block"),
    ("no block", GOOD.replace("#ifdef WRONG", "#ifdef RONG"), "case WRONG has no block"),
    ("a block that is no case", GOOD + "#ifdef OTHER\n#else\n#endif\n", "block OTHER has no line"),
    ("no cases", "int i;\n", "no '// CASE NAME: words' line"),
]


def run(compiler: list[str], text: str) -> subprocess.CompletedProcess:
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "file.cpp"
        source.write_text(text)
        database = pathlib.Path(folder) / "compile_commands.json"
        # With all that run.py must take out: a launcher and the outputs.
        command = " ".join(["ccache", *compiler, "-std=c++20 -MD -MQ file.o -MF file.d -o file.o -c file.cpp"])
        database.write_text(json.dumps([{"directory": folder, "command": command, "file": "file.cpp"}]))
        result = subprocess.run([sys.executable, RUN, database, source], capture_output=True, text=True, check=False)
        left = sorted(path.name for path in pathlib.Path(folder).iterdir())
        if left != ["compile_commands.json", "file.cpp"]:
            sys.exit(f"run.py wrote files: {left}")
        return result


def main() -> None:
    for what, text, wanted in FILES:
        result = run(sys.argv[1:], text)
        said = result.stdout + result.stderr
        if (result.returncode == 0) != (wanted is None) or (wanted or "") not in said:
            sys.exit(f"{what}: wanted {wanted!r}, run.py returned {result.returncode} and said:\n{said}")
        print(f"{what}: as it must be")


if __name__ == "__main__":
    main()
