// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/store/concept.hpp>
#include <muster/store/limits.hpp>
#include <muster/store/table.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// A store for the threads of one process. A handle: copies share one table, and each thread uses its own copy.
/// Only `get`, `wait` and `multi_get` block.
class MemoryStore {
public:
    MemoryStore() : shared_(std::make_shared<Shared>()) {}

    void set(std::string_view key, std::string_view value, Deadline deadline) {
        detail::require_key(key);
        detail::require_value(key, value);
        const Access access = enter(deadline);
        access->set(key, value);
    }

    [[nodiscard]] std::string get(std::string_view key, Deadline deadline) {
        const std::string one(key);
        return std::move(multi_get(std::span(&one, 1), deadline).front());
    }

    [[nodiscard]] bool wait(std::span<const std::string> keys, Deadline deadline) {
        detail::require_keys(keys);
        Access access(shared());
        return !deadline.expired() && await(access, keys, deadline);
    }

    [[nodiscard]] bool check(std::span<const std::string> keys, Deadline deadline) {
        detail::require_keys(keys);
        const Access access = enter(deadline);
        return access->contains_all(std::vector<std::string_view>(keys.begin(), keys.end()));
    }

    /// Throws: Error with errc::invalid_argument when the value is not a decimal number or the sum does not fit.
    std::int64_t add(std::string_view key, std::int64_t n, Deadline deadline) {
        detail::require_key(key);
        const Access access = enter(deadline);
        const std::optional<std::int64_t> total = access->add(key, n);
        if (!total)
            throw Error(
                errc::invalid_argument, Stage::store,
                detail::format("cannot add {} to key {}: its value is {}, which is no decimal number of 64 bits "
                               "or too near the end of their range",
                               {n, detail::printable(key), detail::printable(*access->find(key))}));
        return *total;
    }

    std::string compare_set(std::string_view key, std::string_view expected, std::string_view want, Deadline deadline) {
        detail::require_key(key);
        detail::require_value_size(key, expected);
        detail::require_value(key, want);
        const Access access = enter(deadline);
        return std::string(access->compare_set(key, expected, want));
    }

    /// Throws: Error with errc::invalid_argument when the value would grow beyond max_grown_value_bytes.
    void append(std::string_view key, std::string_view value, Deadline deadline) {
        detail::require_key(key);
        detail::require_value(key, value);
        const Access access = enter(deadline);
        if (!access->append(key, value))
            throw Error(errc::invalid_argument, Stage::store,
                        detail::format("cannot append to key {}: a store's value never has more than {} bytes",
                                       {detail::printable(key), max_grown_value_bytes}));
    }

    [[nodiscard]] std::vector<std::string> multi_get(std::span<const std::string> keys, Deadline deadline) {
        detail::require_keys(keys);
        Access access = enter(deadline);
        // Again when a key was removed between the wake-up and now.
        do {
            if (!await(access, keys, deadline))
                throw Error(errc::timeout, Stage::store,
                            detail::format("timed out waiting in the memory store for {}", {detail::printable(keys)}));
        } while (!access->contains_all(std::vector<std::string_view>(keys.begin(), keys.end())));
        std::vector<std::string> values;
        values.reserve(keys.size());
        for (const std::string& key : keys) values.push_back(*access->find(key));
        return values;
    }

    void multi_set(std::span<const std::string> keys, std::span<const std::string> values, Deadline deadline) {
        detail::require_pairs(keys, values);
        const Access access = enter(deadline);
        for (std::size_t i = 0; i < keys.size(); ++i) access->set(keys[i], values[i]);
    }

    bool remove(std::string_view key, Deadline deadline) {
        detail::require_key(key);
        const Access access = enter(deadline);
        return access->remove(key);
    }

    [[nodiscard]] std::int64_t num_keys(Deadline deadline) {
        const Access access = enter(deadline);
        return static_cast<std::int64_t>(access->size());
    }

private:
    struct Shared {
        std::mutex mutex;
        detail::KeyTable table;
    };

    struct Sleeper final : detail::Waiter {
        std::condition_variable woken;
    };

    /// The table under its lock; wakes those who are ready on the way out.
    class Access {
    public:
        explicit Access(Shared& shared) : table_(&shared.table), lock_(shared.mutex) {}
        Access(Access&&) noexcept = default;
        ~Access() {
            if (!lock_.owns_lock()) return;
            // Under the lock, for a sleeper that wakes by itself may end as soon as the lock is free.
            while (detail::Waiter* ready = table_->take_ready()) static_cast<Sleeper*>(ready)->woken.notify_one();
        }

        detail::KeyTable* operator->() const noexcept { return table_; }
        std::unique_lock<std::mutex>& lock() noexcept { return lock_; }

    private:
        detail::KeyTable* table_;
        std::unique_lock<std::mutex> lock_;
    };

    Shared& shared() const {
        if (!shared_) throw Error(errc::closed, Stage::store, "this memory store was moved from");
        return *shared_;
    }

    Access enter(Deadline deadline) const {
        Access access(shared());
        if (deadline.expired())
            throw Error(errc::timeout, Stage::store, "the deadline had passed before the memory store was asked");
        return access;
    }

    static bool await(Access& access, std::span<const std::string> keys, Deadline deadline) {
        Sleeper sleeper;
        if (access->await(sleeper, keys)) return true;
        sleeper.woken.wait_until(access.lock(), deadline.at(), [&] { return !sleeper.waiting(); });
        const bool came = !sleeper.waiting();
        access->cancel(sleeper);
        return came;
    }

    std::shared_ptr<Shared> shared_;
};

static_assert(Store<MemoryStore>);

} // namespace muster::inline v0_1
