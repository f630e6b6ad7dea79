// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// Named texts as bytes, for what ranks tell each other: u32 count, then per field u32 length + name, u32 length +
/// value, little-endian. A reader skips names that it does not know, so that records may grow.
class Fields {
public:
    void set(std::string_view name, std::string_view value) {
        if (const auto found = find(name); found != fields_.end())
            fields_[static_cast<std::size_t>(found - fields_.begin())].second = value;
        else
            fields_.emplace_back(name, value);
    }
    void set(std::string_view name, long long value) { set(name, fmt::format("{}", value)); }

    [[nodiscard]] bool has(std::string_view name) const { return find(name) != fields_.end(); }

    [[nodiscard]] std::string get(std::string_view name) const {
        const auto found = find(name);
        return found == fields_.end() ? std::string() : found->second;
    }

    /// A number that was set, `otherwise` where it is absent or no number: a peer's field is not trusted.
    [[nodiscard]] int number(std::string_view name, int otherwise) const { return to_number(get(name), otherwise); }

    [[nodiscard]] static int to_number(std::string_view text, int otherwise) {
        int value = 0;
        const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
        return failure == std::errc() && end == text.data() + text.size() ? value : otherwise;
    }

    /// In the order in which they were set.
    [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& all() const noexcept { return fields_; }

    [[nodiscard]] std::string encode() const {
        std::string bytes;
        put(bytes, fields_.size());
        for (const auto& [name, value] : fields_) {
            put_text(bytes, name);
            put_text(bytes, value);
        }
        return bytes;
    }

    /// Throws: Error(errc::protocol) when the bytes are no such list. Every length is checked against what is left.
    [[nodiscard]] static Fields decode(std::string_view bytes) {
        Fields result;
        visit(bytes, [&](std::string_view name, std::string_view value) { result.set(name, value); });
        return result;
    }

    /// Calls visit(name, value) for each field, without a copy. Throws as decode.
    template <class Visit>
    static void visit(std::string_view bytes, Visit visit) {
        const std::size_t count = take(bytes);
        for (std::size_t i = 0; i < count; ++i) {
            const auto name = take_text(bytes);
            visit(name, take_text(bytes));
        }
        if (!bytes.empty()) malformed("bytes after the last field");
    }

    /// Length and text, for lists that several ranks append to.
    static void put_text(std::string& bytes, std::string_view text) {
        put(bytes, text.size());
        bytes += text;
    }

    [[nodiscard]] static std::string_view take_text(std::string_view& bytes) {
        const std::size_t length = take(bytes);
        if (length > bytes.size()) malformed("a length beyond the end");
        const auto text = bytes.substr(0, length);
        bytes.remove_prefix(length);
        return text;
    }

private:
    // A handful of them: a scan beats a tree.
    [[nodiscard]] std::vector<std::pair<std::string, std::string>>::const_iterator find(std::string_view name) const {
        return std::find_if(fields_.begin(), fields_.end(), [&](const auto& field) { return field.first == name; });
    }

    static void put(std::string& bytes, std::size_t value) {
        if (value > std::numeric_limits<std::uint32_t>::max()) malformed("a field above 4 GiB");
        for (unsigned shift = 0; shift < 32; shift += 8) bytes += static_cast<char>((value >> shift) & 0xFFU);
    }

    [[nodiscard]] static std::size_t take(std::string_view& bytes) {
        if (bytes.size() < 4) malformed("the end in the middle of a length");
        std::size_t value = 0;
        for (unsigned i = 0; i < 4; ++i)
            value |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])) << (8U * i);
        bytes.remove_prefix(4);
        return value;
    }

    [[noreturn]] static void malformed(std::string_view what) {
        throw Error(errc::protocol, Stage::roll_call,
                    fmt::format("a roll call message holds {}\n  do: look for another program, or another version of "
                                "this library, that uses the same store and keys",
                                what));
    }

    std::vector<std::pair<std::string, std::string>> fields_;
};

} // namespace muster::inline v0_1::detail
