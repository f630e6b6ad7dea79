#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that mistakes do not compile, and that the compiler's text for them has the promised words.

    run.py BUILD/compile_commands.json FILE

A case of FILE is a line `// CASE NAME: words` and a block

    #ifdef NAME
    the mistake
    #else
    the nearest thing that is right
    #endif

FILE is compiled the way the build compiles it, but for the syntax only. Without any case defined it must compile. With
a case defined it must not, and one of the compiler's errors must have the words, in itself or in one of its notes.
The includes that FILE begins with are compiled once for all cases.
"""

import contextlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

LAUNCHERS = {"ccache", "sccache", "distcc", "icecc"}
TAKES_FILE = {"-o", "-MF", "-MQ", "-MT"}
TAKES_NOTHING = {"-c", "-MD", "-MMD", "-MP"}
INSTANTIATION = re.compile(r"^\S[^\n]*?: (In instantiation of .*)$")  # g++ says it before the error, clang++ in a note
DIAGNOSTIC = re.compile(r"^\S[^\n]*?: (fatal error|error|warning|note): (.*)$")


def compile_command(database: pathlib.Path, source: pathlib.Path) -> tuple[list[str], str]:
    """The build's own command for the source, without it and its outputs; and the folder that it runs in."""
    for entry in json.loads(database.read_text()):
        if (pathlib.Path(entry["directory"]) / entry["file"]).resolve() == source:
            break
    else:
        sys.exit(f"{database} has no command for {source}")
    given = entry["arguments"] if "arguments" in entry else shlex.split(entry["command"])
    while given and pathlib.PurePath(given[0]).name in LAUNCHERS:
        given = given[1:]
    command = []
    arguments = iter(given)
    for argument in arguments:
        if argument in TAKES_FILE:
            next(arguments)
        elif argument not in TAKES_NOTHING and argument != entry["file"]:
            command.append(argument)
    return [*command, "-fdiagnostics-color=never"], entry["directory"]


@contextlib.contextmanager
def precompiled(command: list[str], folder: str, text: str):
    """The arguments with which the compiler has read the includes at the beginning of the text already."""
    includes = "".join(re.findall(r"^#include <.*\n", text.partition("#ifdef")[0], re.M))
    is_gcc = "Free Software" in subprocess.run([command[0], "--version"], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as made:
        header = pathlib.Path(made) / "includes.hpp"
        header.write_text(includes)
        done = f"{header}.gch" if is_gcc else f"{header}.pch"
        result = subprocess.run([*command, "-x", "c++-header", header, "-o", done], cwd=folder, check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if result.returncode != 0:
            sys.exit("its includes do not compile:\n" + result.stdout)
        yield ["-include", header] if is_gcc else ["-include-pch", done]


def errors_in(text: str) -> list[str]:
    """Each error with its notes, one string each. The source lines that the compiler shows are left out: they would
    match words that only the test's own text has."""
    errors = []
    in_error = False
    within = ""
    for line in text.splitlines():
        if found := INSTANTIATION.match(line):
            within = found.group(1).replace("::v0_1::", "::")
        found = DIAGNOSTIC.match(line)
        if not found:
            continue
        kind, message = found.groups()
        message = message.replace("::v0_1::", "::")  # which compilers show or leave out
        if kind.endswith("error"):
            errors.append("\n".join(filter(None, (message, within))))
            within = ""
            in_error = True
        elif kind == "warning":
            in_error = False
        elif in_error:
            errors[-1] += "\n" + message
    return errors


def cases_in(text: str) -> dict[str, str]:
    """Name and promised words of each case. A case without a block or without an #else is a mistake in the file."""
    cases = {}
    for name, words in re.findall(r"^// CASE (\w+): (.*\S)\s*$", text, re.M):
        if name in cases:
            sys.exit(f"case {name} stands twice")
        cases[name] = words
    blocks = re.findall(r"^#ifdef (\w+)$(.*?)^#endif$", text, re.M | re.S)
    twins = {name for name, body in blocks if re.search(r"^#else$\s*\S", body, re.M)}
    for name in cases.keys() - twins:
        sys.exit(f"case {name} has no block '#ifdef {name}', or the block has no #else with what is right")
    for name in {name for name, _ in blocks} - cases.keys():
        sys.exit(f"block {name} has no line '// CASE {name}: words'")
    if not cases:
        sys.exit("no '// CASE NAME: words' line")
    return cases


def main() -> None:
    database, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    command, folder = compile_command(database, source)
    cases = cases_in(source.read_text())

    failures = []
    with precompiled(command, folder, source.read_text()) as headers:
        def compile_with(*defines: str) -> subprocess.CompletedProcess:
            return subprocess.run(
                [*command, "-fsyntax-only", *defines, *headers, source],
                cwd=folder,
                env={**os.environ, "LC_ALL": "C"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )

        control = compile_with()
        if control.returncode != 0:
            sys.exit("without a case the file does not compile:\n" + control.stdout)
        for name, words in cases.items():
            result = compile_with("-D" + name)
            if result.returncode == 0:
                failures.append(f"{name}: compiles, but must not")
            elif not any(words in error for error in errors_in(result.stdout)):
                failures.append(f"{name}: no error says '{words}':\n{result.stdout}")
            else:
                print(f"{name}: refused, as it must be")
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
