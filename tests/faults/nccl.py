# SPDX-License-Identifier: Apache-2.0
"""NCCL that hangs, fails, dies or is the wrong one, on the stand-in: everybody ends in time, in a text that names it.

usage: nccl.py WORKER
"""

import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from hosts import Hosts, can_make_hosts, ip  # noqa: E402
from processes import (AT_ONCE, DIED, LISTENING, Group, clean_environment, ended_with_error, free_port, main,  # noqa: E402
                       one_text, rank_process, require)

worker = sys.argv[1]
SOON = 3.0      # seconds: well before the deadline of those that do not wait for it
ABORT = 2.0     # seconds: the worker's limit for ending NCCL by force
LIMIT = 20000   # milliseconds
MESH = ["--tp", 2]


def run(group, script, *options, ranks=range(4), timeout=LIMIT, environment=None, command=(), **by_rank):
    """Four ranks in a 2 x 2 x 1 mesh: world, tp and dp have communicators."""
    started = group.ranks([*command, worker, "--timeout", timeout, *MESH, *options], ranks, 4, free_port(),
                          {"MUSTER_STANDIN": script, **(environment or {})}, **by_rank)
    group.wait(timeout / 1000 + 25, started)
    for process in started:
        require("standin: broken rule" not in process.stderr, f"{process.name} broke a rule of NCCL")
    return started


def says(text, *words):
    for word in words:
        require(word in text, f"'{word}' is not in: {text}")


def nothing_wrong():
    with Group() as group:
        require(all(rank.code == 0 for rank in run(group, "")), "a rank failed")


def slow_init_and_splits():
    with Group() as group:
        ranks = run(group, "ncclCommInitRankConfig@1:progress=1500;ncclCommSplit@2:progress=700")
        require(all(rank.code == 0 for rank in ranks), "a rank failed")


def init_stuck_on_one_rank():
    with Group() as group:
        ranks = run(group, "ncclCommInitRankConfig@2:stay", timeout=4000)
        ended_with_error(ranks, 4 + LISTENING + ABORT)
        says(one_text(ranks), "did not finish connecting within 4 s: ", f"2 ({rank_process(ranks[2])})")


def init_stuck_on_all():
    with Group() as group:
        ranks = run(group, "ncclCommInitRankConfig:stay", timeout=3000)
        ended_with_error(ranks, 3 + LISTENING + ABORT)
        says(one_text(ranks), "4 of 4 ranks came to the roll call but did not finish connecting within 3 s: 0 (",
             "ranks 0-3: NCCL did not connect ranks 0-3 within 3 s", "NCCL_SOCKET_IFNAME")


def init_that_does_not_return():
    with Group() as group:
        ranks = run(group, "ncclCommInitRankConfig@1:hang", timeout=3000)
        ended_with_error(ranks, 3 + LISTENING + ABORT)
        says(one_text(ranks), "did not finish connecting within 3 s: ", f"1 ({rank_process(ranks[1])})",
             "rank 1: NCCL's init on rank 1 of the NCCL communicator world of ranks 0-3 did not even return within 3 s")


def quick_failure(script, culprit, *words):
    with Group() as group:
        ranks = run(group, script)
        ended_with_error(ranks, SOON + ABORT)
        says(one_text(ranks), f"rank {culprit} ({rank_process(ranks[culprit])}) failed (communicator)", *words)


def error_of_init():
    quick_failure("ncclCommInitRankConfig@1:error=3", 1, "NCCL's init", "ncclInternalError (3)", "NCCL's last message")


def error_in_the_middle_of_init():
    quick_failure("ncclCommInitRankConfig@2:async=2", 2, "NCCL's init", "ncclSystemError (2)")


def error_of_one_split():
    quick_failure("ncclCommSplit#1@3:error=1", 3, "split on rank 3 of the NCCL communicator world of ranks 0-3",
                  "ncclUnhandledCudaError (1)")


def error_in_the_middle_of_the_second_split():
    quick_failure("ncclCommSplit#2@0:async=3", 0, "split on rank 0", "ncclInternalError (3)")


def split_stuck_on_one_rank():
    with Group() as group:
        ranks = run(group, "ncclCommSplit#2@1:stay", timeout=4000)
        ended_with_error(ranks, 4 + LISTENING + ABORT)
        says(one_text(ranks), "did not finish connecting within 4 s: ", f"1 ({rank_process(ranks[1])})")


def error_during_a_collective():
    """Rank 2 says what happened; the others see its communicator end."""
    with Group() as group:
        ranks = run(group, "ncclAllReduce@2:async=3")
        ended_with_error(ranks, SOON + ABORT)
        says(ranks[2].error, "on rank 2 of the NCCL communicator world of ranks 0-3", "ncclInternalError (3)")
        for rank in ranks:
            says(rank.error, f"on {rank.name} of the NCCL communicator world of ranks 0-3 failed: nccl")


def killed(script, within, *options, timeout=LIMIT, **by_rank):
    """Rank 2 ends without a word; the others end with an error, in time, and in no crash."""
    with Group() as group:
        ranks = run(group, script, *options, timeout=timeout, **by_rank)
        require(ranks[2].code == DIED, f"rank 2 ended with {ranks[2].code}")
        alive = [rank for rank in ranks if rank is not ranks[2]]
        ended_with_error(alive, within)
        return ranks, [rank.error for rank in alive]


def killed_before_the_roll_call():
    _, texts = killed("cudaSetDevice@2:die", 3 + LISTENING, timeout=3000)
    for text in texts:
        says(text, "1 of 4 ranks did not arrive within 3 s: 2")


def killed_at_init():
    ranks, texts = killed("ncclCommInitRankConfig@2:die", 3 + LISTENING + ABORT, timeout=3000)
    for text in texts:
        says(text, f"2 ({rank_process(ranks[2])})")


def killed_in_the_middle_of_init():
    killed("ncclCommInitRankConfig@0:progress=800;ncclCommInitRankConfig@2:dies=300", 4 + LISTENING + ABORT,
           timeout=4000)


def killed_at_a_split():
    killed("ncclCommSplit@2:die", 3 + LISTENING + ABORT, timeout=3000)


def killed_during_commit():
    """After its splits rank 2 tells the store that it is done: its 7th word or later."""
    killed("ncclCommSplit#2@2:dies=50;ncclCommSplit#2@0:progress=600", 3 + LISTENING + ABORT, timeout=3000)


def killed_before_a_collective():
    _, texts = killed("", SOON + ABORT, r2=["--die-after-commit"])
    for text in texts:
        says(text, "NCCL communicator world of ranks 0-3", "failed: ncclRemoteError (6)", "another rank ended")


def killed_during_a_collective():
    killed("ncclAllReduce@2:die", SOON + ABORT)


def few_open_files():
    with Group() as group:
        ranks = run(group, "", command=["bash", "-c", 'ulimit -Sn 300; exec "$@"', "few"])
        require(all(rank.code == 0 for rank in ranks), "a rank failed")
        says(ranks[0].stderr, "muster: rank 0: warning: the limit of open files is 300, and a world of 4 ranks may need 320",
             "ulimit -n 320")
        require(all("warning" not in rank.stderr for rank in ranks[1:]), "more than one rank of the host warns")


def setting_that_the_environment_beats():
    with Group() as group:
        ranks = run(group, "", "--max-ctas", 8, environment={"NCCL_MAX_CTAS": "4"})
        require(all(rank.code == 0 for rank in ranks), "a rank failed")
        says(ranks[0].stderr, "warning: NCCL_MAX_CTAS=4 in the environment beats NcclConfig::max_ctas")


def interface_that_the_others_cannot_reach():
    """Two hosts: rank 0's NCCL chose the interface of a network that only its own host is in."""
    with Hosts(2) as (near, far), Group() as group:
        ip("-n", near.name, "link", "add", "private0", "type", "veth", "peer", "name", "private1")
        ip("-n", near.name, "addr", "add", "10.99.0.1/24", "dev", "private0")
        for side in ("private0", "private1"):
            ip("-n", near.name, "link", "set", side, "up")
        ip("-n", far.name, "route", "add", "unreachable", "10.99.0.0/24")
        for rank, host in enumerate((near, far)):
            interface = {"NCCL_SOCKET_IFNAME": "private0"} if host == near else {}
            group.start(host.run(worker, "--timeout", 4000),
                        clean_environment(RANK=rank, LOCAL_RANK=rank, LOCAL_WORLD_SIZE=2, WORLD_SIZE=2,
                                          MASTER_ADDR=near.ipv4, MASTER_PORT=29500, **interface), f"rank {rank}")
        group.wait(30)
        ended_with_error(group.all, 4 + LISTENING + ABORT)
        warning = ("NCCL will meet at 10.99.0.1, the address of the interface that it chose on rank 0, and this rank cannot "
                   "reach that address (No route to host)")
        says(group.all[1].stderr, f"muster: rank 1: warning: {warning}")
        says(one_text(group.all), "NCCL's init on rank 1 of the NCCL communicator world of ranks 0, 1 failed",
             f"before that: {warning}")


def abort_that_hangs():
    """The process ends all the same, and says what it left behind."""
    with Group() as group:
        ranks = run(group, "ncclCommSplit#1@0:async=3;ncclCommAbort@1:hang;rules=count@1")
        ended_with_error(ranks, SOON + 3 * ABORT)
        one_text(ranks)
        says(ranks[1].stderr, "muster: ncclCommAbort on rank 1 of the NCCL communicator world of ranks 0-3 did not return "
             "within 2 s: the communicator is left behind")


def abort_that_fails():
    """What NCCL says at the end is not lost; the text about the first failure stays the same on all ranks."""
    with Group() as group:
        ranks = run(group, "ncclCommSplit#1@0:async=3;ncclCommAbort@1:error=3;rules=count@1")
        ended_with_error(ranks, SOON + ABORT)
        one_text(ranks)
        says(ranks[1].stderr, "muster: ncclCommAbort on rank 1 of the NCCL communicator world of ranks 0-3 failed: "
             "ncclInternalError (3)")


def told_to_block():
    with Group() as group:
        ranks = run(group, "", environment={"NCCL_COMM_BLOCKING": "1"})
        ended_with_error(ranks, SOON)
        says(one_text(ranks), "muster: NCCL_COMM_BLOCKING=1 makes NCCL wait without a limit", "in the environment", "unset")


def told_to_block_by_a_file():
    with Group() as group, tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("# site\nNCCL_COMM_BLOCKING=1\n")
        file.flush()
        ranks = run(group, "", environment={"NCCL_CONF_FILE": file.name})
        ended_with_error(ranks, SOON)
        says(one_text(ranks), f"in {file.name}")


def another_version_on_one_rank():
    with Group() as group:
        ranks = run(group, "version=29901@2")
        ended_with_error(ranks, SOON)
        says(one_text(ranks), "muster: ranks disagree on the version of NCCL", f"2.99.1: rank 2 ({rank_process(ranks[2])})")


def another_variable_on_one_rank():
    with Group() as group:
        ranks = run(group, "", environment={"NCCL_ALGO": lambda rank: "Tree" if rank == 2 else "Ring",
                                            "NCCL_DEBUG_FILE": lambda rank: f"/tmp/rank{rank}"})
        ended_with_error(ranks, SOON)
        says(one_text(ranks), "muster: ranks disagree on NCCL_ALGO", "Ring: ranks 0 (",
             f"Tree: rank 2 ({rank_process(ranks[2])})", "do: make NCCL_ALGO the same on all ranks")


def variable_on_one_rank_alone():
    with Group() as group:
        ranks = run(group, "", environment={"NCCL_PROTO": lambda rank: "LL" if rank == 3 else ""})
        ended_with_error(ranks, SOON)
        says(one_text(ranks), "muster: ranks disagree on NCCL_PROTO", "none: ranks 0 (", "LL: rank 3 (")


def library_that_is_too_old():
    with Group() as group:
        ranks = run(group, "version=21605")
        ended_with_error(ranks, SOON)
        says(one_text(ranks), "muster: NCCL 2.16.5 is too old: this program was built with nccl.h", "LD_LIBRARY_PATH")


def old_library_on_one_rank():
    with Group() as group:
        ranks = run(group, "version=21605@3")
        ended_with_error(ranks, SOON)
        says(one_text(ranks), f"rank 3 ({rank_process(ranks[3])}) failed before it: NCCL 2.16.5 is too old")


def two_ranks_on_one_gpu():
    with Group() as group:
        ranks = run(group, "", r2=["--device", 1])
        ended_with_error(ranks, SOON)
        says(one_text(ranks), "muster: ranks 1 and 2 both use GPU GPU-", f"rank 1 ({rank_process(ranks[1])}): LOCAL_RANK=1",
             f"rank 2 ({rank_process(ranks[2])}): Options::device")


def two_ranks_on_one_gpu_as_asked():
    with Group() as group:
        ranks = run(group, "", "--share", environment={"NCCL_HOSTID": lambda rank: f"host{rank}"}, r2=["--device", 1])
        require(all(rank.code == 0 for rank in ranks), "a rank failed")


def no_driver():
    with Group() as group:
        ranks = run(group, "no-driver@1")
        ended_with_error(ranks, SOON)
        says(one_text(ranks), f"rank 1 ({rank_process(ranks[1])}) failed before it: this process sees no GPU",
             "cudaGetDeviceCount")


def fewer_gpus_than_ranks():
    with Group() as group:
        ranks = run(group, "devices=3")
        ended_with_error(ranks, SOON)
        says(one_text(ranks), f"rank 3 ({rank_process(ranks[3])}) failed before it: local rank 3 has no GPU of its own: "
             "this process sees 3", "LOCAL_RANK=3")


def gpu_that_cannot_be_taken():
    with Group() as group:
        ranks = run(group, "cudaSetDevice@0:error=101")
        ended_with_error(ranks, SOON)
        says(one_text(ranks), f"rank 0 ({rank_process(ranks[0])}) failed before it: cudaSetDevice(0), from LOCAL_RANK=0, "
             "failed: cudaErrorInvalidDevice (101)")


if __name__ == "__main__":
    if not can_make_hosts():
        print("without the test of an interface that the others cannot reach: it needs root, ip and network namespaces")
    sys.exit(main({
        test.__name__.replace("_", " "): test for test in (
            nothing_wrong, slow_init_and_splits, init_stuck_on_one_rank, init_stuck_on_all, init_that_does_not_return,
            error_of_init, error_in_the_middle_of_init, error_of_one_split, error_in_the_middle_of_the_second_split,
            split_stuck_on_one_rank, error_during_a_collective, killed_before_the_roll_call, killed_at_init,
            killed_in_the_middle_of_init, killed_at_a_split, killed_during_commit, killed_before_a_collective,
            killed_during_a_collective, few_open_files, setting_that_the_environment_beats,
            *([interface_that_the_others_cannot_reach] if can_make_hosts() else []), abort_that_hangs, abort_that_fails, told_to_block, told_to_block_by_a_file,
            another_version_on_one_rank, another_variable_on_one_rank, variable_on_one_rank_alone, library_that_is_too_old, old_library_on_one_rank, two_ranks_on_one_gpu,
            two_ranks_on_one_gpu_as_asked, no_driver, fewer_gpus_than_ranks, gpu_that_cannot_be_taken)}, at_once=AT_ONCE))
