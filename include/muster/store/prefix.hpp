// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/store/concept.hpp>
#include <muster/store/exchange.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// A view of a store in which every key begins with "prefix/", joined as c10d's PrefixStore joins. num_keys counts
/// the keys of the whole store.
template <Store S>
class PrefixStore {
public:
    /// The view of `store` below `prefix`.
    PrefixStore(S store, std::string prefix) : store_(std::move(store)), prefix_(std::move(prefix) + '/') {}

    void set(std::string_view key, std::string_view value, Deadline deadline) {
        store_.set(full(key), value, deadline);
    }
    [[nodiscard]] std::string get(std::string_view key, Deadline deadline) { return store_.get(full(key), deadline); }
    [[nodiscard]] bool wait(std::span<const std::string> keys, Deadline deadline) {
        return store_.wait(full(keys), deadline);
    }
    [[nodiscard]] bool check(std::span<const std::string> keys, Deadline deadline) {
        return store_.check(full(keys), deadline);
    }
    std::int64_t add(std::string_view key, std::int64_t n, Deadline deadline) {
        return store_.add(full(key), n, deadline);
    }
    std::string compare_set(std::string_view key, std::string_view expected, std::string_view want, Deadline deadline) {
        return store_.compare_set(full(key), expected, want, deadline);
    }
    void append(std::string_view key, std::string_view value, Deadline deadline) {
        store_.append(full(key), value, deadline);
    }
    [[nodiscard]] std::vector<std::string> multi_get(std::span<const std::string> keys, Deadline deadline) {
        return store_.multi_get(full(keys), deadline);
    }
    void multi_set(std::span<const std::string> keys, std::span<const std::string> values, Deadline deadline) {
        store_.multi_set(full(keys), values, deadline);
    }
    bool remove(std::string_view key, Deadline deadline) { return store_.remove(full(key), deadline); }
    [[nodiscard]] std::int64_t num_keys(Deadline deadline) { return store_.num_keys(deadline); }

    /// As AnyStore::exchange.
    [[nodiscard]] std::optional<std::string> exchange(detail::Notes notes, const std::string& key, Deadline deadline) {
        for (std::string& each : notes.append_keys) each.insert(0, prefix_);
        for (std::string& each : notes.set_keys) each.insert(0, prefix_);
        return detail::exchange(store_, notes, prefix_ + key, deadline);
    }

private:
    std::string full(std::string_view key) const { return prefix_ + std::string(key); }

    std::vector<std::string> full(std::span<const std::string> keys) const {
        std::vector<std::string> all;
        all.reserve(keys.size());
        for (const std::string& key : keys) all.push_back(full(std::string_view(key)));
        return all;
    }

    S store_;
    std::string prefix_;
};

} // namespace muster::inline v0_1
