// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/store/concept.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// What a rank tells before it waits: what it appends, then what it sets.
struct Notes {
    std::vector<std::string> append_keys, append_values; ///< pairs, by index
    std::vector<std::string> set_keys, set_values;
    Deadline told_by = {}; ///< at least so long it may take to tell them, over a bad line

    void append(std::string key, std::string value) {
        append_keys.push_back(std::move(key));
        append_values.push_back(std::move(value));
    }
    void set(std::string key, std::string value) {
        set_keys.push_back(std::move(key));
        set_values.push_back(std::move(value));
    }

    [[nodiscard]] std::size_t bytes() const noexcept {
        std::size_t sum = 0;
        for (const auto* texts : {&append_keys, &append_values, &set_keys, &set_values})
            for (const std::string& text : *texts) sum += text.size();
        return sum;
    }
};

/// By when an exchange has done what does not wait for other ranks: later than its deadline, which may have passed.
[[nodiscard]] inline Deadline telling_deadline(const Notes& notes, Deadline deadline) {
    constexpr std::chrono::seconds more(1);
    return std::max({deadline.extended_by(more), Deadline::after(more), notes.told_by});
}

/// Tells the notes, in order, and waits for `key`: its value, or nothing when the deadline passes first. The notes are
/// told by then. A store that can do all of it in one message has a member of this name.
template <HasStoreOperations S>
[[nodiscard]] std::optional<std::string> exchange(S& store, const Notes& notes, const std::string& key,
                                                  Deadline deadline) {
    if constexpr (requires { store.exchange(notes, key, deadline); }) {
        return store.exchange(notes, key, deadline);
    } else {
        const Deadline late = telling_deadline(notes, deadline);
        for (std::size_t i = 0; i < notes.append_keys.size(); ++i)
            store.append(notes.append_keys[i], notes.append_values[i], late);
        if (!notes.set_keys.empty()) store.multi_set(notes.set_keys, notes.set_values, late);
        if (!store.wait(std::span(&key, 1), deadline)) return std::nullopt;
        return store.get(key, late);
    }
}

} // namespace muster::inline v0_1::detail
