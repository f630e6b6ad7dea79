// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// How the texts of errors and reports write things.
namespace muster::inline v0_1::detail {

/// "a, b, c".
[[nodiscard]] inline std::string joined(std::span<const std::string> parts, std::string_view between) {
    std::string text;
    for (const std::string& part : parts) {
        if (&part != parts.data()) text += between;
        text += part;
    }
    return text;
}

/// "0 1 2".
[[nodiscard]] inline std::string joined(std::span<const int> numbers, std::string_view between) {
    std::vector<std::string> parts;
    for (const int number : numbers) parts.push_back(std::to_string(number));
    return joined(parts, between);
}

/// So many digits, lower case; the lowest of the number.
[[nodiscard]] inline std::string hex(std::uint64_t number, std::size_t digits) {
    std::string text(digits, '0');
    for (std::size_t i = digits; i-- > 0; number >>= 4) text[i] = "0123456789abcdef"[number & 15];
    return text;
}

/// The text and spaces after it, up to the width.
[[nodiscard]] inline std::string padded(std::string_view text, std::size_t width) {
    return std::string(text).append(width > text.size() ? width - text.size() : 0, ' ');
}

/// "0-3, 5": ascending, each once, runs of three and more as a range.
[[nodiscard]] inline std::string rank_list(std::vector<int> ranks) {
    std::sort(ranks.begin(), ranks.end());
    ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
    std::string text;
    for (std::size_t i = 0; i < ranks.size();) {
        std::size_t end = i + 1;
        while (end < ranks.size() && ranks[end] == ranks[end - 1] + 1) ++end;
        if (end - i < 3) end = i + 1;
        if (!text.empty()) text += ", ";
        text += std::to_string(ranks[i]);
        if (end - i > 1) text += '-' + std::to_string(ranks[end - 1]);
        i = end;
    }
    return text;
}

/// "rank 3" or "ranks 0-3, 5".
[[nodiscard]] inline std::string ranks_text(const std::vector<int>& ranks) {
    return (ranks.size() == 1 ? "rank " : "ranks ") + rank_list(ranks);
}

/// "[0 4]", "[0 2 .. 14]": a group along an axis, whose ranks all have the same distance.
[[nodiscard]] inline std::string group_text(const std::vector<int>& ranks) {
    std::string text = "[";
    for (std::size_t i = 0; i < ranks.size(); ++i) {
        if (i > 0) text += ' ';
        if (i == 2 && ranks.size() > 4) {
            i = ranks.size() - 1;
            text += ".. ";
        }
        text += std::to_string(ranks[i]);
    }
    return text + ']';
}

/// "30 s", "0.25 s".
[[nodiscard]] inline std::string duration_text(std::chrono::milliseconds wait) {
    std::string text = std::to_string(wait.count() / 1000);
    if (const auto rest = wait.count() % 1000; rest > 0) {
        text += '.' + std::to_string(1000 + rest).substr(1);
        text.erase(text.find_last_not_of('0') + 1);
    }
    return text + " s";
}

/// "2.5 s": to the tenth, for what was measured.
[[nodiscard]] inline std::string seconds_text(std::chrono::duration<double> waited) {
    const auto tenths = std::llround(waited.count() * 10);
    return std::to_string(tenths / 10) + '.' + std::to_string(tenths % 10) + " s";
}

/// An error's text within another's: its further lines are set deeper.
[[nodiscard]] inline std::string indented(std::string_view text) {
    std::string result;
    for (const char c : text) result += c == '\n' ? std::string("\n  ") : std::string(1, c);
    return result;
}

/// A host without the brackets in which an IPv6 address may stand, as in a URL.
[[nodiscard]] inline std::string bare_host(std::string_view host) {
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    return std::string(host);
}

/// "gpu01:29500", "[::1]:29500".
[[nodiscard]] inline std::string host_port(std::string_view host, std::uint16_t port) {
    const std::string bare = bare_host(host);
    return (bare.find(':') == std::string::npos ? bare : '[' + bare + ']') + ':' + std::to_string(port);
}

} // namespace muster::inline v0_1::detail
