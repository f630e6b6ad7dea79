# SPDX-License-Identifier: Apache-2.0
"""muster as other projects use it: each way builds a program in a folder of its own, which must not name this checkout,
and runs it.

usage: consumers.py CONSUMER SOURCE_ROOT COMPILER CUDART_ROOT [NCCL_ROOT]

Without NCCL_ROOT the programs with NCCL are left out.
"""
import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
for folder in ("tests/support", "tests/structure", "include"):
    sys.path.insert(0, str(HERE.parents[1] / folder))
import include_graph  # noqa: E402
import single_header  # noqa: E402
from processes import Group, clean_environment, main, require, skip  # noqa: E402

WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror".split()
RELEASE = ["include", "LICENSE", "README.md", "meson.build", "meson_options.txt", "subprojects/fmt.wrap"]
LIMIT = 1200  # seconds for a command; a busy machine may need some minutes

consumer, source, compiler, cudart_root, *others = sys.argv[1:]
SOURCE = pathlib.Path(source).resolve()
nccl_root = others[0] if others else None
BACKENDS = ["gloo", "nccl"] if nccl_root else ["gloo"]
PROGRAMS = ["topology", *BACKENDS]
VERSION = single_header.version_of(SOURCE / "include")


def need(tool, package):
    found = shutil.which(tool)
    if not found:
        skip(f"{tool} is not installed (Debian: {package})")
    return found


class Site:
    """A folder away from the checkout, with the consumer's files in it, where its commands run."""

    def __init__(self, folder, consumer_files=None):
        self.folder = pathlib.Path(folder) / "consumer"
        self.prefix = pathlib.Path(folder) / "prefix"
        shutil.copytree(HERE / consumer_files, self.folder) if consumer_files else self.folder.mkdir()
        for program in HERE.glob("consumer_*.cpp"):
            shutil.copy(program, self.folder)
        self.environment = clean_environment(CXX=compiler, NCCL_ROOT=nccl_root or "", CUDAToolkit_ROOT=cudart_root,
                                             CMAKE_PREFIX_PATH=self.prefix, CMAKE_EXPORT_COMPILE_COMMANDS="ON",
                                             PKG_CONFIG_PATH=self.prefix / "share/pkgconfig")
        for flags in ("CXXFLAGS", "CPPFLAGS", "LDFLAGS", "CPLUS_INCLUDE_PATH", "CPATH"):
            self.environment.pop(flags, None)

    def call(self, *command):
        """Runs it here; gives what it printed."""
        words = [str(word) for word in command]
        done = subprocess.run(words, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False)
        require(done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-6000:]}")
        return done.stdout

    def install(self):
        """The library into the prefix, as its packager does it."""
        with tempfile.TemporaryDirectory() as build:
            self.call("meson", "setup", build, SOURCE, f"--prefix={self.prefix}", "-Dtests=disabled", "-Dexamples=disabled",
                      f"-Dcudart_root={cudart_root}", f"-Dnccl_root={nccl_root or ''}")
            self.call("meson", "install", "-C", build)

    def pack(self, path):
        """A release as an archive; its checksum."""
        def without_bytecode(member):
            return None if "__pycache__" in member.name else member

        with tarfile.open(path, "w:gz") as archive:
            for name in RELEASE:
                archive.add(SOURCE / name, f"muster-{VERSION}/{name}", filter=without_bytecode)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def names_no_checkout(self):
        """No command, no list of dependencies, no program: whatever a build leaves says where it looked."""
        for path in filter(pathlib.Path.is_file, self.folder.rglob("*")):
            require(os.fsencode(SOURCE) not in path.read_bytes(), f"{path} names {SOURCE}")

    def run(self, folder, names):
        """The programs that were built, each as a world of one."""
        self.names_no_checkout()
        for name in names:
            with Group() as group:
                program = group.start([self.folder / folder / f"consumer_{name}"], self.run_environment())
                group.wait(60)
                check_output(name, program)

    def run_environment(self):
        roots = [pathlib.Path(root) / name for root in (nccl_root, cudart_root) if root for name in ("lib64", "lib")]
        return clean_environment(LD_LIBRARY_PATH=":".join([str(root) for root in roots if root.is_dir()] +
                                                          list(filter(None, [os.environ.get("LD_LIBRARY_PATH")]))))


EXPECTED = {"topology": f"muster {VERSION}: dp=4 tp=2 cp=1\n", "gloo": f"muster {VERSION}: rank 0 of 1, sums 20 22\n"}


def check_output(name, program):
    if name in EXPECTED:
        require(program.code == 0 and program.stdout == EXPECTED[name], program.report())
        return
    first, *rest = program.stdout.splitlines()
    require(first.startswith("NCCL 2"), program.report())
    if program.code == 0:
        require(rest == [f"muster {VERSION}: rank 0 of 1"], program.report())
    else:  # no GPU
        require(program.code == 7 and program.stderr.startswith("muster: ") and not rest, program.report())


@contextlib.contextmanager
def site(consumer_files=None, installed=False):
    with tempfile.TemporaryDirectory() as folder:
        place = Site(folder, consumer_files)
        if installed:
            place.install()
        yield place


def meson(place, *options):
    place.call("meson", "setup", "build", f"-Dnccl={'enabled' if nccl_root else 'disabled'}", *options)
    place.call("ninja", "-C", "build")
    place.run("build", PROGRAMS)


def meson_installed():
    with site("meson", installed=True) as place:
        meson(place)


def meson_subproject():
    """The archive as a wrap file names it."""
    with site("meson") as place:
        files = place.folder / "subprojects/packagefiles"
        files.mkdir(parents=True)
        checksum = place.pack(files / "muster.tar.gz")
        (place.folder / "subprojects/muster.wrap").write_text(
            f"[wrap-file]\ndirectory = muster-{VERSION}\nsource_filename = muster.tar.gz\nsource_hash = {checksum}\n\n"
            "[provide]\ndependency_names = muster, muster-gloo, muster-topology\n")
        meson(place, f"-Dmuster:cudart_root={cudart_root}", f"-Dmuster:nccl_root={nccl_root or ''}")


def pkg_config():
    need("make", "make")
    need("pkg-config", "pkg-config")
    with site("make", installed=True) as place:
        require(place.call("pkg-config", "--modversion", "muster", "muster-gloo", "muster-topology").split() == [VERSION] * 3,
                "pkg-config tells other versions")
        said = place.call("make", f"CXX={compiler}", *(f"consumer_{name}" for name in PROGRAMS))
        require(str(place.prefix) in said and str(SOURCE) not in said, said)
        place.run(".", PROGRAMS)


def cmake(place):
    place.call("cmake", "-S", ".", "-B", "build", f"-Dcomponents={';'.join(PROGRAMS)}")
    place.call("cmake", "--build", "build")
    place.run("build", PROGRAMS)


def cmake_find_package():
    need("cmake", "cmake")
    with site("cmake", installed=True) as place:
        cmake(place)
        for wanted, words in (("1.0", "0.1.0"), ("0.2", "0.1.0"), ("0.1 REQUIRED COMPONENTS mpi", "there is no muster::mpi")):
            (place.folder / "CMakeLists.txt").write_text(
                "cmake_minimum_required(VERSION 3.18)\nproject(other LANGUAGES CXX)\n"
                f"find_package(muster {wanted}{'' if 'REQUIRED' in wanted else ' REQUIRED'})\n")
            done = subprocess.run(["cmake", "-S", ".", "-B", "other"], cwd=place.folder, env=place.environment,
                                  capture_output=True, text=True, timeout=LIMIT, check=False)
            require(done.returncode != 0 and words in done.stderr, f"find_package(muster {wanted}):\n{done.stderr}")


def cmake_fetch_content():
    need("cmake", "cmake")
    with site("fetch_content") as place:
        place.pack(place.folder / "muster.tar.gz")
        cmake(place)


def nvcc():
    """A unit of CUDA, by hand."""
    found = shutil.which("nvcc") or shutil.which(pathlib.Path(cudart_root) / "bin/nvcc")
    if not found:
        print("SKIP: nvcc is not installed")
        sys.exit(77)
    with site(installed=True) as place:
        # fmt 9 is consteval with nvcc, but not constexpr, and does not compile without the definition.
        place.call(found, "-std=c++20", "-x", "cu", "-DFMT_USE_CONSTEXPR=1", f"-I{place.prefix}/include", "-Xcompiler",
                   "-pthread", "consumer_gloo.cpp", "-o", "consumer_gloo", "-lgloo", "-lfmt")
        place.run(".", ["gloo"])


def library_flags(place, package, kind):
    """What pkg-config says of a package's own needs, without the headers of muster."""
    return [flag.replace("-I", "-isystem", 1) if flag.startswith("-I") else flag
            for flag in place.call("pkg-config", kind, package).split() if str(place.prefix) not in flag]


FILES = {"gloo": ("muster_gloo.hpp", "muster-gloo", "muster/gloo.hpp"), "nccl": ("muster.hpp", "muster", "muster/muster.hpp")}


@contextlib.contextmanager
def one_file():
    """The generated files, and nothing else of muster's; `place.flags` by kind for the libraries that they need."""
    need("pkg-config", "pkg-config")
    with site(installed=True) as place:
        place.flags = {kind: [flag for backend in BACKENDS for flag in library_flags(place, FILES[backend][1], kind)]
                       for kind in ("--cflags", "--libs")}
        shutil.rmtree(place.prefix)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, SOURCE / "include/single_header.py", folder], check=True, timeout=LIMIT)
            for name, _, _ in FILES.values():
                shutil.move(pathlib.Path(folder) / name, place.folder)
        for backend, (name, _, entry) in FILES.items():
            path = place.folder / f"consumer_{backend}.cpp"
            path.write_text(path.read_text().replace(f"<{entry}>", f'"{name}"'))
        yield place


def single_file_holds_all():
    headers = include_graph.read(SOURCE / "include")
    with one_file() as place:
        for name, _, entry in FILES.values():
            text = (place.folder / name).read_text()
            own, libraries = include_graph.reach(headers, entry.removeprefix("muster/"))
            code = include_graph.Header(name, text)
            require(text.startswith(single_header.SPDX + "\n"), f"{name}: its first line is not the SPDX line")
            require(VERSION in text.splitlines()[1], f"{name} does not tell its version")
            require(not code.own and not code.odd, f"{name} includes {code.own + code.odd}")
            require(sorted(code.others) == sorted(libraries), f"{name} includes {code.others}, the headers {libraries}")
            require(code.code.count("#pragma once") == 1, f"{name}: #pragma once does not stand there once")
            held = [line.removeprefix("// muster/") for line in text.splitlines() if line.startswith("// muster/")]
            require(sorted(held) == sorted(own), f"{name} holds {held}")


def single_file_keeps_conditions():
    """What stands within #if, stays there; a header of the library may not."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "muster/core").mkdir(parents=True)
        (root / "muster/core/version.hpp").write_text('#pragma once\n#include <vector>\nversion = "1.2.3";\n')
        entry = root / "muster/muster.hpp"
        entry.write_text("#pragma once\n#include <muster/core/version.hpp>\n#include <map>\n#include <vector>\n#if X\n"
                         "#include <set>\n#endif\nint x;\n")
        text = single_header.one_file(root, "muster/muster.hpp", "")
        require("#if X\n#include <set>\n#endif\nint x;" in text and text.count("#include <set>") == 1, text)
        require(text.count("#include <vector>") == text.count("#include <map>") == 1, text)
        require(text.index("#include <map>") < text.index('version = "1.2.3"') < text.index("int x;"), text)
        entry.write_text("#if X\n#include <muster/core/version.hpp>\n#endif\n")
        try:
            single_header.one_file(root, "muster/muster.hpp", "")
        except SystemExit as end:
            require("within #if" in str(end), str(end))
        else:
            require(False, "a conditional header of the library went in")


def single_file_compiles_alone():
    with one_file() as place:
        for name in ("g++", "clang++"):
            found = shutil.which(name)
            require(found or not os.environ.get("MUSTER_FULL"), f"{name} is not installed")
            if not found:
                print(f"left out: {name} is not installed")
                continue
            for backend in BACKENDS:
                unit = place.folder / "alone.cpp"
                unit.write_text(f'#include "{FILES[backend][0]}"\n' * 2)
                place.call(found, "-std=c++20", "-fsyntax-only", *WARNINGS, *place.flags["--cflags"], unit)


def single_file_in_several_units():
    """One file in a unit, the other in another, both in a third: all see the same objects."""
    names = [FILES[backend][0] for backend in BACKENDS]
    units = {"a": names[:1], "b": names[-1:], "c": names, "main": names[::-1]}
    with one_file() as place:
        objects = []
        for unit, includes in units.items():
            declarations = "".join(f"const void* version_of_{other}();\n" for other in units if other != "main")
            body = (f"const void* version_of_{unit}() {{ return &muster::version; }}\n" if unit != "main" else
                    "int main() { return " + " && ".join(f"version_of_{other}() == &muster::version" for other in "abc") +
                    " ? 0 : 1; }\n")
            path = place.folder / f"{unit}.cpp"
            path.write_text("".join(f'#include "{name}"\n' for name in includes) + declarations + body)
            objects.append(path.with_suffix(".o"))
            place.call(compiler, "-std=c++20", "-c", *WARNINGS, *place.flags["--cflags"], path, "-o", objects[-1])
        place.call(compiler, *objects, "-o", "units", *place.flags["--libs"])
        with Group() as group:
            program = group.start([place.folder / "units"], place.run_environment())
            group.wait(60)
            require(program.code == 0, f"the units do not agree: exit status {program.code}")


def build_from_one_file(place, path, program, *options):
    place.call(compiler, "-std=c++20", *WARNINGS, *options, *place.flags["--cflags"], path, "-o", place.folder / program,
               *place.flags["--libs"])


def single_file_program():
    with one_file() as place:
        for backend in BACKENDS:
            build_from_one_file(place, place.folder / f"consumer_{backend}.cpp", f"consumer_{backend}")
        place.run(".", BACKENDS)


def single_file_quickstart():
    """The example, which includes <muster/gloo.hpp>, as real processes."""
    with one_file() as place:
        for name in ("quickstart.cpp", "backend.hpp"):
            shutil.copy(SOURCE / "docs/examples" / name, place.folder)
        (place.folder / "muster").mkdir()
        (place.folder / "muster/gloo.hpp").write_text(f'#include "../{FILES["gloo"][0]}"\n')
        build_from_one_file(place, "quickstart.cpp", "quickstart", "-DEXAMPLE_GLOO", f"-I{place.folder}")
        place.names_no_checkout()
        said = place.call(sys.executable, SOURCE / "tests/multiprocess/launchers.py", "gloo", "shell",
                          place.folder / "quickstart")
        print(said, end="")


CONSUMERS = {
    "meson-installed": {"dependency('muster-gloo') of an installed library": meson_installed},
    "meson-subproject": {"the same through a wrap file": meson_subproject},
    "pkg-config": {"pkg-config in a Makefile": pkg_config},
    "cmake": {"find_package(muster)": cmake_find_package},
    "fetch-content": {"FetchContent": cmake_fetch_content},
    "nvcc": {"nvcc by hand": nvcc},
    "single-file": {
        "holds all, once": single_file_holds_all,
        "keeps conditions": single_file_keeps_conditions,
        "compiles alone": single_file_compiles_alone,
        "in several units": single_file_in_several_units,
        "a program": single_file_program,
        "the quickstart": single_file_quickstart,
    },
}

if __name__ == "__main__":
    sys.exit(main(CONSUMERS[consumer]))
