#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the two units of one program, each with every header: all_headers.py INCLUDE_DIR A.cpp B.cpp [BACKEND...]"""
import pathlib
import sys

import include_graph
from headers import missing_backend


def write(path, text):
    """Keeps an unchanged file as it is, so that it is not compiled again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


include, a, b, *backends = sys.argv[1:]
graph = include_graph.read(pathlib.Path(include))
lines = "".join(f"#include <muster/{name}>\n" for name in graph if not missing_backend(graph, name, backends))
write(pathlib.Path(a), lines + "void other_unit();\nint main() { other_unit(); }\n")
write(pathlib.Path(b), lines + "void other_unit();\nvoid other_unit() {}\n")
