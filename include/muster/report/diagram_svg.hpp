// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/mesh/device_mesh.hpp>
#include <muster/report/layout.hpp>
#include <muster/report/panel.hpp>
#include <muster/report/svg.hpp>
#include <muster/roll_call/nodes.hpp>
#include <muster/topology.hpp>
#include <muster/topology/nodes.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1 {

namespace detail {

/// What the cells, colours and links mean.
struct Legend {
    std::string svg;
    int width = 0;

    explicit Legend(const Layout& layout) {
        const auto& [fill, line] = group_colours.front();
        add(format(R"(d="M0 2h26v16h-26z" fill="{}" stroke="{}")", {fill, line}),
            format("rank and {}; a group has one colour", {layout.axis_names}));
        add(format(R"(d="M0 10h26" stroke="{}")", {line}), "link inside a node");
        add(format(R"(d="M0 10h26" stroke="{}" stroke-dasharray="5 3")", {crossing_colour}), "link across nodes");
    }

private:
    void add(std::string_view sample, std::string_view words) {
        if (width > 0) width += 24;
        svg +=
            format(R"svg(<g transform="translate({})"><path {}/><text x="34" y="14" fill="#57606a">{}</text></g>)svg",
                   {width, sample, words});
        svg += '\n';
        width += 34 + svg_text_width(words.size(), 11);
    }
};

/// Elements whose coordinates count from there.
[[nodiscard]] inline std::string placed(int x, int y, std::string_view elements) {
    return format("<g transform=\"translate({} {})\">\n{}</g>\n", {x, y, elements});
}

[[nodiscard]] inline std::string diagram_svg_text(const Layout& layout) {
    constexpr int margin = 20;
    constexpr int between = 24;      // panels
    constexpr int top = 44;          // title
    constexpr int bottom = 40;       // legend
    constexpr int most_width = 1100; // more than that would be small letters in a README
    std::vector<const AxisGroups*> axes;
    for (const AxisGroups& axis : layout.axes)
        if (axis.groups.front().size() > 1) axes.push_back(&axis);
    if (axes.empty()) axes.push_back(&layout.axes.front());

    const Panel panel(layout);
    const Legend legend(layout);
    const int left = margin + panel.names_width();
    const int step_x = panel.width() + between;
    const int step_y = panel.height() + between;
    const int count = static_cast<int>(axes.size());
    const int columns = std::clamp((most_width - left - margin + between) / step_x, 1, count);
    const int rows = (count + columns - 1) / columns;
    const int width = margin + std::max(left + columns * step_x - between, margin + legend.width);
    const int height = top + rows * step_y + bottom;

    const std::string title = xml_escaped(layout.title);
    std::string text = format(
        R"(<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{}" viewBox="0 0 {} {}" role="img" )"
        R"(font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="11" )"
        R"(fill="#1f2328" stroke-width="1.5" stroke-linejoin="round">)"
        "\n<title>{}</title>\n"
        R"(<rect x="0.5" y="0.5" width="{}" height="{}" rx="8" fill="#ffffff" stroke="#d0d7de" stroke-width="1"/>)"
        "\n"
        R"(<text x="{}" y="29" font-size="15" font-weight="700">{}</text>)"
        "\n",
        {width, height, width, height, title, width - 1, height - 1, margin, title});
    for (int row = 0; row < rows; ++row) text += placed(margin, top + row * step_y, panel.names());
    for (int i = 0; i < count; ++i)
        text += placed(left + i % columns * step_x, top + i / columns * step_y,
                       panel.svg(*axes[static_cast<std::size_t>(i)]));
    return text + placed(margin, height - bottom + 4, legend.svg) + "</svg>\n";
}

} // namespace detail

/// A picture of the topology as an SVG document, for a README or a report: for each axis with more than one rank all
/// nodes and ranks, the ranks of a group in one colour and linked, links across nodes dashed. It has a background of
/// its own, and is the same text whenever it is made. Talks to nobody.
/// Throws: errc::invalid_argument when the nodes are those of another world.
template <class... Axes>
[[nodiscard]] std::string diagram_svg(const Topology<Axes...>& topology, const Nodes& nodes) {
    return detail::diagram_svg_text(detail::layout_of(topology, nodes));
}

/// The same of a mesh, on the hosts where its ranks are.
/// Blocks, Throws: as BasicDeviceMesh::records.
template <class Topology, class B>
[[nodiscard]] std::string diagram_svg(const BasicDeviceMesh<Topology, B>& mesh) {
    return diagram_svg(mesh.topology(), nodes_of(mesh.records()));
}

} // namespace muster::inline v0_1
