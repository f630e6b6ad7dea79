// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1 {

namespace detail {

/// The operations of a Store, without asking whether it can be moved: for constructors on which that may depend.
template <class S>
concept HasStoreOperations = requires(S& store, std::string_view key, std::string_view value,
                                      std::span<const std::string> keys, std::int64_t n, Deadline deadline) {
    { store.set(key, value, deadline) } -> std::same_as<void>;
    { store.get(key, deadline) } -> std::same_as<std::string>;
    { store.wait(keys, deadline) } -> std::same_as<bool>;
    { store.check(keys, deadline) } -> std::same_as<bool>;
    { store.add(key, n, deadline) } -> std::same_as<std::int64_t>;
    { store.compare_set(key, value, value, deadline) } -> std::same_as<std::string>;
    { store.append(key, value, deadline) } -> std::same_as<void>;
    { store.multi_get(keys, deadline) } -> std::same_as<std::vector<std::string>>;
    { store.multi_set(keys, keys, deadline) } -> std::same_as<void>;
    { store.remove(key, deadline) } -> std::same_as<bool>;
    { store.num_keys(deadline) } -> std::same_as<std::int64_t>;
};

} // namespace detail

/// A key-value store that the ranks of a job share while they meet. Keys are text, values are bytes.
///
/// Satisfied by a movable type with these operations. Every one takes the deadline by which it must have ended; past
/// it the operation throws Error with errc::timeout, except `wait`, which returns false. After a timeout for want of
/// keys the store can be used again; after one because the other side does not answer it may be dead. One thread uses
/// a store object at a time.
///
///   set(key, value)                   store `value`, replacing what was there
///   get(key)                          the value, as soon as the key exists
///   wait(keys)                        true as soon as all keys exist; false at the deadline
///   check(keys)                       whether all keys exist now
///   add(key, n)                       add to a decimal counter (absent: 0); the new value
///   compare_set(key, expected, want)  store `want` if the value equals `expected`, or if the key is absent and
///                                     `expected` is empty. The value stored afterwards; `expected` if the key is
///                                     absent and stays so
///   append(key, value)                append to the value (absent: empty)
///   multi_get(keys)                   the values of keys that all exist; waits for them as `get` does
///   multi_set(keys, values)           `set` for each pair
///   remove(key)                       whether the key existed
///   num_keys()                        how many keys there are
///
/// Values must not be empty: servers that speak this protocol cannot tell empty from absent.
template <class S>
concept Store = std::movable<S> && detail::HasStoreOperations<S>;

} // namespace muster::inline v0_1
