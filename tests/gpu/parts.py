# SPDX-License-Identifier: Apache-2.0
"""The parts of run.sh, each run by name; their figures, and at the end the one file of them all.

usage: parts.py PART BUILD_FOLDER
       parts.py report BUILD_FOLDER RESULTS_FOLDER
"""

import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from processes import (DIED, ERROR, LISTENING, Failure, Group, clean_environment,  # noqa: E402
                       ended_with_error, free_port, one_text, rank_process, require, until_said)

part, build = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
parts = build / "parts"
STAND_IN = "MUSTER_GPU_STAND_IN" in os.environ
ABORT_LIMIT = 10.0  # seconds: the default of Options::nccl.abort_timeout

# Several processes on one GPU: each is a host of its own to NCCL, and the loopback interface joins them.
COMMON = {
    "CUDA_VISIBLE_DEVICES": "0", "NCCL_NET": "Socket", "NCCL_SOCKET_IFNAME": "lo", "NCCL_P2P_DISABLE": "1",
    "NCCL_SHM_DISABLE": "1", "NCCL_MNNVL_ENABLE": "0", "NCCL_NVLS_ENABLE": "0", "NCCL_MAX_CTAS": "2",
    "NCCL_MIN_CTAS": "1", "NCCL_PROTO": "Simple", "NCCL_ALGO": "Ring", "NCCL_RAS_ENABLE": "0",
    "NCCL_CUMEM_HOST_ENABLE": "0", "NCCL_DEBUG": "WARN",
}
# Ways to have NCCL accept it; {rank} stands for the rank. The last is NCCL's own, from 2.30.3 on.
WAYS = {
    "host-ids": {"NCCL_HOSTID": "r{rank}"},
    "host-ids, no cuMem": {"NCCL_HOSTID": "r{rank}", "NCCL_CUMEM_ENABLE": "0"},
    "NCCL_MULTI_RANK_GPU_ENABLE": {"NCCL_MULTI_RANK_GPU_ENABLE": "1"},
}


class Skipped(Exception):
    """A part that cannot be run here, with the reason."""


def environment(rank, world, port, way=None, **more):
    """What a launcher would set for a rank, and what lets several ranks use one GPU."""
    variables = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world,
                 "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **COMMON}
    if world > 1:
        variables |= {name: value.format(rank=rank) for name, value in WAYS[way or chosen_way()].items()}
    if STAND_IN:
        variables["MUSTER_STANDIN"] = "devices=1;duplicates=allowed"
    return clean_environment(**variables | more)


def chosen_way():
    """The way that part several-ranks found."""
    file = parts / "several-ranks.json"
    way = json.loads(file.read_text()).get("way") if file.exists() else None
    require(way, "several ranks cannot use this GPU: see the part several-ranks")
    return way


def start(group, program, ranks, world, port, *options, **more):
    command = program if isinstance(program, list) else [build / program]
    return [group.start([*command, *options], environment(rank, world, port, **more), f"rank {rank}") for rank in ranks]


def figures_of(process):
    """What the process said in its line of figures; empty when it did not come so far."""
    for line in process.stdout.splitlines():
        if line.startswith("result "):
            return json.loads(line.removeprefix("result "))
    return {}


def run(program, world, limit, *options, **more):
    """All ranks to a good end; what each said."""
    with Group() as group:
        ranks = start(group, program, range(world), world, free_port(), *options, **more)
        group.wait(limit)
        require(all(rank.code == 0 for rank in ranks), f"exit codes {[rank.code for rank in ranks]}")
        return [figures_of(rank) for rank in ranks]


def shape(text):
    """The options of "2x1x2": TP, DP, CP."""
    tp, dp, cp = text.split("x")
    return ["--tp", tp, "--dp", dp, "--cp", cp]


def ranks_of(text):
    tp, dp, cp = map(int, text.split("x"))
    return tp * dp * cp


# ---- the parts


def alone():
    return {"operations": run("operations", 1, 60, "--alone")[0]}


def several_ranks():
    """Which way lets two ranks use the one GPU, and whether four can."""
    tried = {}
    for way in WAYS:
        with Group() as group:
            ranks = start(group, "worker", range(2), 2, free_port(), "--share", "--timeout", 25000, way=way)
            try:
                group.wait(33)
            except Failure as failure:
                tried[way] = str(failure)
                continue
            tried[way] = ("works" if all(rank.code == 0 for rank in ranks)
                          else "\n".join(rank.report()[-2000:] for rank in ranks))
            if tried[way] == "works":
                (parts / "several-ranks.json").write_text(json.dumps({"way": way}))
                run("worker", 4, 40, "--share", "--timeout", 30000, "--tp", 2, way=way)
                return {"way": way, "variables": COMMON | WAYS[way], "tried": tried}
            print(f"--- {way}\n{tried[way]}", flush=True)
    raise Failure("no way lets two ranks use the GPU")


def operations(mesh):
    limit, seconds = (200, 60) if STAND_IN else (75, 24)
    ranks = run("operations", ranks_of(mesh), limit, *shape(mesh), "--seconds", seconds)
    return {"checks": sum(rank["checks"] for rank in ranks), "ranks": ranks}


def shared_gpu():
    """Without leave to share it, both end at once with the one error that names both."""
    with Group() as group:
        ranks = start(group, "worker", range(2), 2, free_port(), "--timeout", 20000)
        group.wait(30)
        ended_with_error(ranks, 5)
        text = one_text(ranks)
        require("ranks 0 and 1 both use GPU" in text, text)
        require(all(rank_process(rank) in text for rank in ranks), f"not both processes are named: {text}")
        return {"text": text, "seconds": [rank.seconds for rank in ranks]}


def abort(mode):
    """How rank 0 gets out of an operation that rank 1 never joins."""
    with Group() as group:
        first, second = start(group, "abort", range(2), 2, free_port(), mode)
        until_said(first, "waiting", 60)
        if mode == "killed":
            until_said(second, "ready", 60)
            second.kill()
        group.wait(60, [first])
        figures = figures_of(first)
        require(figures, f"rank 0 ended with {first.code} and said nothing")
        require(first.code == (ERROR if mode == "unwinding" else 0), f"rank 0 ended with {first.code}")
        error = figures["error"]
        require(error, "rank 0 waited to a good end")
        own_limit = 1 if mode == "thread" else 5
        require(figures["wait_seconds"] < own_limit + ABORT_LIMIT, f"the wait took {figures['wait_seconds']:.1f} s")
        if mode == "thread":
            require(figures["code"] == "closed", f"{figures['code']}: {error}")
        if mode != "unwinding":
            require(figures["abort_seconds"] < ABORT_LIMIT, f"abort took {figures['abort_seconds']:.1f} s")
            require(figures["after_abort"] == "closed", f"after the abort: {figures['after_abort']}")
            require(figures["stream"] != "cudaErrorNotReady", "the kernel still runs after the abort")
        if mode != "killed":
            group.wait(60, [second])
            require(second.code == 0, f"rank 1 ended with {second.code}")
        require(mode == "thread" or "all_reduce" in error, f"the error does not name the operation: {error}")
        return figures | {"process_seconds": first.seconds}


def missing_rank():
    figures = {}
    with Group() as group:
        [rank] = start(group, "worker", [0], 2, free_port(), "--share", "--timeout", 5000)
        group.wait(30)
        ended_with_error([rank], 5 + LISTENING)
        require("1 of 2 ranks did not arrive within 5 s: 1" in rank.error, rank.error)
        figures["never started"] = {"seconds": rank.seconds, "text": rank.error}
    with Group() as group:
        port = free_port()
        [first] = start(group, "worker", [0], 2, port, "--share", "--timeout", 5000)
        [second] = start(group, "worker", [1], 2, port, "--share", "--timeout", 5000, "--die-connect")
        group.wait(30)
        require(second.code == DIED, f"rank 1 ended with {second.code}")
        ended_with_error([first], 5 + LISTENING + ABORT_LIMIT)
        require(f"1 ({rank_process(second)})" in first.error, f"rank 1 is not named: {first.error}")
        figures["killed between roll call and NCCL"] = {"seconds": first.seconds, "text": first.error}
    return figures


def torch_version():
    if STAND_IN:
        return None, "the stand-in is no library for torch"
    code = "import torch; assert torch.cuda.is_available(), 'torch sees no GPU'; print(torch.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return (lines[-1], None) if done.returncode == 0 else (None, lines[-1] if lines else "python3 has no torch")


def spread(values):
    ordered = sorted(values)
    quartiles = statistics.quantiles(ordered, n=4) if len(ordered) > 1 else ordered * 3
    return {"median": statistics.median(ordered), "min": ordered[0], "max": ordered[-1], "quartiles": quartiles[::2],
            "runs": len(ordered)}


def timed_run(name, mesh):
    """One run of all ranks. The moments are of the slowest rank; those before the last context are nobody's fault."""
    world, (tp, dp, cp) = ranks_of(mesh), mesh.split("x")
    with Group() as group:
        if name == "torch":
            ranks = start(group, [sys.executable, HERE / "init_torch.py"], range(world), world, free_port(), tp, dp, cp)
        else:
            ranks = start(group, f"init_{name}", range(world), world, free_port(), *shape(mesh))
        group.wait(60)
        require(all(rank.code == 0 for rank in ranks), f"{name} {mesh}: exit codes {[rank.code for rank in ranks]}")
        said = [figures_of(rank) for rank in ranks]
        context = max(rank["context"] for rank in said)
        figures = {
            "main to context": max(rank["context"] - rank["start"] for rank in said),
            "context to formed": max(rank["formed"] for rank in said) - context,
            "context to used": max(rank["used"] for rank in said) - context,
            "whole process": max(rank.seconds for rank in ranks),
        }
        for phase in said[0]["phases"]:
            figures[f"phase {phase}"] = statistics.median(rank["phases"][phase] for rank in said)
        return figures, said[0]


def init_times():
    version, why_not = torch_version()
    names = ["muster", "raw", *(["torch"] if version else [])]
    if why_not:
        print(f"without torch: {why_not}")
    meshes, runs, least = ("1x2x1", "2x2x1"), {}, 2 if STAND_IN else 5
    first = time.monotonic()
    longest, versions = 0.0, {}
    for turn in range(least + 5):
        began = time.monotonic()
        if turn >= least and began + longest > first + 90:
            break
        if began > first + 65 and "torch" in names:  # whose start is the longest: fewer runs of it
            names.remove("torch")
        for mesh in meshes:
            for name in names[turn % len(names):] + names[:turn % len(names)]:  # nobody always goes first
                try:
                    figures, said = timed_run(name, mesh)
                except Failure as failure:
                    if name != "torch":
                        raise
                    why_not = str(failure)  # torch is there to compare with; its failure is not ours
                    print(f"without torch: {why_not}")
                    names.remove("torch")
                    break
                if name == "torch":
                    versions = {key: said[key] for key in ("torch", "nccl_library")}
                for figure, value in figures.items():
                    runs.setdefault(mesh, {}).setdefault(name, {}).setdefault(figure, []).append(value)
        longest = max(longest, time.monotonic() - began)
    result = {"torch": versions or why_not, "meshes": {}}
    for mesh, by_name in runs.items():
        seconds = {name: {figure: spread(values) for figure, values in figures.items()}
                   for name, figures in by_name.items()}
        ratios = {f"muster/{other} {figure}":
                  seconds["muster"][figure]["median"] / max(seconds[other][figure]["median"], 1e-9)
                  for other in by_name if other != "muster"
                  for figure in ("context to formed", "context to used", "whole process")}
        result["meshes"][mesh] = {"seconds": seconds, "ratios of medians": ratios}
        for name in seconds:
            formed, used = seconds[name]["context to formed"], seconds[name]["context to used"]
            print(f"{mesh} {name}: formed {formed['median']:.3f} s ({formed['min']:.3f} to {formed['max']:.3f}), "
                  f"used {used['median']:.3f} s")
    return result


def training():
    """The training example: its losses do not depend on the mesh; a run that was saved goes on as it was."""
    program = build / "train_3d"
    if not program.exists():
        raise Skipped("the training example was not built: there is no nvcc, or its output above says why")

    def train(mesh, *options):
        with Group() as group:
            ranks = start(group, program, range(ranks_of(mesh)), ranks_of(mesh), free_port(), *shape(mesh),
                          "--ranks-share-gpu", 1, *options)
            group.wait(60)
            require(all(rank.code == 0 for rank in ranks), f"{mesh}: exit codes {[rank.code for rank in ranks]}")
            return [float(loss) for loss in re.findall(r"loss (\S+),", ranks[0].stdout)], max(rank.seconds for rank in ranks)

    def furthest(losses, expected):
        require(len(losses) == len(expected) > 0, f"{len(losses)} losses, expected {len(expected)}")
        return max(abs(a - b) / b for a, b in zip(losses, expected))

    expected, seconds = train("1x1x1")
    figures = {"1x1x1": {"losses": expected, "seconds": seconds}}
    for mesh in ("2x1x1", "1x2x1", "1x1x2", "2x2x1"):
        losses, seconds = train(mesh)
        figures[mesh] = {"losses": losses, "seconds": seconds, "furthest": furthest(losses, expected)}
        print(f"{mesh}: {figures[mesh]['furthest']:.1e} from one process", flush=True)
        require(figures[mesh]["furthest"] <= 1e-5, f"{mesh}: {losses}, one process: {expected}")
    with tempfile.TemporaryDirectory() as folder:
        train("2x1x1", "--folder", folder, "--steps", 10, "--save", 10)
        losses, _ = train("2x1x1", "--folder", folder, "--resume", 10)
        figures["resumed"] = {"losses": losses, "furthest": furthest(losses, expected[10:])}
        require(figures["resumed"]["furthest"] <= 1e-5, f"resumed: {losses}, one process: {expected[10:]}")
    return figures


def many_meshes():
    """A thousand of one rank, those of NCCL's calls alone, and two ranks as under torchrun, at one store."""
    def meshes(count, seconds, *options):
        return ["--count", count, "--seconds", seconds, *options,
                *(["--ignore", "eventfd"] if STAND_IN else [])]  # the stand-in keeps those of its communicators

    few = STAND_IN
    figures = {"one rank": run("many_meshes", 1, 170, "--ranks", 1, *meshes(20 if few else 1000, 140))[0],
               "one rank, raw NCCL": run("many_meshes", 1, 60, "--ranks", 1, *meshes(20 if few else 1000, 25), "--raw")[0]}
    print(json.dumps(figures, indent=1), flush=True)
    with Group() as group:
        server = group.start([build / "store_server"], clean_environment(), "store server")
        until_said(server)
        ranks = start(group, "many_meshes", range(2), 2, int(server.stdout.split()[-1]),
                      *meshes(20 if few else 1000, 20), TORCHELASTIC_RUN_ID="many-meshes",
                      TORCHELASTIC_USE_AGENT_STORE="True")
        group.wait(80, ranks)
        figures["two ranks"] = [figures_of(rank) for rank in ranks]
        print(json.dumps(figures["two ranks"], indent=1), flush=True)
        require(all(rank.code == 0 for rank in ranks), f"exit codes {[rank.code for rank in ranks]}")
        return figures


def launchers():
    """Where there are GPUs for it, a rank for each: the quickstart as a shell loop, and the launchers' own tests."""
    gpus = 8 if STAND_IN else sum(line.startswith("GPU ") for line in subprocess.run(
        ["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout.splitlines())
    if gpus < 2:
        raise Skipped(f"{gpus} GPU here, and several ranks need one each")
    world = min(gpus // 2 * 2, 8)
    with Group() as group:
        port = free_port()
        for rank in range(world):
            variables = clean_environment(RANK=rank, WORLD_SIZE=world, LOCAL_RANK=rank, MASTER_ADDR="127.0.0.1",
                                          MASTER_PORT=port)
            group.start([build / "quickstart", "--tp", 2, "--cp", 1], variables, f"rank {rank}")
        group.wait(60)
        require(all(rank.code == 0 for rank in group.all), f"exit codes {[rank.code for rank in group.all]}")
    figures = {"shell loop": world}
    if world < 8:
        return figures
    for launcher in ("shell", "open-mpi", "torchrun-standalone"):
        done = subprocess.run([sys.executable, HERE.parent / "multiprocess/launchers.py", "nccl" if STAND_IN else "gpu",
                               launcher, build / "quickstart"], capture_output=True, text=True, check=False)
        print(done.stdout + done.stderr, flush=True)
        figures[launcher] = {0: "ok", 77: "skipped"}.get(done.returncode, "failed")
        require(done.returncode in (0, 77), f"the tests of the launcher {launcher} failed")
    return figures


PARTS = {"alone": alone, "several-ranks": several_ranks,
         **{f"operations-{mesh}": (lambda mesh=mesh: operations(mesh))
            for mesh in ("2x1x1", "1x2x1", "2x1x2", "2x2x1")},
         "shared-gpu": shared_gpu,
         **{f"abort-{mode}": (lambda mode=mode: abort(mode)) for mode in ("killed", "unjoined", "unwinding", "thread")},
         "missing-rank": missing_rank, "init-times": init_times, "training": training,
         "many-meshes": many_meshes, "launchers": launchers}


# ---- the file of figures


def ask(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout.strip()
    except OSError:
        return ""


def machine():
    said = {}
    for line in (parts / "machine.log").read_text().splitlines():
        if line.startswith("result "):
            said = json.loads(line.removeprefix("result "))
    models = re.findall(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    said |= {"cpu": models[0] if models else os.uname().machine, "cpus": os.cpu_count(), "kernel": os.uname().release,
             "torch": torch_version()[0]}
    if STAND_IN:
        return said | {"gpu": "stand-in"}
    fields = "name,driver_version,compute_mode,memory.total,persistence_mode,mig.mode.current"
    row = ask(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader", "-i", "0"])
    return said | {"nvidia_smi": dict(zip(fields.split(","), (cell.strip() for cell in row.split(","))))}


def report(folder):
    here = machine()
    result = {"machine": here, "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "muster": ask(["git", "-C", HERE, "rev-parse", "--short", "HEAD"]) or None, "parts": {}}
    for file in sorted(parts.glob("*.status"), key=lambda file: file.stat().st_mtime):
        status, seconds = map(int, file.read_text().split())
        entry = {"status": {0: "ok", 77: "skipped"}.get(status, "FAILED"), "seconds": seconds}
        if status:
            lines = file.with_suffix(".log").read_text(errors="replace").strip().splitlines()
            entry["said"] = "\n".join(lines[-1 if status == 77 else -20:])
        figures = file.with_suffix(".json")
        if figures.exists():
            entry["figures"] = json.loads(figures.read_text())
        result["parts"][file.stem] = entry
    slug = re.sub("[^a-z0-9]+", "-", here.get("gpu", "unknown").lower()).strip("-")
    file = pathlib.Path(folder) / f"gpu-{slug}-{result['date'][:10]}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(f"figures: {file}")


def main():
    if part == "report":
        return report(sys.argv[3])
    try:
        figures = PARTS[part]()
    except Skipped as reason:
        print(reason)
        return 77
    except Failure as failure:
        print(f"{part}: {failure}")
        return 1
    (parts / f"{part}.json").write_text(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
