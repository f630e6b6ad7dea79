// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/text.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace muster::inline v0_1::detail {

/// FNV-1a, 64 bits.
[[nodiscard]] constexpr std::uint64_t fnv1a(std::string_view bytes,
                                            std::uint64_t hash = 14695981039346656037ULL) noexcept {
    for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    return hash;
}

/// Longest name that file_name gives, in bytes: file systems take 255, some of them 143 (eCryptfs).
inline constexpr std::size_t max_file_name_bytes = 140;

/// Any text as a file name that a person can read: letters, digits, '-', '_', '+', '=' and '.' except as the first
/// stand for themselves, another byte is %XX, the empty text is "%". Of a long text the beginning is followed by "%~"
/// and a hash. Two short texts never have one name; of two long ones the reader must tell.
[[nodiscard]] inline std::string file_name(std::string_view text) {
    if (text.empty()) return "%";
    constexpr std::size_t hash_bytes = 18;
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string name;
    std::size_t cut = 0; // the longest beginning of `name` that leaves room for the hash and ends between two bytes
    for (const char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                           c == '_' || c == '+' || c == '=' || (c == '.' && !name.empty());
        const auto byte = static_cast<unsigned char>(c);
        name += plain ? std::string(1, c) : std::string{'%', digits[byte >> 4], digits[byte & 15]};
        if (name.size() + hash_bytes <= max_file_name_bytes) cut = name.size();
    }
    if (name.size() <= max_file_name_bytes) return name;
    return name.substr(0, cut) + "%~" + hex(fnv1a(text), 16);
}

} // namespace muster::inline v0_1::detail
