// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace muster::inline v0_1::detail {

/// Named texts as bytes, for what ranks tell each other: u32 count, then per field u32 length + name, u32 length +
/// value, little-endian. A reader skips names that it does not know, so that records may grow.
class Fields {
public:
    Fields() : bytes_(count_bytes, '\0') {}

    /// Of a name that is set again the last value counts.
    void set(std::string_view name, std::string_view value) {
        put_text(bytes_, name);
        put_text(bytes_, value);
        put(bytes_.data(), ++count_);
    }
    void set(std::string_view name, long long value) {
        std::array<char, 20> digits{};
        const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
        set(name, std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data())));
    }

    [[nodiscard]] bool has(std::string_view name) const { return find(name).has_value(); }

    [[nodiscard]] std::string get(std::string_view name) const { return std::string(find(name).value_or("")); }

    /// A number that was set, `otherwise` where it is absent or no number: a peer's field is not trusted.
    [[nodiscard]] int number(std::string_view name, int otherwise) const {
        return to_number(find(name).value_or(""), otherwise);
    }

    [[nodiscard]] static int to_number(std::string_view text, int otherwise) {
        int value = 0;
        const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
        return failure == std::errc() && end == text.data() + text.size() ? value : otherwise;
    }

    [[nodiscard]] const std::string& encode() const& noexcept { return bytes_; }
    [[nodiscard]] std::string encode() && noexcept { return std::move(bytes_); }

    /// Makes room for what is about to be set.
    void reserve(std::size_t bytes) { bytes_.reserve(bytes); }

    /// Throws: Error(errc::protocol) when the bytes are no such list. Every length is checked against what is left.
    [[nodiscard]] static Fields decode(std::string_view bytes) {
        Fields result;
        visit(bytes, [&](std::string_view, std::string_view) { ++result.count_; });
        result.bytes_ = bytes;
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
        std::array<char, count_bytes> size{};
        put(size.data(), text.size());
        bytes.append(size.data(), size.size()).append(text);
    }

    [[nodiscard]] static std::string_view take_text(std::string_view& bytes) {
        const std::size_t length = take(bytes);
        if (length > bytes.size()) malformed("a length beyond the end");
        const auto text = bytes.substr(0, length);
        bytes.remove_prefix(length);
        return text;
    }

private:
    static constexpr std::size_t count_bytes = 4;

    // A handful of them: a scan beats a tree.
    [[nodiscard]] std::optional<std::string_view> find(std::string_view wanted) const {
        std::optional<std::string_view> found;
        visit(bytes_, [&](std::string_view name, std::string_view value) {
            if (name == wanted) found = value;
        });
        return found;
    }

    static void put(char* to, std::size_t value) {
        if (value > std::numeric_limits<std::uint32_t>::max()) malformed("a field above 4 GiB");
        for (unsigned i = 0; i < count_bytes; ++i) to[i] = static_cast<char>((value >> (8U * i)) & 0xFFU);
    }

    [[nodiscard]] static std::size_t take(std::string_view& bytes) {
        if (bytes.size() < count_bytes) malformed("the end in the middle of a length");
        std::size_t value = 0;
        for (unsigned i = 0; i < count_bytes; ++i)
            value |= static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])) << (8U * i);
        bytes.remove_prefix(count_bytes);
        return value;
    }

    [[noreturn]] static void malformed(std::string_view what) {
        throw Error(errc::protocol, Stage::roll_call,
                    format("a roll call message holds {}\n  do: look for another program, or another version of "
                           "this library, that uses the same store and keys",
                           {what}));
    }

    std::string bytes_;
    std::size_t count_ = 0;
};

} // namespace muster::inline v0_1::detail
