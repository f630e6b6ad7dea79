// SPDX-License-Identifier: Apache-2.0
// A curve as an SVG file, for any browser.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace train_3d {

/// The loss over the steps; the first of `losses` is that of `first_step`.
inline void plot_losses(const std::string& path, const std::vector<double>& losses, int first_step) {
    constexpr double left = 60, top = 20, width = 560, height = 300;
    if (losses.empty()) return;
    const double low = *std::min_element(losses.begin(), losses.end());
    const double high = *std::max_element(losses.begin(), losses.end());
    const double range = high > low ? high - low : 1;
    const double last = std::max<double>(1, static_cast<double>(losses.size()) - 1);
    const auto x = [&](std::size_t i) { return left + width * static_cast<double>(i) / last; };
    const auto y = [&](double loss) { return top + height * (high - loss) / range; };

    std::string svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"370\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n"
        "<rect width=\"640\" height=\"370\" fill=\"white\"/>\n");
    for (int tick = 0; tick <= 4; ++tick) {
        const double loss = low + range * tick / 4;
        svg += fmt::format(
            "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/>\n"
            "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.3f}</text>\n",
            left, left + width, y(loss), left - 6, y(loss) + 4, loss);
    }
    const std::size_t apart = std::max<std::size_t>(1, losses.size() / 10);
    for (std::size_t i = 0; i < losses.size(); i += apart)
        svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x(i), top + height + 18,
                           static_cast<std::size_t>(first_step) + i);
    svg += fmt::format(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">step</text>\n<polyline fill=\"none\" "
        "stroke=\"#1f77b4\" stroke-width=\"2\" points=\"",
        left + width / 2, top + height + 38);
    for (std::size_t i = 0; i < losses.size(); ++i) svg += fmt::format("{:.1f},{:.1f} ", x(i), y(losses[i]));
    svg += "\"/>\n</svg>\n";
    if (!(std::ofstream(path) << svg << std::flush)) throw std::runtime_error(fmt::format("cannot write {}", path));
}

} // namespace train_3d
