# SPDX-License-Identifier: Apache-2.0
"""The quickstart, one unchanged binary, under the launchers that people have.

usage: launchers.py gloo|nccl|gpu shell|open-mpi|torchrun|torchrun-standalone QUICKSTART [README_EXAMPLE]
       launchers.py gloo mpi-rendezvous MPI_RENDEZVOUS

nccl is a program on the stand-in, which has 8 GPUs; gpu is one on the real libraries, for which this host must have them.
"""

import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from processes import Failure, Group, clean_environment, free_port, main, require, skip  # noqa: E402

backend, launcher, quickstart, *others = sys.argv[1:]
NAME = "gloo" if backend == "gloo" else "nccl"
LIMIT = 60  # seconds; a run takes one or two


def expect_mesh(output, tp, dp, cp, backend_launcher):
    """The table has every rank at its coordinate, and the last line says that all numbers were right."""
    world = tp * dp * cp
    lines = output.strip().splitlines()
    require(lines and lines[-1] == f"world {world} = DP {dp} x TP {tp} x CP {cp}: ok", f"last line: {lines[-1:]}")
    require(lines[0].startswith(f"world {world} = DP {dp} x TP {tp} x CP {cp}, backend {NAME}, launcher {backend_launcher}"),
            f"first line: {lines[0]}")
    rows = [line.split() for line in lines[2:-1]]
    require([int(row[0]) for row in rows] == list(range(world)), f"ranks in the table: {[row[0] for row in rows]}")
    require(len({row[2] for row in rows}) == world, "processes in the table are not all different")
    for rank, row in enumerate(rows):
        coordinate = [rank // (tp * cp), rank // cp % tp, rank % cp]
        require([int(cell) for cell in row[4:7]] == coordinate, f"rank {rank} stands at {row[4:7]}, not {coordinate}")


def one_command(command, environment=None):
    """Runs a launcher and gives back what it printed."""
    with Group() as group:
        process = group.start(command, environment or clean_environment(), launcher)
        group.wait(LIMIT)
        require(process.code == 0, f"{launcher} ended with {process.code}")
        return process.stdout


def shell(tp, dp, cp):
    world = tp * dp * cp
    with Group() as group:
        ranks = group.ranks([quickstart, "--tp", tp, "--dp", dp, "--cp", cp], range(world), world, free_port())
        group.wait(LIMIT)
        require(all(rank.code == 0 for rank in ranks), f"exit codes {[rank.code for rank in ranks]}")
        require(all(rank.stdout == "" for rank in ranks[1:]), "a rank other than 0 printed something")
        expect_mesh(ranks[0].stdout, tp, dp, cp, "environment")


def shell_sizes_from_the_environment():
    with Group() as group:
        ranks = group.ranks([quickstart], range(4), 4, free_port(), {"TP_SIZE": 2, "CP_SIZE": 1})
        group.wait(LIMIT)
        require(all(rank.code == 0 for rank in ranks), f"exit codes {[rank.code for rank in ranks]}")
        expect_mesh(ranks[0].stdout, 2, 2, 1, "environment")


def readme_example():
    with Group() as group:
        ranks = group.ranks([others[0]], range(8), 8, free_port())
        group.wait(LIMIT)
        require(all(rank.code == 0 for rank in ranks), f"exit codes {[rank.code for rank in ranks]}")
        require("world 8 = DP 2 x TP 2 x CP 2" in ranks[0].stdout, ranks[0].stdout)


def no_launcher():
    expect_mesh(one_command([quickstart, "--tp", "1", "--cp", "1"]), 1, 1, 1, "none")


def two_jobs_at_once():
    with Group() as group:
        for port in (free_port(), free_port()):
            group.ranks([quickstart, "--tp", 2, "--dp", 2, "--cp", 1], range(4), 4, port)
        group.wait(LIMIT)
        for process in group.all:
            require(process.code == 0, f"{process.name} ended with {process.code}")


def mpirun():
    found = shutil.which("mpirun.openmpi") or shutil.which("mpirun")
    version = found and subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    if not version or "open-mpi" not in version:  # its help address stands in the text of every version
        skip("Open MPI's mpirun is not installed (Debian: openmpi-bin)")
    return [found, "--oversubscribe", *(["--allow-run-as-root"] if os.geteuid() == 0 else [])]


def open_mpi(tp, dp, cp):
    expect_mesh(one_command([*mpirun(), "-n", tp * dp * cp, quickstart, "--tp", tp, "--dp", dp, "--cp", cp]),
                tp, dp, cp, "Open MPI")


def mpi_rendezvous(ranks):
    """The example of a policy of one's own: MPI says who is who, and where to meet."""
    expect_mesh(one_command([*mpirun(), "-n", ranks, quickstart]), 2, ranks // 2, 1, "MPI")


def mpi_rendezvous_that_does_not_fit():
    """A rank that fails ends all, and says why."""
    with Group() as group:
        process = group.start([*mpirun(), "-n", 3, quickstart], clean_environment(), "mpirun")
        group.wait(LIMIT)
        require(process.code != 0, "mpirun ended well")
        require("muster: world size 3 is not divisible by TP (2) * CP (1) = 2" in process.stderr, process.stderr)


def open_mpi_wrong_product(options, *texts):
    """A world that does not fit ends at once, in the one error, printed once."""
    with Group() as group:
        process = group.start([*mpirun(), "-n", 8, quickstart, *options], clean_environment(), "mpirun")
        group.wait(LIMIT)
        require(process.code != 0, "mpirun ended well")
        for text in texts:
            require(process.stderr.count(text) == 1, f"'{text}' stands {process.stderr.count(text)} times in the output")


def torch_python():
    python = os.environ.get("MUSTER_TORCH_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import torch.distributed.run"], capture_output=True, check=False).returncode != 0:
        skip(f"{python} cannot import torch.distributed.run")
    return python


def torchrun(tp, dp, cp, *options):
    output = one_command([torch_python(), "-m", "torch.distributed.run", *options, "--no-python", "--nproc-per-node",
                          tp * dp * cp, quickstart, "--tp", tp, "--dp", dp, "--cp", cp])
    expect_mesh(output, tp, dp, cp, "torchrun")


def static_options():
    """The agent serves the store at a port that is given: the default one may be taken on a shared machine."""
    return ["--rdzv-backend", "static", "--master-addr", "127.0.0.1", "--master-port", str(free_port())]


MESHES = [(1, 1, 1), (2, 1, 1), (1, 3, 1), (2, 2, 1), (3, 1, 2), (2, 2, 2), (4, 1, 2), (1, 1, 8)]

TESTS = {
    "shell": {f"shell loop {tp}x{dp}x{cp}": (lambda tp=tp, dp=dp, cp=cp: shell(tp, dp, cp)) for tp, dp, cp in MESHES}
    | {"sizes from TP_SIZE and CP_SIZE": shell_sizes_from_the_environment, "no launcher at all": no_launcher,
       "two jobs at once": two_jobs_at_once}
    | ({"the README's example": readme_example} if others else {}),
    "open-mpi": {"mpirun -n 8": lambda: open_mpi(2, 2, 2), "mpirun -n 6": lambda: open_mpi(3, 2, 1),
                 "mpirun -n 1": lambda: open_mpi(1, 1, 1), "mpirun -n 8 with 3 x 2 x 2": lambda: open_mpi_wrong_product(
                     ["--tp", 3, "--dp", 2, "--cp", 2],
                     "muster: world size 8 does not equal DP (2) * TP (3) * CP (2) = 12",
                     "world size: 8, from OMPI_COMM_WORLD_SIZE (Open MPI); DP: 2, from the constructor; TP: 3, from"),
                 "mpirun -n 8 with TP 3, DP to infer": lambda: open_mpi_wrong_product(
                     ["--tp", 3, "--cp", 1],
                     "muster: world size 8 is not divisible by TP (3) * CP (1) = 3, so DP cannot be inferred")},
    "mpi-rendezvous": {"mpirun -n 4": lambda: mpi_rendezvous(4), "mpirun -n 2": lambda: mpi_rendezvous(2),
                       "mpirun -n 3 with TP 2": mpi_rendezvous_that_does_not_fit},
    "torchrun": {"torchrun --no-python --nproc-per-node 8": lambda: torchrun(2, 2, 2),
                 "torchrun with a static store": lambda: torchrun(2, 2, 2, *static_options())},
    "torchrun-standalone": {"torchrun --standalone": lambda: torchrun(2, 2, 2, "--standalone")},
}

def gpus():
    """How many GPUs this host has, as the driver's own tool lists them."""
    if not shutil.which("nvidia-smi"):
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    return sum(line.startswith("GPU ") for line in listed.splitlines())


if __name__ == "__main__":
    if backend == "gpu" and gpus() < 8:
        print(f"SKIP: {gpus()} GPUs here; the 8 ranks of these tests need one each")
        sys.exit(77)
    if launcher in ("open-mpi", "mpi-rendezvous"):
        mpirun()
    if not quickstart:
        skip("the headers of Open MPI are not installed (Debian: libopenmpi-dev)")
    if launcher.startswith("torchrun"):
        torch_python()
    sys.exit(main(TESTS[launcher]))
