#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the group vectors of mesh.json as C++: mesh_header.py mesh.json > mesh_vectors.hpp

A vector gives its axes in one of two ways:
  dims   row-major, the leftmost axis slowest, as in torch's DeviceMesh: the order of muster's axes;
  order  Megatron's order string, the leftmost axis fastest: the reverse. An axis that has no size has one rank.
"""

import json
import pathlib
import re
import sys

PREDEFINED = {"tp": "muster::Tp", "dp": "muster::Dp", "cp": "muster::Cp", "pp": "muster::Pp", "ep": "muster::Ep"}


def camel_case(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def tag(name: str) -> str:
    return PREDEFINED.get(name) or camel_case(name)


def axes_of(vector: dict) -> list[tuple[str, int]]:
    if "dims" in vector:
        return [(name, extent) for name, extent in vector["dims"]]
    sizes = dict(vector["sizes"])
    axes = [(name, sizes.pop(name, 1)) for name in reversed(vector["order"].split("-"))]
    if sizes:
        sys.exit(f"{vector['id']}: sizes of axes that the order lacks: {sizes}")
    return axes


def case(vector: dict, axes: list[tuple[str, int]], group: str, expected: list[list[int]]) -> tuple[str, str]:
    chosen = re.split(r"[-+]", group)
    name = f"{vector['id']}_{'_'.join(chosen)}"
    fixed = ", ".join(f"muster::Axis<{tag(axis)}, {extent}>" for axis, extent in axes)
    unfixed = ", ".join(f"muster::Axis<{tag(axis)}>" for axis, _ in axes)
    extents = ", ".join(str(extent) for _, extent in axes)
    groups = ", ".join("{" + ", ".join(map(str, ranks)) + "}" for ranks in expected)
    tags = ", ".join(tag(axis) for axis in chosen)
    text = f"""struct {name} {{
    static constexpr std::string_view name = "{vector['id']}: {group}";
    using Static = muster::Topology<{fixed}>;
    using Dynamic = muster::Topology<{unfixed}>;
    static constexpr int world_size = {vector['world']};
    static constexpr std::array<int, {len(axes)}> extents{{{extents}}};
    static constexpr std::array<std::array<int, {len(expected[0])}>, {len(expected)}> groups{{{{{groups}}}}};
    static constexpr auto groups_of(const auto& t) {{ return t.template groups<{tags}>(); }}
    static constexpr auto group_of(const auto& t, int rank) {{ return t.template group<{tags}>(rank); }}
}};"""
    return name, text


def main() -> None:
    vectors = json.loads(pathlib.Path(sys.argv[1]).read_text())
    own_tags = sorted({name for vector in vectors for name, _ in axes_of(vector)} - PREDEFINED.keys())
    cases = [
        case(vector, axes_of(vector), group, expected)
        for vector in vectors
        for group, expected in vector["groups"].items()
    ]
    tag_texts = [
        f'struct {camel_case(name)} {{\n    static constexpr std::string_view name = "{name}";\n}};' for name in own_tags
    ]
    names = ",\n    ".join(name for name, _ in cases)
    parts = [
        "// Generated from mesh.json.\n#pragma once",
        "#include <muster/topology/topology.hpp>",
        "#include <array>\n#include <string_view>",
        "namespace golden {",
        *tag_texts,
        *(text for _, text in cases),
        f"template <class... Cases>\nstruct List {{}};\nusing AllCases = List<\n    {names}>;",
        "} // namespace golden",
    ]
    print("\n\n".join(parts))


if __name__ == "__main__":
    main()
