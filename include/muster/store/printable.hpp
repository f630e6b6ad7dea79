// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/core/text.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace muster::inline v0_1::detail {

/// Bytes from anywhere as one line of an error text: quoted, escaped, cut.
[[nodiscard]] inline std::string printable(std::string_view bytes, std::size_t most = 80) {
    std::string text = "'";
    for (const char c : bytes.substr(0, most)) {
        if (c == '\'' || c == '\\')
            text += format("\\{}", {c});
        else if (c >= ' ' && c <= '~')
            text += c;
        else
            text += "\\x" + hex(static_cast<unsigned char>(c), 2);
    }
    text += bytes.size() > most ? "...'" : "'";
    return text;
}

/// The first few of many keys.
[[nodiscard]] inline std::string printable(std::span<const std::string> keys) {
    constexpr std::size_t most = 8;
    std::string text;
    for (const std::string& key : keys.first(keys.size() < most ? keys.size() : most)) {
        if (!text.empty()) text += ", ";
        text += printable(std::string_view(key));
    }
    if (keys.size() > most) text += format(", ... ({} in all)", {keys.size()});
    return text;
}

} // namespace muster::inline v0_1::detail
