# SPDX-License-Identifier: Apache-2.0
"""Writes what a benchmark found, with all that it depends on, to benchmarks/results/."""
import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import subprocess

FOLDER = pathlib.Path(__file__).parent / "results"


def output_of(command):
    """First line of its output; "" when it cannot be run."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60)
    except OSError:
        return ""
    return done.stdout.partition("\n")[0]


def found_in(path, pattern):
    try:
        found = re.search(pattern, pathlib.Path(path).read_text(errors="replace"), re.M)
    except OSError:
        return ""
    return found[1].strip() if found else ""


def machine():
    return {
        "cpu": found_in("/proc/cpuinfo", r"^model name\s*:(.*)") or platform.processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "system": found_in("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)'),
        "libc": " ".join(platform.libc_ver()),
    }


def options(build):
    text = subprocess.run(["meson", "introspect", "--buildoptions", str(build)], check=True, stdout=subprocess.PIPE,
                          text=True).stdout
    return {option["name"]: option["value"] for option in json.loads(text)}


def versions(build):
    chosen = options(build)
    commands = json.loads((build / "compile_commands.json").read_text())
    compiler = shlex.split(commands[0]["command"])
    compiler = compiler[1] if "ccache" in compiler[0] else compiler[0]
    nccl = (chosen["nccl_root"] or chosen["cudart_root"]) + "/include/nccl.h"
    found = {
        "compiler": output_of([compiler, "--version"]),
        "optimization": chosen["optimization"],
        "muster": found_in(FOLDER.parents[1] / "meson.build", r"^  version: '(.*)'"),
        "nccl.h": found_in(nccl, r"^#define NCCL_VERSION_CODE (\d+)"),
        "cuda_runtime_api.h": found_in(chosen["cudart_root"] + "/include/cuda_runtime_api.h",
                                       r"^#define CUDART_VERSION\s+(\d+)"),
    }
    return {name: version for name, version in found.items() if version}


def write(name, build, rows, more):
    """`more`: further versions."""
    date = datetime.datetime.now(datetime.timezone.utc)
    FOLDER.mkdir(exist_ok=True)
    head = {"bench": name, "date": date.strftime("%Y-%m-%dT%H:%M:%SZ"), "machine": machine(),
            "versions": {**versions(build), **more}}
    lines = ",\n".join("    " + json.dumps(row) for row in rows)
    text = json.dumps(head, indent=2)[:-2] + ',\n  "results": [\n' + lines + "\n  ]\n}\n"
    json.loads(text)
    path = FOLDER / f"{name}-{date:%Y-%m-%d}.json"
    path.write_text(text)
    return path
