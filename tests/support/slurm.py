# SPDX-License-Identifier: Apache-2.0
"""A Slurm for the tests: munged, slurmctld and a slurmd for each node in a temporary folder, on free ports, as the current
user. Nothing outside the folder is touched, and all daemons are gone when the block ends."""

import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from processes import Failure, clean_environment, free_port, skip

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # where the daemons are, which a user's PATH may lack
NEEDED = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "sinfo", "squeue", "scancel", "scontrol")
CPUS = 64      # what a node claims to have: tests start more ranks than the machine has cores
LIMIT = 120    # seconds for a batch script
STARTING = 60  # seconds for all daemons together; they take two or three
ENDING = 30    # seconds for jobs to end that a failed test has left

CONFIGURATION = """\
ClusterName=muster
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={controller_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdSpoolDir={folder}/spool/%n
StateSaveLocation={folder}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
KillWait=5
SlurmdParameters=config_overrides
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES
"""


def find(program):
    return shutil.which(program, path=PATH)


def need():
    """Skips the test where Slurm or Munge is missing."""
    if missing := [program for program in NEEDED if not find(program)]:
        skip(f"{', '.join(missing)} not installed (Debian: slurm-wlm, munge)")


class Slurm:
    """The cluster. `environment()` is for its commands, which find it through SLURM_CONF.

    One node has the host's own name. Several are called 127.0.0.1, 127.0.0.2 and so on: names that every process here can
    reach. Slurm has to be built for several slurmd on a host, as Debian's is."""

    def __init__(self, nodes=1):
        host = socket.gethostname().split(".")[0]
        self.nodes = [host] if nodes == 1 else [f"127.0.0.{node + 1}" for node in range(nodes)]
        self.host = host

    def __enter__(self):
        # A short path: a socket's has at most 107 characters.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="muster-slurm-", dir="/tmp"))
        self.daemons = []
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, error, trace):
        self.stop()
        return False

    def start(self):
        end = time.monotonic() + STARTING
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        for name in ("state", *(f"spool/{node}" for node in self.nodes)):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "slurm.conf").write_text(CONFIGURATION.format(
            folder=self.folder, host=self.host, user=pwd.getpwuid(os.getuid()).pw_name, controller_port=free_port()) + "".join(
                f"NodeName={node} NodeHostname={self.host} NodeAddr=127.0.0.1 Port={free_port()} CPUs={CPUS} State=UNKNOWN\n"
                for node in self.nodes))
        self.daemon("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket",
                    f"--key-file={key}", f"--log-file={self.folder}/munged.log", f"--pid-file={self.folder}/munged.pid",
                    f"--seed-file={self.folder}/munged.seed", "--num-threads=2")
        self.until(end, lambda: (self.folder / "munge.socket").exists(), "munged has no socket")
        self.daemon("slurmctld", "-D", "-i", "-f", self.folder / "slurm.conf")
        for node in self.nodes:
            self.daemon("slurmd", "-D", "-f", self.folder / "slurm.conf", "-N", node)
        self.until(end, lambda: self.command("sinfo", "-h", "-o", "%T %D").stdout.strip() == f"idle {len(self.nodes)}",
                   "not all nodes are idle")

    def daemon(self, program, *arguments):
        out = (self.folder / f"{program}.out").open("ab")
        self.daemons.append((program, subprocess.Popen(
            [find(program), *map(str, arguments)], env=self.environment(), stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT, start_new_session=True)))
        out.close()

    def environment(self, **more):
        return clean_environment(PATH=PATH, SLURM_CONF=self.folder / "slurm.conf", **more)

    def batch(self, script, *options, within=()):
        """Runs a batch script to its end; gives back how it ended and what it printed. (sbatch --wait looks every 10 s.)
        within: a command that is to run sbatch."""
        out = self.folder / "batch.txt"
        out.unlink(missing_ok=True)
        submitted = self.command(*within, "sbatch", "--parsable", "--output", out, *options, "--wrap", script)
        if submitted.returncode != 0:
            raise Failure(f"sbatch ended with {submitted.returncode}: {submitted.stderr}")
        fields = {}

        def ended():
            shown = self.command("scontrol", "--oneliner", "show", "job", submitted.stdout.strip()).stdout
            fields.update(word.split("=", 1) for word in shown.split() if "=" in word)
            return fields.get("JobState") not in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")

        self.until(time.monotonic() + LIMIT, ended, "a batch script does not end")
        return int(fields["ExitCode"].split(":")[0]), out.read_text(errors="replace") if out.exists() else ""

    def command(self, program, *arguments):
        return subprocess.run([find(program), *map(str, arguments)], env=self.environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=STARTING, check=False)

    def until(self, end, done, what):
        while not done():
            for program, daemon in self.daemons:
                if daemon.poll() is not None:
                    raise Failure(f"{program} ended with {daemon.returncode}\n{self.logs()}")
            if time.monotonic() > end:
                raise Failure(f"Slurm: {what}\n{self.logs()}")
            time.sleep(0.1)

    def logs(self):
        return "\n".join(f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-30:])
                         for pattern in ("*.log", "*.out") for path in sorted(self.folder.glob(pattern)))

    def end_jobs(self):
        """slurmd leaves running jobs alone when it ends: they are ended before."""
        self.command("scancel", "--user", pwd.getpwuid(os.getuid()).pw_name)
        end = time.monotonic() + ENDING
        while self.command("squeue", "-h").stdout.strip() and time.monotonic() < end:
            time.sleep(0.1)

    def stop(self):
        """Ends what was started here, last first, and removes the folder."""
        if all(daemon.poll() is None for _, daemon in self.daemons) and len(self.daemons) == 2 + len(self.nodes):
            self.end_jobs()
        for _, daemon in reversed(self.daemons):
            for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
                if daemon.poll() is None:
                    daemon.send_signal(number)
                    try:
                        daemon.wait(seconds)
                    except subprocess.TimeoutExpired:
                        continue
        self.daemons = []
        shutil.rmtree(self.folder, ignore_errors=True)
