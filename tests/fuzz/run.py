#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A short run of a libFuzzer target on its corpus: run.py PROGRAM CORPUS

For a long one give the program the corpus itself: PROGRAM -max_total_time=600 FOLDER CORPUS, where what is found
new goes to FOLDER.
"""
import pathlib
import subprocess
import sys
import tempfile

program, corpus = sys.argv[1:]
if not any(pathlib.Path(corpus).iterdir()):
    sys.exit(f"{corpus} is empty")
# A target that finds nothing ends with 0; one that does, shows the bytes and ends otherwise.
limits = ["-seed=1", "-runs=20000", "-max_total_time=20", "-max_len=4096", "-timeout=20", "-rss_limit_mb=2048"]
with tempfile.TemporaryDirectory() as found:
    command = [program, *limits, f"-artifact_prefix={found}/", "-print_final_stats=1", found, corpus]
    sys.exit(subprocess.run(command).returncode)
