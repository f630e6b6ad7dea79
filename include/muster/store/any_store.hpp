// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/concept.hpp>
#include <muster/store/exchange.hpp>

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// A Store whose type is forgotten, so that code which works on any store is compiled once. Owns the store; move-only.
/// Throws: what the store throws; Error with errc::closed when it owns none.
class AnyStore {
public:
    /// Owns no store, as after a move.
    AnyStore() noexcept = default;

    /// Owns `store`.
    template <class S>
    requires(!std::same_as<S, AnyStore> && detail::HasStoreOperations<S>) AnyStore(S store)
        : store_(std::make_unique<Model<S>>(std::move(store))) {}

    AnyStore(AnyStore&&) noexcept = default;
    AnyStore& operator=(AnyStore&&) noexcept = default;

    void set(std::string_view key, std::string_view value, Deadline deadline) { self().set(key, value, deadline); }
    [[nodiscard]] std::string get(std::string_view key, Deadline deadline) { return self().get(key, deadline); }
    [[nodiscard]] bool wait(std::span<const std::string> keys, Deadline deadline) {
        return self().wait(keys, deadline);
    }
    [[nodiscard]] bool check(std::span<const std::string> keys, Deadline deadline) {
        return self().check(keys, deadline);
    }
    std::int64_t add(std::string_view key, std::int64_t n, Deadline deadline) { return self().add(key, n, deadline); }
    std::string compare_set(std::string_view key, std::string_view expected, std::string_view want, Deadline deadline) {
        return self().compare_set(key, expected, want, deadline);
    }
    void append(std::string_view key, std::string_view value, Deadline deadline) {
        self().append(key, value, deadline);
    }
    [[nodiscard]] std::vector<std::string> multi_get(std::span<const std::string> keys, Deadline deadline) {
        return self().multi_get(keys, deadline);
    }
    void multi_set(std::span<const std::string> keys, std::span<const std::string> values, Deadline deadline) {
        self().multi_set(keys, values, deadline);
    }
    bool remove(std::string_view key, Deadline deadline) { return self().remove(key, deadline); }
    [[nodiscard]] std::int64_t num_keys(Deadline deadline) { return self().num_keys(deadline); }

    /// For the roll call: tells the notes, then waits for `key`, with as few messages as the store can. Its value;
    /// nothing at the deadline.
    [[nodiscard]] std::optional<std::string> exchange(const detail::Notes& notes, const std::string& key,
                                                      Deadline deadline) {
        return self().exchange(notes, key, deadline);
    }

private:
    using Keys = std::span<const std::string>;

    struct Interface {
        Interface() = default;
        Interface(const Interface&) = delete;
        Interface& operator=(const Interface&) = delete;
        virtual ~Interface() = default;
        virtual void set(std::string_view key, std::string_view value, Deadline deadline) = 0;
        virtual std::string get(std::string_view key, Deadline deadline) = 0;
        virtual bool wait(Keys keys, Deadline deadline) = 0;
        virtual bool check(Keys keys, Deadline deadline) = 0;
        virtual std::int64_t add(std::string_view key, std::int64_t n, Deadline deadline) = 0;
        virtual std::string compare_set(std::string_view key, std::string_view expected, std::string_view want,
                                        Deadline deadline) = 0;
        virtual void append(std::string_view key, std::string_view value, Deadline deadline) = 0;
        virtual std::vector<std::string> multi_get(Keys keys, Deadline deadline) = 0;
        virtual void multi_set(Keys keys, Keys values, Deadline deadline) = 0;
        virtual bool remove(std::string_view key, Deadline deadline) = 0;
        virtual std::int64_t num_keys(Deadline deadline) = 0;
        virtual std::optional<std::string> exchange(const detail::Notes& notes, const std::string& key,
                                                    Deadline deadline) = 0;
    };

    template <class S>
    struct Model final : Interface {
        explicit Model(S store) : store_(std::move(store)) {}

        void set(std::string_view key, std::string_view value, Deadline deadline) override {
            store_.set(key, value, deadline);
        }
        std::string get(std::string_view key, Deadline deadline) override { return store_.get(key, deadline); }
        bool wait(Keys keys, Deadline deadline) override { return store_.wait(keys, deadline); }
        bool check(Keys keys, Deadline deadline) override { return store_.check(keys, deadline); }
        std::int64_t add(std::string_view key, std::int64_t n, Deadline deadline) override {
            return store_.add(key, n, deadline);
        }
        std::string compare_set(std::string_view key, std::string_view expected, std::string_view want,
                                Deadline deadline) override {
            return store_.compare_set(key, expected, want, deadline);
        }
        void append(std::string_view key, std::string_view value, Deadline deadline) override {
            store_.append(key, value, deadline);
        }
        std::vector<std::string> multi_get(Keys keys, Deadline deadline) override {
            return store_.multi_get(keys, deadline);
        }
        void multi_set(Keys keys, Keys values, Deadline deadline) override { store_.multi_set(keys, values, deadline); }
        bool remove(std::string_view key, Deadline deadline) override { return store_.remove(key, deadline); }
        std::int64_t num_keys(Deadline deadline) override { return store_.num_keys(deadline); }
        std::optional<std::string> exchange(const detail::Notes& notes, const std::string& key,
                                            Deadline deadline) override {
            return detail::exchange(store_, notes, key, deadline);
        }

        S store_;
    };

    Interface& self() {
        if (!store_) throw Error(errc::closed, Stage::store, "this store was closed or moved from");
        return *store_;
    }

    std::unique_ptr<Interface> store_;
};

static_assert(Store<AnyStore>);

} // namespace muster::inline v0_1
