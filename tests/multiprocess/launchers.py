# SPDX-License-Identifier: Apache-2.0
"""The quickstart, one unchanged binary, under the launchers that people have.

usage: launchers.py gloo|nccl|gpu shell|open-mpi|mpich|slurm|torchrun|torchrun-standalone QUICKSTART [README_EXAMPLE]
       launchers.py gloo mpi-rendezvous MPI_RENDEZVOUS

nccl is a program on the stand-in, which has 8 GPUs; gpu is one on the real libraries, for which this host must have them.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import slurm  # noqa: E402
from processes import Group, clean_environment, free_port, main, require, skip  # noqa: E402

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


def open_mpi_path():
    """The path of Open MPI's mpirun; nothing where it is not installed."""
    found = shutil.which("mpirun.openmpi") or shutil.which("mpirun")
    version = found and subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    return found if version and "open-mpi" in version else None  # its help address stands in the text of every version


def mpirun():
    found = open_mpi_path()
    if not found:
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


def hydra_path():
    """The path of MPICH's mpiexec; nothing where it is not installed."""
    for name in ("mpiexec.hydra", "mpiexec.mpich", "mpiexec"):
        if found := shutil.which(name):
            if "HYDRA" in subprocess.run([found, "-info"], capture_output=True, text=True, check=False).stdout:
                return found
    return None


def mpich(tp, dp, cp, *options):
    expect_mesh(one_command([hydra_path(), *options, "-n", tp * dp * cp, quickstart, "--tp", tp, "--dp", dp, "--cp", cp]),
                tp, dp, cp, "Hydra")


def mpich_without_a_size():
    with Group() as group:
        process = group.start([hydra_path(), "-pmi-port", "-n", 2, quickstart], clean_environment(), "mpiexec")
        group.wait(LIMIT)
        require(process.code != 0, "mpiexec ended well")
        require("muster: WORLD_SIZE is not set" in process.stderr and "leave out -pmi-port" in process.stderr, process.stderr)


def met_at(output):
    found = re.search(r", met at ([^ ]+) ", output)
    require(found, f"no address in: {output[:200]}")
    return found[1]


def mpich_two_jobs_at_once():
    """Hydra tells no job's name, yet two jobs on one host meet each at a port of its own, also behind a wrapper."""
    script = f"{shlex.quote(quickstart)} --tp 2 --dp 2 --cp 1; exit $?"
    with Group() as group:
        jobs = [group.start([hydra_path(), "-n", 4, "sh", "-c", script], clean_environment(), f"job {job}")
                for job in range(2)]
        group.wait(LIMIT)
        for job in jobs:
            require(job.code == 0, f"{job.name} ended with {job.code}")
            expect_mesh(job.stdout, 2, 2, 1, "Hydra")
        require(met_at(jobs[0].stdout) != met_at(jobs[1].stdout), "both jobs met at one address")


def srun(tp, dp, cp, *options):
    command = [slurm.find("srun"), *options, "-n", tp * dp * cp, quickstart, "--tp", tp, "--dp", dp, "--cp", cp]
    expect_mesh(one_command(command, cluster.environment()), tp, dp, cp, "Slurm")


def program(tp, dp, cp):
    return f"{shlex.quote(quickstart)} --tp {tp} --dp {dp} --cp {cp}"


def batch_script(launch, backend_launcher, *options):
    """Ranks that mpirun has started are mpirun's, although the variables of the script, or of the step in which its
    daemons run, are there, too."""
    code, output = cluster.batch(f"{launch} {program(2, 2, 2)}", "-n", 8, *options)
    require(code == 0, f"the script ended with {code}: {output}")
    expect_mesh(output, 2, 2, 2, backend_launcher)


def bare_batch_script(within=()):
    """Also where the script inherits the variables of a step, from within which it was submitted."""
    code, output = cluster.batch(program(2, 2, 2), "-n", 8, within=within)
    require(code != 0, f"a program without srun ended well: {output}")
    require(output.count("muster: this process is in a Slurm allocation of 8 tasks, but srun did not start it") == 1, output)
    require("do: start the program with srun" in output, output)


def batch_script_of_one_task():
    code, output = cluster.batch(program(1, 1, 1), "-n", 1)
    require(code == 0, f"the only task ended with {code}: {output}")
    expect_mesh(output, 1, 1, 1, "none")


def two_steps_at_once():
    steps = " & ".join(f"srun --exact -n 4 {program(2, 2, 1)} >{shlex.quote(str(cluster.folder))}/step{step} 2>&1"
                       for step in range(2))
    code, output = cluster.batch(f"{steps} & wait", "-n", 8)
    require(code == 0, f"the script ended with {code}: {output}")
    outputs = [(cluster.folder / f"step{step}").read_text() for step in range(2)]
    for output in outputs:
        expect_mesh(output, 2, 2, 1, "Slurm")
    require(met_at(outputs[0]) != met_at(outputs[1]), "both steps met at one address")


def contradiction():
    """RANK from before srun is the same for all tasks, as a script has it that exports SLURM_PROCID."""
    with Group() as group:
        command = [slurm.find("srun"), "--kill-on-bad-exit=1", "-n", 2, quickstart]
        process = group.start(command, cluster.environment(RANK=0), "srun")
        group.wait(LIMIT)
        require(process.code != 0, "srun ended well")
        require("muster: RANK=0 contradicts SLURM_PROCID=1 of Slurm" in process.stderr, process.stderr)


def torchrun_in_srun():
    command = ["-m", "torch.distributed.run", "--standalone", "--no-python", "--nproc-per-node", 8]
    output = one_command([slurm.find("srun"), "-n", 1, torch_python(), *command, quickstart, "--tp", 2, "--dp", 2, "--cp", 2],
                         cluster.environment())
    expect_mesh(output, 2, 2, 2, "torchrun")


def slurm_tests():
    """What runs inside Slurm beside srun is tested where it is installed; with --full all of it has to be."""
    tests = {"srun -n 8": lambda: srun(2, 2, 2), "srun -N 1 -n 6": lambda: srun(3, 2, 1, "-N", 1),
             "srun -n 1": lambda: srun(1, 1, 1), "srun --mpi=pmi2": lambda: srun(2, 2, 1, "--mpi=pmi2"),
             "srun in a batch script": lambda: batch_script("srun", "Slurm"),
             "a batch script without srun": bare_batch_script,
             "a batch script without srun, of one task": batch_script_of_one_task,
             "the same for several, submitted within a step": lambda: bare_batch_script(("srun", "-n", 1)),
             "two steps at the same time in one job": two_steps_at_once,
             "RANK of before srun": contradiction}
    full = bool(os.environ.get("MUSTER_FULL"))
    if full or open_mpi_path():
        tests["mpirun in a batch script"] = lambda: batch_script(shlex.join([*mpirun(), "-n", "8"]), "Open MPI")
    if full or hydra_path():
        tests["mpiexec in a batch script"] = lambda: batch_script(f"{hydra_path()} -n 8", "Hydra")
    if full or has_torch():
        tests["torchrun in srun"] = torchrun_in_srun
    return tests


def two_node_tests():
    """Both nodes are this host. The ranks meet at the first of them; mpirun's daemons are tasks of a step of their own."""
    each = ("-N", 2, "--ntasks-per-node", 4)
    tests = {"srun -N 2 -n 8": lambda: srun(2, 2, 2, "-N", 2),
             "srun -N 2 -n 6, cyclic": lambda: srun(3, 2, 1, "-N", 2, "-m", "cyclic"),
             "srun -N 2 -n 3": lambda: srun(3, 1, 1, "-N", 2)}
    full = bool(os.environ.get("MUSTER_FULL"))
    if full or open_mpi_path():
        tests["mpirun in a batch script, two nodes"] = lambda: batch_script(
            shlex.join([*mpirun(), "-n", "8"]), "Open MPI", *each)
    if full or hydra_path():
        tests["mpiexec in a batch script, two nodes"] = lambda: batch_script(f"{hydra_path()} -n 8", "Hydra", *each)
    return tests


def has_torch():
    python = os.environ.get("MUSTER_TORCH_PYTHON", sys.executable)
    return subprocess.run([python, "-c", "import torch.distributed.run"], capture_output=True, check=False).returncode == 0


def torch_python():
    python = os.environ.get("MUSTER_TORCH_PYTHON", sys.executable)
    if not has_torch():
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
    "mpich": {"mpiexec -n 8": lambda: mpich(2, 2, 2), "mpiexec -n 6": lambda: mpich(3, 2, 1),
              "mpiexec -n 1": lambda: mpich(1, 1, 1),
              "mpiexec -genv MASTER_PORT": lambda: mpich(2, 1, 2, "-genv", "MASTER_PORT", free_port()),
              "mpiexec -pmi-port with WORLD_SIZE": lambda: mpich(2, 2, 1, "-pmi-port", "-genv", "WORLD_SIZE", 4),
              "mpiexec -pmi-port without": mpich_without_a_size, "two jobs at once": mpich_two_jobs_at_once},
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
    if launcher == "mpi-rendezvous":  # MPI_Finalize unloads plugins that keep memory: no suppression can name them
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    if launcher == "mpich" and not hydra_path():
        skip("MPICH's mpiexec is not installed (Debian: mpich)")
    if launcher == "slurm":
        slurm.need()
        failed = 0
        # Two nodes on one host have the same GPUs, which two ranks may not share.
        two_nodes = [(2, two_node_tests())] if backend == "gloo" else []
        for nodes, tests in ((1, slurm_tests()), *two_nodes):
            with slurm.Slurm(nodes) as cluster:
                status = main(tests)
                if status != 0:
                    print(cluster.logs())
                failed += status
        sys.exit(failed)
    if not quickstart:
        skip("the headers of Open MPI are not installed (Debian: libopenmpi-dev)")
    if launcher.startswith("torchrun"):
        torch_python()
    sys.exit(main(TESTS[launcher]))
