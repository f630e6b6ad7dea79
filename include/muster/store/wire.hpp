// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

/// The c10d wire protocol, as the TCPStore of torch 2.2 and later speaks it; PING is there from 2.5 on. A request is
/// one byte of code and a body; integers are little-endian; text is a 64-bit length and bytes. Replies come in the
/// order of the requests.
namespace muster::inline v0_1::detail {

enum class Opcode : std::uint8_t {
    validate = 0,
    set = 1,
    compare_set = 2,
    get = 3,
    add = 4,
    check = 5,
    wait = 6,
    num_keys = 7,
    delete_key = 8,
    append = 9,
    multi_get = 10,
    multi_set = 11,
    cancel_wait = 12,
    ping = 13,
};

inline constexpr std::uint32_t wire_magic = 0x3C85F7CE;

// Answers of one byte.
inline constexpr char wire_ready = 0;
inline constexpr char wire_not_ready = 1;
inline constexpr char wire_wait_done = 0;
inline constexpr char wire_wait_cancelled = 1;

/// Keys in one request, and bytes of a key with its "/" and of a value, at most: as torch's server.
inline constexpr std::size_t wire_max_keys = 131072;
inline constexpr std::size_t wire_max_key_bytes = std::size_t{8} * 1024;
inline constexpr std::size_t wire_max_value_bytes = std::size_t{8} * 1024 * 1024;

template <std::integral Int>
void put_int(std::string& out, Int value) {
    using Bits = std::make_unsigned_t<Int>;
    auto bits = static_cast<Bits>(value);
    char bytes[sizeof(Int)];
    for (char& byte : bytes) {
        byte = static_cast<char>(static_cast<unsigned char>(bits & 0xFFu));
        if constexpr (sizeof(Int) > 1) bits = static_cast<Bits>(bits >> 8);
    }
    out.append(bytes, sizeof bytes);
}

inline void put_bytes(std::string& out, std::string_view bytes) {
    put_int(out, std::uint64_t{bytes.size()});
    out += bytes;
}

/// Reads sizeof(Int) bytes.
template <std::integral Int>
[[nodiscard]] Int get_int(const char* bytes) noexcept {
    using Bits = std::make_unsigned_t<Int>;
    Bits bits = 0;
    for (std::size_t i = sizeof(Int); i-- > 0;)
        bits = static_cast<Bits>((sizeof(Int) > 1 ? bits << 8 : 0) | static_cast<unsigned char>(bytes[i]));
    return static_cast<Int>(bits);
}

/// A request under construction, or several, to be sent whole: half a command would block torch's older server.
class RequestWriter {
public:
    RequestWriter() = default;
    explicit RequestWriter(Opcode code) { next(code); }

    /// Begins a request.
    RequestWriter& next(Opcode code) {
        bytes_ += static_cast<char>(code);
        return *this;
    }

    void reserve(std::size_t bytes) { bytes_.reserve(bytes); }

    template <std::integral Int>
    RequestWriter& number(Int value) {
        put_int(bytes_, value);
        return *this;
    }
    RequestWriter& count(std::size_t n) { return number(std::uint64_t{n}); }

    /// A key as users write it: the wire wants "/" before it.
    RequestWriter& key(std::string_view key) {
        count(key.size() + 1);
        bytes_ += '/';
        bytes_ += key;
        return *this;
    }
    RequestWriter& value(std::string_view value) {
        put_bytes(bytes_, value);
        return *this;
    }

    [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }

private:
    std::string bytes_;
};

} // namespace muster::inline v0_1::detail
