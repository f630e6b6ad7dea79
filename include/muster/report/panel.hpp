// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/report/layout.hpp>
#include <muster/report/svg.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1::detail {

/// The colours of a group: of its cells, and of their borders and links.
struct GroupColour {
    std::string_view fill, line;
};
inline constexpr std::array<GroupColour, 8> group_colours{{{"#d6e6f7", "#2b6cb0"},
                                                           {"#d9efd6", "#2f7d32"},
                                                           {"#e6dcf5", "#6b46c1"},
                                                           {"#f6ecc2", "#8a6d00"},
                                                           {"#d3efec", "#0f766e"},
                                                           {"#f8dcea", "#b0266f"},
                                                           {"#e4e7ec", "#4b5563"},
                                                           {"#e5f0c1", "#557a00"}}};
inline constexpr std::string_view crossing_colour = "#d9480f"; // no group's

/// One axis of a picture: all nodes, one below the other, with their ranks as cells that are linked within the groups
/// of the axis. All numbers are pixels from the panel's corner.
class Panel {
public:
    explicit Panel(const Layout& layout)
        : layout_(layout),
          cell_width_(std::max(44, svg_text_width(layout.coordinates.back().size(), 11) + 10)),
          cells_(layout.coordinates.size()) {
        int y = 30; // below the title
        std::size_t columns = 1;
        std::size_t line = 0;
        for (const std::vector<int>& ranks : layout.ranks) {
            const int top = y;
            y += padding;
            for (std::size_t i = 0; i < ranks.size(); ++i) {
                const auto column = static_cast<int>(i % cells_on_line);
                if (column == 0 && i > 0) y += cell_height + gap, ++line;
                cells_[static_cast<std::size_t>(ranks[i])] = {padding + column * (cell_width_ + gap), y, line};
                columns = std::max(columns, i % cells_on_line + 1);
            }
            y += cell_height + arc + 2;
            ++line;
            boxes_.push_back({top, y - top});
            y += gap;
        }
        height_ = y - gap;
        box_width_ = 2 * padding + static_cast<int>(columns) * (cell_width_ + gap) - gap;
    }

    [[nodiscard]] int width() const noexcept { return std::max(box_width_, 240); } // room for the title
    [[nodiscard]] int height() const noexcept { return height_; }

    /// The names of the nodes, to the left of a row of panels: pixels that they take, and elements.
    [[nodiscard]] int names_width() const {
        std::size_t most = 0;
        for (const std::string& name : layout_.nodes) most = std::max(most, name.size());
        return std::min(svg_text_width(most, 11), most_names_width) + gap;
    }
    [[nodiscard]] std::string names() const {
        std::string text;
        for (std::size_t node = 0; node < boxes_.size(); ++node)
            text +=
                format(R"(<text y="{}">{}</text>)", {boxes_[node].y + padding + cell_height / 2 + 4,
                                                     xml_escaped(svg_cut(layout_.nodes[node], 11, most_names_width))});
        return format("<g fill=\"#57606a\">{}</g>\n", {text});
    }

    /// The elements of the panel of `axis`.
    [[nodiscard]] std::string svg(const AxisGroups& axis) const {
        return title(axis) + boxes() + links_and_cells(axis) + texts();
    }

private:
    static constexpr int cell_height = 36, gap = 14, padding = 12, most_names_width = 140;
    static constexpr int arc = 12;                  ///< depth of a link that passes below cells
    static constexpr std::size_t cells_on_line = 8; ///< of a node; one with more has several lines

    struct Cell {
        int x = 0, y = 0;
        std::size_t line = 0; ///< counted through all nodes
    };
    struct Box {
        int y, height;
    };

    [[nodiscard]] std::string title(const AxisGroups& axis) const {
        const std::size_t crossing = axis.crossing();
        const std::string count = count_of(axis.groups.size(), "group");
        const std::string words = axis.groups.front().size() == 1 ? "one rank in each group"
                                  : crossing > 0                  ? format("crosses nodes: {} of {}", {crossing, count})
                                                                  : "inside a node: " + count;
        return format(R"(<text y="18" font-size="13"{}><tspan font-weight="700">{}</tspan> {}</text>)"
                      "\n",
                      {crossing > 0 ? format(R"( fill="{}")", {crossing_colour}) : "", axis.name, words});
    }

    [[nodiscard]] std::string boxes() const {
        std::string text;
        for (const Box& box : boxes_)
            text += format(R"(<rect y="{}" width="{}" height="{}" rx="6"/>)", {box.y, box_width_, box.height});
        return format("<g fill=\"#f6f8fa\" stroke=\"#d0d7de\">{}</g>\n", {text});
    }

    [[nodiscard]] std::string links_and_cells(const AxisGroups& axis) const {
        std::string text;
        std::string across;
        for (std::size_t group = 0; group < axis.groups.size(); ++group) {
            const std::vector<int>& ranks = axis.groups[group];
            std::string inside;
            std::string cells;
            for (std::size_t i = 0; i < ranks.size(); ++i) {
                const Cell& cell = cell_of(ranks[i]);
                cells += format("M{} {}h{}v{}h-{}z", {cell.x, cell.y, cell_width_, cell_height, cell_width_});
                if (i == 0) continue;
                const auto node = [&](std::size_t k) { return layout_.node_of[static_cast<std::size_t>(ranks[k])]; };
                (node(i) == node(i - 1) ? inside : across) += link(ranks[i - 1], ranks[i]);
            }
            const GroupColour& colour = group_colours[group % group_colours.size()];
            text += format(R"(<g fill="{}" stroke="{}">)",
                           {colour.fill, axis.crosses(group) ? crossing_colour : colour.line});
            if (!inside.empty()) text += format(R"(<path fill="none" d="{}"/>)", {inside});
            text += format("<path d=\"{}\"/></g>\n", {cells});
        }
        if (!across.empty())
            text += format("<path fill=\"none\" stroke=\"{}\" stroke-dasharray=\"5 3\" d=\"{}\"/>\n",
                           {crossing_colour, across});
        return text;
    }

    [[nodiscard]] std::string texts() const {
        std::string ranks;
        std::string coordinates;
        for (std::size_t rank = 0; rank < cells_.size(); ++rank) {
            const int x = cells_[rank].x + cell_width_ / 2;
            ranks += format(R"(<text x="{}" y="{}">{}</text>)", {x, cells_[rank].y + 16, rank});
            coordinates +=
                format(R"(<text x="{}" y="{}">{}</text>)", {x, cells_[rank].y + 30, layout_.coordinates[rank]});
        }
        return format(
            "<g text-anchor=\"middle\"><g font-size=\"14\" font-weight=\"600\">{}</g>\n"
            "<g fill=\"#57606a\">{}</g></g>\n",
            {ranks, coordinates});
    }

    /// From one rank of a group to its next, as part of a path.
    [[nodiscard]] std::string link(int from, int to) const {
        const Cell& a = cell_of(from);
        const Cell& b = cell_of(to);
        const int centre_a = a.x + cell_width_ / 2;
        const int centre_b = b.x + cell_width_ / 2;
        const int middle_a = a.y + cell_height / 2;
        const int middle_b = b.y + cell_height / 2;
        const int below = a.y + cell_height;
        if (a.line == b.line && b.x == a.x + cell_width_ + gap)
            return format("M{} {}h{}", {a.x + cell_width_, middle_a, gap});
        if (a.line == b.line)
            return format("M{} {}C{} {} {} {} {} {}",
                          {centre_a, below, centre_a, below + arc, centre_b, below + arc, centre_b, below});
        if (b.line == a.line + 1)
            return format("M{} {}C{} {} {} {} {} {}",
                          {centre_a, below, centre_a, (below + b.y) / 2, centre_b, (below + b.y) / 2, centre_b, b.y});
        // Beside the cells that stand between them; links from lines below one another keep apart.
        const int beside = a.x + cell_width_ + 4 + static_cast<int>(a.line % 3) * 3;
        return format("M{} {}H{}V{}H{}",
                      {a.x + cell_width_, middle_a, beside, middle_b, b.x <= a.x ? b.x + cell_width_ : b.x});
    }

    [[nodiscard]] const Cell& cell_of(int rank) const { return cells_[static_cast<std::size_t>(rank)]; }

    const Layout& layout_;
    int cell_width_, box_width_ = 0, height_ = 0;
    std::vector<Box> boxes_;  ///< index = node
    std::vector<Cell> cells_; ///< index = rank
};

} // namespace muster::inline v0_1::detail
