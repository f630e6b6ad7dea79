// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/store/file_name.hpp>
#include <muster/store/limits.hpp>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace muster::inline v0_1::detail {

/// What one file of a FileStore says: a change of one key's value. The file is one line of text, the key, a line end
/// and the bytes. The line: magic, kind, length of the key, length of the bytes, `total`, checksum of key and bytes.
struct FileEntry {
    enum class Kind {
        value,   ///< the bytes are the value
        suffix,  ///< the bytes follow the value that the version before left
        removed, ///< there is no value
    };

    static constexpr std::string_view magic = "muster-store-1";
    static constexpr std::array<std::string_view, 3> kinds{"value", "suffix", "removed"};
    static constexpr std::size_t max_line_bytes = 128;
    static constexpr std::size_t max_bytes = max_line_bytes + max_key_bytes + 1 + max_grown_value_bytes;

    Kind kind = Kind::value;
    std::string key;
    std::string bytes;
    std::uint64_t total = 0; ///< length of the whole value with this change, as far as its writer knew

    [[nodiscard]] std::string encode() const {
        return format("{} {} {} {} {} {}\n{}\n{}",
                      {magic, kinds[static_cast<std::size_t>(kind)], key.size(), bytes.size(), total,
                       hex(fnv1a(bytes, fnv1a(key)), 16), key, bytes});
    }
};

/// The first line of such a file.
struct FileEntryHead {
    FileEntry::Kind kind{};
    std::uint64_t key_size = 0;
    std::uint64_t size = 0;
    std::uint64_t total = 0;
    std::uint64_t checksum = 0;
    std::uint64_t line_size = 0;

    [[nodiscard]] std::uint64_t file_size() const noexcept { return line_size + key_size + 1 + size; }

    /// Nothing when the beginning of a file is not such a line.
    [[nodiscard]] static std::optional<FileEntryHead> parse(std::string_view text) {
        const std::size_t end = text.substr(0, FileEntry::max_line_bytes).find('\n');
        if (end == std::string_view::npos) return std::nullopt;
        FileEntryHead head;
        head.line_size = end + 1;
        std::string_view rest = text.substr(0, end);
        const auto word = [&] {
            const std::string_view found = rest.substr(0, rest.find(' '));
            rest.remove_prefix(found.size() < rest.size() ? found.size() + 1 : rest.size());
            return found;
        };
        const auto number = [&](std::uint64_t& value, int base = 10) {
            const std::string_view digits = word();
            const char* const last = digits.data() + digits.size();
            const auto [stop, error] = std::from_chars(digits.data(), last, value, base);
            return error == std::errc() && stop == last;
        };
        if (word() != FileEntry::magic) return std::nullopt;
        const std::string_view kind = word();
        std::size_t index = 0;
        while (index < FileEntry::kinds.size() && FileEntry::kinds[index] != kind) ++index;
        if (index == FileEntry::kinds.size()) return std::nullopt;
        head.kind = static_cast<FileEntry::Kind>(index);
        if (!number(head.key_size) || !number(head.size) || !number(head.total) || !number(head.checksum, 16) ||
            !rest.empty() || head.key_size > max_key_bytes || head.size > max_grown_value_bytes)
            return std::nullopt;
        return head;
    }
};

} // namespace muster::inline v0_1::detail
