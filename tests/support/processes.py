# SPDX-License-Identifier: Apache-2.0
"""Real processes for the multiprocess and fault tests: start ranks, collect what they say, never wait for ever."""

import concurrent.futures
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time

LAUNCH_VARIABLES = ("CUDA_VISIBLE_DEVICES", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
                    "TP_SIZE", "DP_SIZE", "CP_SIZE", "NODE_RANK", "GROUP_RANK", "GROUP_WORLD_SIZE", "CROSS_RANK", "CROSS_SIZE",
                    "LOCAL_SIZE", "JOB_COMPLETION_INDEX", "SM_HOSTS", "SM_CURRENT_HOST", "SM_TRAINING_ENV", "DLTS_JOB_ID")
LAUNCH_PREFIXES = ("OMPI_", "PRTE_", "PMIX_", "PMI_", "MPI_LOCAL", "HYDI_", "MV2_", "MVP_", "TORCHELASTIC_", "SLURM", "PALS_",
                   "ALPS_", "JSM_", "LSB_", "FLUX_", "PET_", "LWS_", "AZUREML_", "AZ_BATCH", "NCCL_")


SLOW_MACHINE = 4.0  # seconds that the machine may take on top of what the library promises
LISTENING = 1.0     # seconds for which a rank still listens after its deadline
ERROR, DIED = 3, 13  # how a worker ends
AT_ONCE = 4  # tests; they mostly wait

ports_given, ports_lock = set(), threading.Lock()


class Failure(Exception):
    """A test that failed, with what was seen."""


def skip(reason):
    """Ends the test as skipped; where everything must be there (--full), as failed."""
    print(f"{'MISSING' if os.environ.get('MUSTER_FULL') else 'SKIP'}: {reason}")
    sys.exit(1 if os.environ.get("MUSTER_FULL") else 77)


def clean_environment(**more):
    """This process's environment without what a launcher around the tests may have set."""
    kept = {k: v for k, v in os.environ.items()
            if k not in LAUNCH_VARIABLES and not k.startswith(LAUNCH_PREFIXES)}
    return kept | {k: str(v) for k, v in more.items()}


def free_port():
    """A port that nobody listens on now, below those that the system hands out to whoever connects (from 32768 on)."""
    for port in random.sample(range(20000, 32768), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        with ports_lock:  # tests at once ask, too
            if port not in ports_given:
                ports_given.add(port)
                return port
    raise Failure("100 ports are all taken")


def until(seen, what, seconds=20):
    """Waits for a condition, which the test fails without."""
    end = time.monotonic() + seconds
    while not seen():
        require(time.monotonic() < end, f"not within {seconds} s: {what}")
        time.sleep(0.01)


def until_said(process, line=None, seconds=10):
    """Waits for a line of a process's output; for the first one where none is given."""
    def said():
        lines = process.stdout.splitlines()
        found = line in lines if line else bool(lines)
        require(found or process.poll() is None, f"{process.name} ended before it said '{line or 'anything'}'")
        return found

    until(said, f"'{line or 'a word'}' of {process.name}", seconds)


class Process:
    """One started process. Its output goes to files, so that no pipe fills up."""

    def __init__(self, command, environment, name):
        self.name, self.command = name, [str(word) for word in command]
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.started = time.monotonic()
        self.seconds = None
        self.process = subprocess.Popen(self.command, env=environment, stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=self.err)

    def poll(self):
        code = self.process.poll()
        if code is not None and self.seconds is None:
            self.seconds = time.monotonic() - self.started
        return code

    def kill(self):
        if self.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def code(self):
        return self.process.returncode

    @staticmethod
    def read(file):
        """All of it, without moving the place at which the process writes on: it is the same file to both."""
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")

    @property
    def stdout(self):
        return self.read(self.out)

    @property
    def stderr(self):
        return self.read(self.err)

    @property
    def error(self):
        """The text of the library's error, with all its lines; an empty text when there is none."""
        lines = []
        for line in self.stderr.splitlines():
            if line.startswith("muster: ") and not line.startswith("muster: waiting for"):
                lines = [line]
            elif lines and line.startswith("  "):
                lines.append(line)
            elif lines:
                break
        return "\n".join(lines)

    def report(self):
        ended = "still runs" if self.code is None else f"exit {self.code} after {self.seconds or 0:.2f} s"
        return f"--- {self.name}: {ended}\n{self.stdout}{self.stderr}"


class Group:
    """Processes that belong together; all are gone when the block ends."""

    def __init__(self):
        self.all = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for process in self.all:
            process.kill()
        if kind is not None:
            print("\n".join(process.report() for process in self.all))
        return False

    def start(self, command, environment, name=None):
        self.all.append(Process(command, environment, name or f"process {len(self.all)}"))
        return self.all[-1]

    def ranks(self, command, ranks, world_size, port, environment=None, **by_rank):
        """Starts `ranks` as a shell loop would. by_rank: option lists for single ranks, as r2=["--x"]. A value of the
        environment may be a function of the rank."""
        def own(rank):
            return {k: v(rank) if callable(v) else v for k, v in (environment or {}).items()}

        return [self.start([*command, *by_rank.get(f"r{rank}", [])],
                           clean_environment(**{"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "MASTER_ADDR": "127.0.0.1",
                                                "MASTER_PORT": port, **own(rank)}), f"rank {rank}")
                for rank in ranks]

    def wait(self, seconds, processes=None):
        """Until all have ended; a process that outlives the limit fails the test."""
        processes = self.all if processes is None else processes
        end = time.monotonic() + seconds
        while any([process.poll() is None for process in processes]):
            if time.monotonic() > end:
                late = [process.name for process in processes if process.poll() is None]
                raise Failure(f"still running after {seconds} s: {', '.join(late)}")
            time.sleep(0.01)


def rank_process(process):
    """The process as error texts name it."""
    return f"{socket.gethostname()}:{process.process.pid}"


def one_text(processes):
    texts = {process.error for process in processes}
    require(len(texts) == 1 and "" not in texts, f"{len(texts)} different texts: {texts}")
    return texts.pop()


def ended_well(processes):
    require(all(process.code == 0 for process in processes), f"exit codes {[process.code for process in processes]}")


def ended_with_error(processes, within):
    for process in processes:
        require(process.code == ERROR, f"{process.name} ended with {process.code}")
        require(process.seconds < within + SLOW_MACHINE, f"{process.name} took {process.seconds:.1f} s")


def require(condition, what):
    if not condition:
        raise Failure(what)


def main(tests, at_once=1):
    """Runs the tests, some at once; prints one line each."""
    def passes(name):
        start = time.monotonic()
        try:
            tests[name]()
        except Failure as failure:
            print(f"FAILED  {name}: {failure}\n", end="", flush=True)
            return False
        print(f"ok      {name} ({time.monotonic() - start:.1f} s)\n", end="", flush=True)
        return True

    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        os.environ["TMPDIR"] = folder  # torchrun does not remove its own
        failed = list(pool.map(passes, tests)).count(False)
    print(f"{len(tests) - failed} ok, {failed} failed")
    return 1 if failed or not tests else 0
