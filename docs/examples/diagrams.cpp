// SPDX-License-Identifier: Apache-2.0
// Draws the pictures of the documentation into a folder, and prints the first one for a terminal: diagrams docs/images
#include <muster/report/diagram.hpp>
#include <muster/report/diagram_svg.hpp>
#include <muster/topology.hpp>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

using muster::diagram_svg;
using muster::Nodes;
using muster::Topology3D; // <TP, DP, CP>

void save(const std::filesystem::path& path, std::string_view text) {
    std::ofstream file(path);
    file << text;
    file.close();
    if (!file) throw std::runtime_error("cannot write " + path.string());
}

void draw(const std::filesystem::path& folder) {
    const Nodes two_nodes = Nodes::of_size(4);
    save(folder / "tp2_dp2_cp2_on_2_nodes.svg", diagram_svg(Topology3D<2, 2, 2>(), two_nodes));
    save(folder / "tp4_dp2_on_4_nodes.svg", diagram_svg(Topology3D<4, 2, 1>(), Nodes::of_size(2)));
    save(folder / "tp8_dp4_on_4_nodes.svg", diagram_svg(Topology3D<8, 4, 1>(), Nodes::of_size(8)));
    std::fputs(diagram(Topology3D<2, 2, 2>(), two_nodes).c_str(), stdout);
}

} // namespace

int main(int argc, char** argv) {
    try {
        if (argc != 2) throw std::invalid_argument("usage: diagrams FOLDER");
        draw(argv[1]);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
