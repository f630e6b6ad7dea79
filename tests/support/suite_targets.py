#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""suite_targets.py BUILD SUITE...: what ninja has to build for the tests of these suites, a line each."""
import json
import pathlib
import sys

build, wanted = pathlib.Path(sys.argv[1]).resolve(), {f"muster:{suite}" for suite in sys.argv[2:]}
tests, targets = (json.loads((build / f"meson-info/intro-{kind}.json").read_text()) for kind in ("tests", "targets"))
needed = {target for test in tests if wanted & set(test["suite"]) for target in test["depends"]}
for target in targets:
    if target["id"] in needed:
        print(*(pathlib.Path(file).relative_to(build) for file in target["filename"]), sep="\n")
