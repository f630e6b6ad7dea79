#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds every_operation.cpp with every compiler and several versions of NCCL, and runs it with their libraries.

    versions.py NCCL_FOLDER...      each with include/nccl.h and lib/libnccl.so

MUSTER_CUDA_ROOT names the CUDA runtime. NCCL before 2.27 is compiled with and no more. One line for each combination;
fails when one does, and with MUSTER_FULL when g++ or clang++ is missing.
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE / "every_operation.cpp"
WARNINGS = "-Wall -Wextra -Wconversion -Wshadow -Werror".split()
SANITIZERS = "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all".split()
LINKED_FROM = 22703
NO_GPU = 7


class Failed(Exception):
    pass


def call(command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=1800, **options)
    return done.returncode, done.stdout, done.stderr


def library_folders(root):
    folders = [root / name for name in ("lib64", "lib", f"lib/{os.uname().machine}-linux-gnu")]
    return [folder for folder in folders if folder.is_dir()]


def system_folder(root):
    """The system's own folder is searched anyway, and as -isystem it would come before the C++ library's."""
    return [] if root == pathlib.Path("/usr") else ["-isystem", root / "include"]


def fmt_flags(kind):
    return subprocess.run(["pkg-config", kind, "fmt"], check=True, capture_output=True, text=True).stdout.split()


class Combination:
    def __init__(self, compiler, nccl, cuda, sanitized=False):
        self.compiler, self.nccl, self.sanitized = compiler, nccl, sanitized
        self.is_nvcc = pathlib.Path(compiler).name == "nvcc"
        # nvcc goes with the runtime that it came with.
        self.cuda = pathlib.Path(compiler).resolve().parents[1] if self.is_nvcc else cuda
        header = (nccl / "include/nccl.h").read_text()
        self.version = int(re.search(r"#define NCCL_VERSION_CODE (\d+)", header)[1])
        self.is_linked = self.version >= LINKED_FROM

    def __str__(self):
        text = f"NCCL {self.version // 10000}.{self.version // 100 % 100}.{self.version % 100}"
        return f"{text}, {pathlib.Path(self.compiler).name}{', sanitizers' if self.sanitized else ''}"

    def command(self, program):
        words = [self.compiler, "-std=c++20", f"-DNCCL_WANTED={self.version}", f"-I{HERE.parents[1] / 'include'}",
                 *fmt_flags("--cflags")]
        if self.is_nvcc:
            # FMT_USE_CONSTEXPR: fmt 9 is consteval with nvcc, but not constexpr, and does not compile.
            # -I: what is given with -isystem comes after the toolkit's own folder, which may have an nccl.h.
            words += ["-x", "cu", "-DFMT_USE_CONSTEXPR=1", "-cudart", "shared", "-Werror", "all-warnings",
                      "-Xcompiler", "-Wall,-Wextra,-pthread", f"-I{self.nccl / 'include'}",
                      *([] if self.is_linked else ["-c"])]
        else:
            words += [*WARNINGS, "-pthread", *system_folder(self.nccl), *system_folder(self.cuda),
                      *(SANITIZERS if self.sanitized else []), *([] if self.is_linked else ["-fsyntax-only"])]
        words += [SOURCE, "-o", program]
        if self.is_linked:
            words += [f"-L{folder}" for folder in self.library_folders()] + ["-lnccl", "-lcudart", *fmt_flags("--libs")]
            words += ["-ldl"]
        return words

    def library_folders(self):
        return library_folders(self.nccl) + library_folders(self.cuda)

    def environment(self, folder):
        """Without the launcher that may have started this, and with these libraries before all others."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "CUDA_VISIBLE_DEVICES")}
        paths = [*map(str, self.library_folders()), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        suppressions = folder / "leaks"
        suppressions.write_text("leak:libnccl.so\nleak:libcudart.so\n")
        # CUDA maps memory where the address sanitizer would have none.
        return kept | {"LD_LIBRARY_PATH": ":".join(paths), "ASAN_OPTIONS": "detect_leaks=1:protect_shadow_gap=0",
                       "UBSAN_OPTIONS": "print_stacktrace=1",
                       "LSAN_OPTIONS": f"suppressions={suppressions}:print_suppressions=0"}

    def run(self, program, folder, gpu):
        code, out, err = call([program], env=self.environment(folder), cwd=folder)
        said = f"exit status {code}\n{out}{err}"
        if f"ncclGetVersion {self.version}\n" not in out:
            raise Failed(f"the library has another version: {said}")
        if code != (0 if gpu else NO_GPU) or "Sanitizer" in err or "runtime error" in err:
            raise Failed(f"not how it should end: {said}")
        if gpu:
            return "runs"
        if not err.startswith("muster: ") or err.count("muster: ") != 1:
            raise Failed(f"not one error of muster's: {said}")
        return "refuses a machine without a GPU"

    def check(self, gpu):
        start = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                program = folder / "every_operation"
                code, out, err = call(self.command(program))
                if code:
                    raise Failed(f"does not compile:\n{out}{err}")
                verdict = self.run(program, folder, gpu) if self.is_linked else "compiles"
        except (Failed, OSError, subprocess.SubprocessError) as error:
            return False, f"failed  {self}: {error}"
        return True, f"passed  {self}: {verdict} ({time.monotonic() - start:.0f} s)"


def main():
    cuda = os.environ.get("MUSTER_CUDA_ROOT")
    folders = [pathlib.Path(name).resolve() for name in sys.argv[1:]]
    if not cuda or not folders:
        print(__doc__)
        return 2
    cuda = pathlib.Path(cuda)
    smi = shutil.which("nvidia-smi")
    gpu = smi is not None and "GPU " in call([smi, "-L"])[1]
    ok, compilers = True, {}
    for name in ("g++", "clang++", "nvcc"):
        found = shutil.which(name) or (shutil.which(cuda / "bin/nvcc") if name == "nvcc" else None)
        if found:
            compilers[name] = found
        else:
            required = name != "nvcc" and os.environ.get("MUSTER_FULL")
            print(f"{'failed' if required else 'skipped'}  {name} is not installed", flush=True)
            ok = ok and not required
    todo = [Combination(compiler, folder, cuda) for folder in folders for compiler in compilers.values()]
    if "g++" in compilers:
        todo.append(Combination(compilers["g++"], folders[-1], cuda, sanitized=True))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in concurrent.futures.as_completed(pool.submit(one.check, gpu) for one in todo):
            passed, text = done.result()
            print(text, flush=True)
            ok = ok and passed
    return 0 if ok and todo else 1


if __name__ == "__main__":
    sys.exit(main())
