# SPDX-License-Identifier: Apache-2.0
"""Processes on hosts of different names: rank 0, and no other, warns of tensor-parallel groups that cross them.

usage: nodes.py QUICKSTART
"""

import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from processes import Group, clean_environment, free_port, main, require, skip  # noqa: E402

quickstart = sys.argv[1]
LIMIT = 60  # seconds; a run takes one or two
TP, DP = 2, 2


def on_host(name, *command):
    """The command as it starts on a host of that name."""
    return ["unshare", "--uts", "sh", "-c", 'echo "$0" >/proc/sys/kernel/hostname && exec "$@"', name, *command]


def said_on_stderr(hosts):
    """What each rank of a world with a rank on each of these hosts says there."""
    port = free_port()
    with Group() as group:
        for rank, host in enumerate(hosts):
            group.start(on_host(host, quickstart, "--tp", TP, "--dp", DP, "--cp", 1),
                        clean_environment(RANK=rank, WORLD_SIZE=len(hosts), MASTER_ADDR="127.0.0.1", MASTER_PORT=port),
                        f"rank {rank}")
        group.wait(LIMIT)
        require(all(rank.code == 0 for rank in group.all), f"exit codes {[rank.code for rank in group.all]}")
        return ["".join(line for line in rank.stderr.splitlines(True) if not line.startswith("muster: waiting for"))
                for rank in group.all]


def groups_across_nodes():
    said = said_on_stderr(["gpu01", "gpu02", "gpu01", "gpu02"])
    require(said[0].startswith("muster: warning: 2 of 2 TP groups cross nodes, so TP waits for the network\n"
                               "  groups: [0 1] on gpu01, gpu02; [2 3] on gpu01, gpu02\n  do: ") and
            said[0].count("\n") == 3, f"rank 0 said: {said[0]}")
    require(said[1:] == [""] * 3, f"the others said: {said[1:]}")


def groups_inside_nodes():
    said = said_on_stderr(["gpu01", "gpu01", "gpu02", "gpu02"])
    require(said == [""] * 4, f"said: {said}")


if __name__ == "__main__":
    if not shutil.which("unshare") or subprocess.run(on_host("gpu01", "true"), capture_output=True, check=False).returncode:
        skip("host names of their own need root and unshare (Debian: util-linux)")
    sys.exit(main({test.__name__: test for test in (groups_across_nodes, groups_inside_nodes)}))
