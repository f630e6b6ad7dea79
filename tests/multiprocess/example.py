# SPDX-License-Identifier: Apache-2.0
"""Runs an example as a shell loop would, and fails unless every rank ends well and rank 0 says something.

usage: example.py RANKS PROGRAM [ARGUMENT]...
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from processes import Group, ended_well, free_port, main, require  # noqa: E402

ranks, *command = sys.argv[1:]
LIMIT = 120  # seconds; they take a few


def runs():
    with Group() as group:
        processes = group.ranks(command, range(int(ranks)), int(ranks), free_port())
        group.wait(LIMIT)
        ended_well(processes)
        require(processes[0].stdout != "", "rank 0 printed nothing")
        print(processes[0].stdout, end="")


sys.exit(main({pathlib.Path(command[0]).name: runs}))
