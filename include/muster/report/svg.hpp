// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/text.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace muster::inline v0_1::detail {

/// As text or attribute of an XML document. Bytes beyond printable ASCII are shown as "\xNN": whatever they are, the
/// document stays well-formed.
[[nodiscard]] inline std::string xml_escaped(std::string_view text) {
    std::string result;
    for (const char c : text) {
        switch (c) {
            case '&': result += "&amp;"; break;
            case '<': result += "&lt;"; break;
            case '>': result += "&gt;"; break;
            case '"': result += "&quot;"; break;
            default:
                if (c >= ' ' && c <= '~')
                    result += c;
                else
                    result += "\\x" + hex(static_cast<unsigned char>(c), 2);
        }
    }
    return result;
}

/// Pixels that the text takes, at most, in the sans-serif fonts that viewers have.
[[nodiscard]] inline int svg_text_width(std::size_t characters, int font_size) {
    return static_cast<int>(characters) * font_size * 16 / 25;
}

/// The text, or its beginning if it would be wider than `width`. Pre: there is room for three characters.
[[nodiscard]] inline std::string svg_cut(std::string_view text, int font_size, int width) {
    const auto most = static_cast<std::size_t>(width * 25 / (font_size * 16));
    return text.size() <= most ? std::string(text) : std::string(text.substr(0, most - 2)) + "..";
}

} // namespace muster::inline v0_1::detail
