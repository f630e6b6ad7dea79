// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/store/limits.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// One who waits until keys of a KeyTable exist.
class Waiter {
public:
    Waiter() = default;
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    /// Registered, and not handed out by KeyTable::take_ready yet.
    [[nodiscard]] bool waiting() const noexcept { return state_ != State::idle; }

    /// All keys have come to exist.
    [[nodiscard]] bool ready() const noexcept { return state_ == State::ready; }

protected:
    ~Waiter() = default;

private:
    friend class KeyTable;
    enum class State { idle, missing, ready };

    std::vector<std::string> keys_;
    std::size_t missing_ = 0;
    Waiter* next_ready_ = nullptr;
    State state_ = State::idle;
};

/// The keys of a store and those who wait for them: what every store of this library means by its operations. Knows
/// neither threads nor sockets. Creating a key costs time in the number of those who wait for that key, whatever else
/// they and others wait for.
class KeyTable {
public:
    void set(std::string_view key, std::string_view value) {
        if (const auto found = values_.find(key); found != values_.end()) {
            const std::size_t old = found->second.size();
            found->second.assign(value);
            bytes_ -= old;
        } else {
            values_.emplace(key, value);
            bytes_ += key.size() + entry_bytes;
            created(key);
        }
        bytes_ += value.size();
    }

    /// The value, or nullptr. Valid until the table changes.
    [[nodiscard]] const std::string* find(std::string_view key) const {
        const auto found = values_.find(key);
        return found == values_.end() ? nullptr : &found->second;
    }

    [[nodiscard]] bool contains_all(std::span<const std::string_view> keys) const {
        return std::all_of(keys.begin(), keys.end(), [this](std::string_view key) { return values_.contains(key); });
    }

    /// The new value; nothing when the old one is no decimal number or the sum does not fit.
    [[nodiscard]] std::optional<std::int64_t> add(std::string_view key, std::int64_t n) {
        std::int64_t value = 0;
        if (const std::string* old = find(key)) {
            const char* const end = old->data() + old->size();
            const auto [stop, error] = std::from_chars(old->data(), end, value);
            if (error != std::errc{} || stop != end) return std::nullopt;
        }
        using Limits = std::numeric_limits<std::int64_t>;
        if (n > 0 ? value > Limits::max() - n : value < Limits::min() - n) return std::nullopt;
        set(key, std::to_string(value + n));
        return value + n;
    }

    /// The value stored afterwards; `expected` if the key is absent and stays so. Valid until the table changes.
    [[nodiscard]] std::string_view compare_set(std::string_view key, std::string_view expected, std::string_view want) {
        const std::string* const old = find(key);
        if (old ? *old != expected : !expected.empty()) return old ? std::string_view(*old) : expected;
        set(key, want);
        return want;
    }

    /// False when the value would grow beyond max_grown_value_bytes; it stays as it was then.
    [[nodiscard]] bool append(std::string_view key, std::string_view value) {
        const auto found = values_.find(key);
        if (found == values_.end()) {
            set(key, value);
            return true;
        }
        if (value.size() > max_grown_value_bytes - std::min(max_grown_value_bytes, found->second.size())) return false;
        found->second.append(value);
        bytes_ += value.size();
        return true;
    }

    bool remove(std::string_view key) {
        const auto found = values_.find(key);
        if (found == values_.end()) return false;
        bytes_ -= found->first.size() + entry_bytes + found->second.size();
        values_.erase(found);
        return true;
    }

    [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }

    /// About how much memory the keys, the values and the waiters' lists take.
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    /// True when all keys exist. Otherwise registers `waiter`, which must not be waiting, must be cancelled before it
    /// ends, and comes out of take_ready once the keys that are missing now have been created.
    template <class Keys>
    [[nodiscard]] bool await(Waiter& waiter, const Keys& keys) {
        waiter.missing_ = 0;
        waiter.state_ = Waiter::State::missing;
        try {
            for (const auto& each : keys) {
                const std::string_view key = each;
                if (values_.contains(key)) continue;
                auto found = waiters_.find(key);
                if (found != waiters_.end() && found->second.contains(&waiter)) continue;
                waiter.keys_.emplace_back(key);
                bytes_ += wait_bytes(key);
                if (found == waiters_.end()) found = waiters_.try_emplace(std::string(key)).first;
                found->second.insert(&waiter);
                ++waiter.missing_;
            }
        } catch (...) {
            cancel(waiter);
            throw;
        }
        if (waiter.missing_ == 0) waiter.state_ = Waiter::State::idle;
        return waiter.missing_ == 0;
    }

    /// Forgets `waiter`, waiting or not.
    void cancel(Waiter& waiter) noexcept {
        if (waiter.state_ == Waiter::State::ready) {
            Waiter** link = &ready_;
            while (*link != &waiter) link = &(*link)->next_ready_;
            *link = waiter.next_ready_;
        } else if (waiter.state_ == Waiter::State::missing) {
            for (const std::string& key : waiter.keys_) {
                const auto found = waiters_.find(key);
                if (found == waiters_.end()) continue;
                found->second.erase(&waiter);
                if (found->second.empty()) waiters_.erase(found);
            }
            forget_keys(waiter);
        }
        waiter.state_ = Waiter::State::idle;
    }

    /// One whose keys have all come to exist, no longer waiting; nullptr when there is none.
    [[nodiscard]] Waiter* take_ready() noexcept {
        Waiter* const waiter = ready_;
        if (waiter == nullptr) return nullptr;
        ready_ = waiter->next_ready_;
        waiter->state_ = Waiter::State::idle;
        return waiter;
    }

private:
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
    };
    template <class Value>
    using TextMap = std::unordered_map<std::string, Value, TextHash, std::equal_to<>>;

    /// A guess at what the containers add to an entry.
    static constexpr std::size_t entry_bytes = 128;
    static constexpr std::size_t wait_bytes(std::string_view key) noexcept { return 2 * (key.size() + entry_bytes); }

    void created(std::string_view key) noexcept {
        const auto found = waiters_.find(key);
        if (found == waiters_.end()) return;
        for (Waiter* waiter : found->second) {
            if (--waiter->missing_ > 0) continue;
            waiter->state_ = Waiter::State::ready;
            waiter->next_ready_ = std::exchange(ready_, waiter);
            forget_keys(*waiter);
        }
        waiters_.erase(found);
    }

    void forget_keys(Waiter& waiter) noexcept {
        for (const std::string& key : waiter.keys_) bytes_ -= wait_bytes(key);
        waiter.keys_.clear();
    }

    TextMap<std::string> values_;
    TextMap<std::unordered_set<Waiter*>> waiters_; ///< by missing key
    Waiter* ready_ = nullptr;
    std::size_t bytes_ = 0;
};

} // namespace muster::inline v0_1::detail
