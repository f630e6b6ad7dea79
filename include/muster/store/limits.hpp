// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/store/printable.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace muster::inline v0_1 {

/// Longest key of a store, prefixes included: what the server of torch 2.5 takes, less the "/" that c10d adds.
inline constexpr std::size_t max_key_bytes = std::size_t{8} * 1024 - 1;

/// Longest value that one call stores: what the server of torch 2.5 takes.
inline constexpr std::size_t max_value_bytes = std::size_t{8} * 1024 * 1024;

/// Longest value there can be: `append` may grow one beyond what a single call stores.
inline constexpr std::size_t max_grown_value_bytes = std::size_t{64} * 1024 * 1024;

namespace detail {

/// In a key: a last will, appended to the key without the mark when the connection of the one who sets it ends. A
/// TcpStoreServer does so; to other stores it is a key like any other.
inline constexpr std::string_view will_mark = "@will/";

inline void require_key(std::string_view key) {
    if (key.size() <= max_key_bytes) return;
    throw Error(
        errc::invalid_argument, Stage::store,
        format("a store's key has at most {} bytes, this one has {}: {}", {max_key_bytes, key.size(), printable(key)}));
}

inline void require_keys(std::span<const std::string> keys) {
    for (const std::string& key : keys) require_key(key);
}

inline void require_value_size(std::string_view key, std::string_view value) {
    if (value.size() <= max_value_bytes) return;
    throw Error(errc::invalid_argument, Stage::store,
                format("a store's value has at most {} bytes, that of key {} has {}\n  do: store it in parts",
                       {max_value_bytes, printable(key), value.size()}));
}

inline void require_value(std::string_view key, std::string_view value) {
    if (value.empty())
        throw Error(errc::invalid_argument, Stage::store,
                    format("the value of key {} is empty; a store cannot tell an empty value from an absent one",
                           {printable(key)}));
    require_value_size(key, value);
}

inline void require_pairs(std::span<const std::string> keys, std::span<const std::string> values) {
    if (keys.size() != values.size())
        throw Error(errc::invalid_argument, Stage::store,
                    format("multi_set got {} keys, but {} values", {keys.size(), values.size()}));
    for (std::size_t i = 0; i < keys.size(); ++i) {
        require_key(keys[i]);
        require_value(keys[i], values[i]);
    }
}

} // namespace detail
} // namespace muster::inline v0_1
