# SPDX-License-Identifier: Apache-2.0
"""Ranks that meet in a folder: missing, doubled, killed, on what a crashed run left, in a folder that is gone or read-only.

usage: file.py WORKER
"""

import os
import pathlib
import subprocess
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from processes import (AT_ONCE, DIED, ERROR, LISTENING, SLOW_MACHINE, Failure, Group, ended_with_error, free_port,  # noqa: E402
                       main, one_text, rank_process, require, until)

worker = sys.argv[1]


class Folder:
    """An empty folder with a place to meet in it."""

    def __enter__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="muster-test-"))
        self.path = self.root / "meet"
        return self

    def __exit__(self, *error):
        shutil.rmtree(self.root, ignore_errors=True)

    def start(self, group, ranks, world_size, *options, timeout=20000, **by_rank):
        return group.ranks([worker, "--file", self.path, "--timeout", timeout, *options], ranks, world_size, free_port(),
                           **by_rank)

    @property
    def place(self):
        return self.path / "muster-default"

    def presences(self):
        return sorted(path.name for path in self.place.glob(".here-*"))

    def require_clean(self):
        left = sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))
        require(left == ["meet"], f"left in the folder: {left}")

    def require_run(self, world_size=3):
        """A run like any other, which leaves nothing."""
        with Group() as group:
            self.start(group, range(world_size), world_size)
            group.wait(30)
            require(all(rank.code == 0 for rank in group.all), f"exit codes {[rank.code for rank in group.all]}")


def all_well():
    with Folder() as folder:
        for world_size in (2, 3, 6):
            folder.require_run(world_size)
            folder.require_clean()


def world_of_one():
    with Folder() as folder, Group() as group:
        folder.start(group, [0], 1)
        group.wait(30)
        require(group.all[0].code == 0, "it failed")
        require(not list(folder.root.iterdir()), "it wrote something")


def missing(absent):
    with Folder() as folder, Group() as group:
        here = [rank for rank in range(4) if rank not in absent]
        ranks = folder.start(group, here, 4, timeout=2000)
        group.wait(30)
        ended_with_error(ranks, 2 + LISTENING)
        if 0 in absent:
            require(all("1 of 4 ranks did not arrive within 2 s: 0" in rank.error for rank in ranks), ranks[0].error)
        else:
            text = one_text(ranks)
            require(f"{len(absent)} of 4 ranks did not arrive within 2 s: {', '.join(map(str, absent))}" in text, text)
            require(all(rank_process(rank) in text for rank in ranks), f"not all that came are named: {text}")
        folder.require_clean()


def missing_two():
    missing([1, 3])


def missing_rank_0():
    missing([0])


def late_rank_is_waited_for():
    with Folder() as folder, Group() as group:
        folder.start(group, [0, 1], 3)
        until(lambda: len(folder.presences()) == 2, "both are there")
        time.sleep(1)
        folder.start(group, [2], 3)
        group.wait(30)
        require(all(rank.code == 0 for rank in group.all), "a rank failed")
        folder.require_clean()


def killed_at_any_store_operation():
    """Rank 1 dies at its K-th word to the store, for every K: the others end in time and name it, and the next run in the
    same folder knows nothing of it and leaves it clean."""
    for operation in range(1, 40):
        with Folder() as folder, Group() as group:
            ranks = folder.start(group, range(3), 3, timeout=1000, r1=["--die-at-operation", operation])
            group.wait(30)
            if ranks[1].code == 0:
                require(operation > 5, f"rank 1 needs only {operation - 1} store operations?")
                require(all(rank.code == 0 for rank in ranks), "a rank failed in a run without a death")
                folder.require_clean()
                return
            require(ranks[1].code == DIED, f"operation {operation}: rank 1 ended with {ranks[1].code}")
            for rank in (ranks[0], ranks[2]):
                require(rank.code == ERROR, f"operation {operation}: {rank.name} ended with {rank.code}")
                require(rank.seconds < 1 + LISTENING + SLOW_MACHINE, f"operation {operation}: {rank.seconds:.1f} s")
                require("1" in rank.error, f"operation {operation}: rank 1 is not named: {rank.error}")
            folder.require_run()
            folder.require_clean()
    raise Failure("rank 1 never got through")


def killed_at_any_moment():
    """All ranks are killed at once, at any place; then a run of another size."""
    with Folder() as folder:
        for pause in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5):
            with Group() as group:
                folder.start(group, range(3), 3, "--linger", 20000)
                time.sleep(pause)
                for rank in group.all:
                    rank.kill()
            folder.require_run(2)
            folder.require_clean()


def killed_once_formed():
    with Folder() as folder:
        with Group() as group:
            folder.start(group, range(3), 3, "--linger", 20000)
            until(lambda: (folder.place / "formed").exists(), "the world forms")
            for rank in group.all:
                rank.kill()
        require(len(folder.presences()) == 3, f"who was there: {folder.presences()}")
        # What writers leave that die in the middle.
        (folder.place / "roll" / ".new-0123-1-1").write_text("muster-store-1 suff")
        (folder.place / "answer%2F0123").mkdir()
        folder.require_run()
        folder.require_clean()


def two_jobs():
    with Folder() as folder, Group() as group:
        for job in ("one", "the/other"):
            folder.start(group, range(3), 3, "--job", job)
        group.wait(30)
        require(all(rank.code == 0 for rank in group.all), f"exit codes {[rank.code for rank in group.all]}")
        folder.require_clean()


def two_jobs_of_one_name():
    """Never two worlds that took each other's ranks: whose rank is there already is told so at once."""
    for _ in range(3):
        with Folder() as folder, Group() as group:
            for _ in range(2):
                folder.start(group, range(3), 3, "--linger", 4000, timeout=3000)
            group.wait(30)
            formed = [rank for rank in group.all if rank.code == 0]
            others = [rank for rank in group.all if rank.code != 0]
            require(len(formed) in (0, 3), f"exit codes {[rank.code for rank in group.all]}")
            ended_with_error(others, 3 + LISTENING)
            require(any("is already at the meeting in" in rank.error for rank in others), others[0].error)
            folder.require_clean()


def doubled_rank():
    with Folder() as folder, Group() as group:
        first = folder.start(group, [2], 3)
        until(lambda: len(folder.presences()) == 1, "the first is there")
        second = folder.start(group, [2], 3)
        group.wait(10, second)
        ended_with_error(second, 1)
        require("rank 2 is already at the meeting in" in second[0].error and
                f"-{first[0].process.pid}-" in second[0].error, second[0].error)
        folder.start(group, [0, 1], 3)
        group.wait(30)
        require(all(rank.code == 0 for rank in group.all if rank is not second[0]), "the world failed")
        folder.require_clean()


def folder_that_is_removed():
    """Those who wait end at once, not at their deadline."""
    with Folder() as folder, Group() as group:
        ranks = folder.start(group, [0, 1], 3)
        until(lambda: len(folder.presences()) == 2, "both are there")
        time.sleep(0.5)
        removed = time.monotonic()
        until(lambda: shutil.rmtree(folder.path, ignore_errors=True) or not folder.path.exists(), "the folder is gone")
        group.wait(30)
        ended_with_error(ranks, removed - ranks[0].started + 2)
        for rank in ranks:
            require(f"{folder.place}: No such file or directory" in rank.error, rank.error)


def read_only_folder():
    """Every rank says at once that it cannot write, and where."""
    with Folder() as folder, Group() as group:
        folder.path.mkdir()
        command, words = [], "Permission denied"
        if os.geteuid() == 0:
            # Nothing keeps root from writing but the file system itself.
            command = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o ro,size=64k none "$0" && exec "$@"', str(folder.path)]
            if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
                print("skipped: the read-only folder: root may not mount here")
                return
            words = "Read-only file system"
        else:
            folder.path.chmod(0o555)
        ranks = group.ranks([*command, worker, "--file", folder.path, "--timeout", 20000], range(2), 2, free_port())
        group.wait(30)
        folder.path.chmod(0o755)
        ended_with_error(ranks, 2)
        for rank in ranks:
            require(f"cannot make the folder {folder.place}: {words}" in rank.error and "do: " in rank.error, rank.error)


def no_folder():
    with Folder() as folder, Group() as group:
        folder.path = folder.root / "no" / "where"
        ranks = folder.start(group, range(2), 2)
        group.wait(30)
        ended_with_error(ranks, 2)
        require(f"cannot make the folder {folder.path}: No such file or directory" in ranks[0].error, ranks[0].error)


if __name__ == "__main__":
    sys.exit(main({
        test.__name__.replace("_", " "): test for test in (
            all_well, world_of_one, missing_two, missing_rank_0, late_rank_is_waited_for, killed_at_any_store_operation,
            killed_at_any_moment, killed_once_formed, two_jobs, two_jobs_of_one_name, doubled_rank,
            folder_that_is_removed, read_only_folder, no_folder)}, at_once=AT_ONCE))
