#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails on a header of include/muster that looks upward or breaks the style of the house.

    layers.py INCLUDE_DIR      check the headers
    layers.py --self-test      check this check: each small bad tree must fail for its own reason
"""
import pathlib
import re
import sys
import tempfile

import include_graph

# Lowest first; a header includes its own layer and the ones before it. A folder stands for all that is below it.
LAYERS = [
    ["core/"],
    ["topology/", "topology.hpp", "comm/", "store/concept.hpp"],
    ["store/", "launch/"],
    ["rendezvous/", "roll_call/"],
    ["nccl/", "gloo/"],
    ["mesh/"],
    ["training/"],
    ["report/"],
    [""],  # the other umbrellas, directly in include/muster
]

FORMATS = "core/format.hpp"  # what it costs to compile a call of fmt is paid there, once

# Without <format> and <source_location>, which the oldest supported compilers lack.
STANDARD = set("""
    algorithm any array atomic barrier bit bitset charconv chrono compare complex concepts condition_variable coroutine
    deque exception execution filesystem forward_list fstream functional future initializer_list iomanip ios iosfwd
    iostream istream iterator latch limits list locale map memory memory_resource mutex new numbers numeric optional
    ostream queue random ranges ratio regex scoped_allocator semaphore set shared_mutex span sstream stack stdexcept stop_token streambuf string string_view strstream syncstream system_error thread tuple
    type_traits typeindex typeinfo unordered_map unordered_set utility valarray variant vector version
    cassert cctype cerrno cfenv cfloat cinttypes climits clocale cmath csetjmp csignal cstdarg cstddef cstdint cstdio
    cstdlib cstring ctime cuchar cwchar cwctype
""".split())
SYSTEM = re.compile(r"((arpa|linux|net|netinet|sys)/)?[a-z0-9_]+\.h")  # POSIX and Linux


def layer_of(name):
    folder = name.split("/")[0] + "/" if "/" in name else ""
    for wanted in (name, folder):
        for level, members in enumerate(LAYERS):
            if wanted in members:
                return level
    return None


def check_includes(headers):
    for header in headers.values():
        level = layer_of(header.name)
        if level is None:
            yield f"{header.name}: stands in no layer; list it in tests/structure/layers.py"
        for target in header.odd:
            yield f"{header.name}: #include {target}: not of the form <muster/...>"
        for target in header.own:
            if target not in headers:
                yield f"{header.name}: includes <muster/{target}>, which does not exist"
            elif level is not None and (above := layer_of(target)) is not None and above > level:
                yield f"{header.name} (layer {level}) looks upward to {target} (layer {above})"
        for target in header.others:
            if include_graph.is_gloo(target) and not header.name.startswith("gloo/"):
                yield f"{header.name}: only gloo/ may include <{target}>"
            elif include_graph.is_nccl(target) and not header.name.startswith("nccl/"):
                yield f"{header.name}: only nccl/ may include <{target}>"
            elif target.startswith("fmt/") and header.name != FORMATS:
                yield f"{header.name}: only {FORMATS} may include <{target}>"
            elif not (target in STANDARD or SYSTEM.fullmatch(target) or
                      target.startswith("fmt/") or include_graph.is_gloo(target)):
                yield f"{header.name}: <{target}> is neither the standard's, the system's nor a known library's"


def check_cycles(headers):
    done, path = set(), []

    def visit(name):
        if name in path:
            yield "cycle: " + " -> ".join(path[path.index(name):] + [name])
        elif name in headers and name not in done:
            path.append(name)
            for target in headers[name].own:
                yield from visit(target)
            path.pop()
            done.add(name)

    for name in headers:
        yield from visit(name)


def check_reach(headers):
    for name in headers:
        own, others = include_graph.reach(headers, name)
        if name.startswith(("core/", "topology/")) and name != FORMATS or name == "topology.hpp":
            if extra := sorted(others - STANDARD):
                yield f"{name}: the standard library only, but it reaches <{'>, <'.join(extra)}>"
        if name.startswith("gloo/") or name == "gloo.hpp":
            if found := sorted(filter(include_graph.is_nccl, others)) + [o for o in own if o.startswith("nccl/")]:
                yield f"{name}: needs neither CUDA nor NCCL, but it reaches {', '.join(found)}"
        if name.startswith("nccl/") or name == "muster.hpp":
            if found := sorted(filter(include_graph.is_gloo, others)) + [o for o in own if o.startswith("gloo/")]:
                yield f"{name}: needs no Gloo, but it reaches {', '.join(found)}"


def inline_namespace(headers):
    version = headers["core/version.hpp"].code
    return "v{}_{}".format(*(re.search(rf"\bversion_{part} = (\d+);", version)[1] for part in ("major", "minor")))


def check_style(headers):
    versioned = "muster::inline " + inline_namespace(headers)
    for header in headers.values():
        if not header.name.endswith(".hpp"):
            yield f"{header.name}: not a .hpp file"
        if header.text.split("\n", 1)[0] != "// SPDX-License-Identifier: Apache-2.0":
            yield f"{header.name}: its first line is not the SPDX line"
        code = [line.strip() for line in header.code.splitlines() if line.strip()]
        if code[:1] != ["#pragma once"]:
            yield f"{header.name}: its code does not begin with #pragma once"
        if re.search(r"^\s*#\s*(define|undef)\b", header.code, re.MULTILINE):
            yield f"{header.name}: defines or undefines a macro"
        if "__has_include" in header.code:
            yield f"{header.name}: asks __has_include"
        spaces = re.findall(r"\bnamespace (muster\b[^;{=]*?)\s*\{", header.code)
        for space in spaces:
            if space != versioned and not space.startswith(versioned + "::"):
                yield f"{header.name}: namespace {space} is not namespace {versioned}"
        if not spaces and any(not line.startswith("#") for line in code):
            yield f"{header.name}: declares something outside namespace {versioned}"


def problems(root):
    headers = include_graph.read(root)
    if "core/version.hpp" not in headers:
        return [f"{root}: no muster/core/version.hpp here"]
    checks = (check_includes, check_cycles, check_reach, check_style)
    return [problem for check in checks for problem in check(headers)]


def header_text(*includes, body="inline constexpr int fact = 1;", top=""):
    lines = "".join(f"#include {target}\n" for target in includes)
    return (f"// SPDX-License-Identifier: Apache-2.0\n{top}#pragma once\n\n{lines}\n"
            f"namespace muster::inline v0_1 {{\n{body}\n}} // namespace muster::inline v0_1\n")


GOOD = {
    "core/version.hpp": header_text(
        "<string_view>", body="inline constexpr int version_major = 0;\ninline constexpr int version_minor = 1;"),
    "topology/axis.hpp": header_text("<muster/core/version.hpp>", "<array>"),
    "topology/order.hpp": header_text("<muster/topology/axis.hpp>", body="// #define NOT_ONE\nint rank = 1'000; // it's"),
    "core/format.hpp": header_text("<fmt/format.h>"),
    "store/concept.hpp": header_text("<muster/core/version.hpp>", "<muster/core/format.hpp>"),
    "store/memory.hpp": header_text("<muster/store/concept.hpp>", "<unistd.h>", "<sys/socket.h>"),
    "nccl/device.hpp": header_text("<nccl.h>", "<cuda_runtime_api.h>"),
    "gloo/adaptor.hpp": header_text("<muster/store/memory.hpp>", "<gloo/context.h>",
                                    body="namespace detail { int x; }"),
    "mesh/mesh.hpp": header_text("<muster/topology/axis.hpp>", top="/* more\n   words */\n"),
    "topology.hpp": "// SPDX-License-Identifier: Apache-2.0\n#pragma once\n#include <muster/topology/axis.hpp>\n",
    "gloo.hpp": "// SPDX-License-Identifier: Apache-2.0\n#pragma once\n"
                "#include <muster/gloo/adaptor.hpp>\n#include <muster/mesh/mesh.hpp>\n",
}
# What is laid over the good tree, and the words of the one complaint that it must cause.
BAD = [
    ({"topology/axis.hpp": header_text("<muster/store/memory.hpp>")}, "looks upward"),
    ({"store/concept.hpp": header_text("<muster/store/memory.hpp>")}, "looks upward"),
    ({"mesh/mesh.hpp": header_text("<muster/report/x.hpp>"), "report/x.hpp": header_text()}, "looks upward"),
    ({"topology/axis.hpp": header_text("<muster/topology/order.hpp>")}, "cycle: "),
    ({"mesh/mesh.hpp": header_text("<muster/mesh/mesh.hpp>")}, "cycle: "),
    ({"mesh/mesh.hpp": header_text('"muster/topology/axis.hpp"')}, "not of the form"),
    ({"mesh/mesh.hpp": header_text("<muster/mesh/../topology/axis.hpp>")}, "not of the form"),
    ({"mesh/mesh.hpp": header_text("MACRO")}, "not of the form"),
    ({"mesh/mesh.hpp": header_text("<muster/topology/gone.hpp>")}, "does not exist"),
    ({"mesh/mesh.hpp": header_text("<boost/any.hpp>")}, "a known library's"),
    ({"mesh/mesh.hpp": header_text("<absl/strings.h>")}, "a known library's"),
    ({"other/thing.hpp": header_text()}, "stands in no layer"),
    ({"topology/axis.hpp": header_text("<muster/core/format.hpp>")}, "the standard library only"),
    ({"mesh/mesh.hpp": header_text("<fmt/ranges.h>")}, "only core/format.hpp may include"),
    ({"core/error.hpp": header_text("<unistd.h>")}, "the standard library only"),
    ({"topology/axis.hpp": header_text("<muster/store/concept.hpp>")}, "the standard library only"),
    ({"store/memory.hpp": header_text("<gloo/context.h>")}, "only gloo/ may include"),
    ({"mesh/mesh.hpp": header_text("<cuda_runtime_api.h>")}, "only nccl/ may include"),
    ({"gloo/adaptor.hpp": header_text("<muster/nccl/device.hpp>")}, "neither CUDA nor NCCL"),
    ({"muster.hpp": header_text("<muster/gloo.hpp>")}, "needs no Gloo"),
    ({"mesh/mesh.hpp": "#pragma once\n"}, "the SPDX line"),
    ({"mesh/mesh.hpp": header_text().replace("#pragma once\n", "")}, "#pragma once"),
    ({"mesh/mesh.hpp": header_text(body="#define X 1")}, "a macro"),
    ({"mesh/mesh.hpp": header_text(body="#if __has_include(<nccl.h>)\n#endif")}, "__has_include"),
    ({"mesh/mesh.hpp": header_text().replace("inline v0_1", "inline v0_2")}, "is not namespace"),
    ({"mesh/mesh.hpp": header_text().replace("::inline v0_1", "")}, "is not namespace"),
    ({"mesh/mesh.hpp": "// SPDX-License-Identifier: Apache-2.0\n#pragma once\nint x;\n"}, "declares something outside"),
    ({"mesh/notes.txt": header_text()}, "not a .hpp file"),
]


def problems_of(tree):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in tree.items():
            path = root / "muster" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return problems(root)


def self_test():
    if found := problems_of(GOOD):
        yield "the good tree fails:\n  " + "\n  ".join(found)
    if not problems_of({}):
        yield "an empty tree passes"
    for change, words in BAD:
        found = problems_of(GOOD | change)
        if not any(words in problem for problem in found):
            yield f"{', '.join(change)}: wanted '{words}', got {found or 'no complaint'}"


def main():
    if sys.argv[1:] == ["--self-test"]:
        found, done = list(self_test()), f"{len(BAD)} bad trees fail as they must"
    else:
        root = pathlib.Path(sys.argv[1])
        found, done = problems(root), f"{len(include_graph.read(root))} headers checked"
    print("\n".join(found) or done)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
