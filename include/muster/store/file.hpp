// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/store/concept.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/file_chain.hpp>
#include <muster/store/file_entry.hpp>
#include <muster/store/file_folder.hpp>
#include <muster/store/file_io.hpp>
#include <muster/store/file_name.hpp>
#include <muster/store/limits.hpp>
#include <muster/store/printable.hpp>
#include <muster/store/table.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// A store in a folder that all ranks see: on one host any folder, between hosts one of NFS, Lustre and the like.
///
/// Every key is a folder with a readable name, every change of its value a file in it that was complete and synced
/// before it got its name by link(2), which only one process can (see detail::FileChain). There is no lock: a process
/// that is killed at any place holds nobody up, and every operation is atomic between processes and hosts. Needs
/// neither flock, which NFS and Lustre may lack, nor a notification of changes. What is in the folder besides is left
/// alone.
///
/// `get`, `wait` and `multi_get` look again after 1 ms at first and 50 ms at last. An operation ends later than its
/// deadline where the file system itself does not answer.
///
/// Throws: Error with errc::connection, the path and what the system says, where the folder cannot be read or written,
/// is full or is removed meanwhile; errc::protocol where a file in it is cut off, damaged or another program's.
class FileStore {
public:
    /// Makes the folder when it does not exist; the one above it must. Tries at once to write there.
    explicit FileStore(const std::filesystem::path& folder) : folder_(folder) {}

    /// Where it is, without relative parts.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return folder_.path(); }

    /// Whether the path still leads to the folder that it led to at first.
    [[nodiscard]] bool in_place() const { return folder_.in_place(); }

    void set(std::string_view key, std::string_view value, Deadline deadline) {
        detail::require_key(key);
        detail::require_value(key, value);
        require_time(deadline);
        detail::FileChain chain = folder_.change(key);
        const auto fresh = folder_.written(chain, {Kind::value, std::string(key), std::string(value), value.size()});
        const std::uint64_t number = place(chain, fresh, chain.newest().number, deadline);
        if (number % tidy_each == 0) chain.tidy(number);
    }

    [[nodiscard]] std::string get(std::string_view key, Deadline deadline) {
        const std::string one(key);
        return std::move(multi_get(std::span(&one, 1), deadline).front());
    }

    [[nodiscard]] bool wait(std::span<const std::string> keys, Deadline deadline) {
        detail::require_keys(keys);
        folder_.require_open();
        if (deadline.expired()) return false;
        std::unordered_set<std::string_view> missing(keys.begin(), keys.end());
        for (std::chrono::microseconds pause(1000);; pause = std::min(pause * 3 / 2, longest_pause)) {
            const std::size_t before = missing.size();
            drop_present(missing);
            if (missing.empty()) return true;
            if (deadline.expired()) return false;
            if (missing.size() < before) pause = std::max(pause / 4, shortest_pause);
            std::this_thread::sleep_until(std::min(deadline.at(), Deadline::Clock::now() + pause));
        }
    }

    [[nodiscard]] bool check(std::span<const std::string> keys, Deadline deadline) {
        detail::require_keys(keys);
        require_time(deadline);
        std::unordered_set<std::string_view> missing(keys.begin(), keys.end());
        drop_present(missing);
        return missing.empty();
    }

    /// Throws: Error with errc::invalid_argument when the value is not a decimal number or the sum does not fit.
    std::int64_t add(std::string_view key, std::int64_t n, Deadline deadline) {
        detail::require_key(key);
        std::int64_t total = 0;
        modify(key, deadline, [&](detail::KeyTable& table) {
            if (const auto result = table.add(key, n)) {
                total = *result;
                return;
            }
            throw Error(
                errc::invalid_argument, Stage::store,
                detail::format("cannot add {} to key {}: its value is {}, which is no decimal number of 64 bits "
                               "or too near the end of their range",
                               {n, detail::printable(key), detail::printable(*table.find(key))}));
        });
        return total;
    }

    std::string compare_set(std::string_view key, std::string_view expected, std::string_view want, Deadline deadline) {
        detail::require_key(key);
        detail::require_value_size(key, expected);
        detail::require_value(key, want);
        std::string now;
        modify(key, deadline, [&](detail::KeyTable& table) { now = table.compare_set(key, expected, want); });
        return now;
    }

    /// Throws: Error with errc::invalid_argument when the value would grow beyond max_grown_value_bytes. Of those that
    /// append at the same moment all may pass.
    void append(std::string_view key, std::string_view value, Deadline deadline) {
        detail::require_key(key);
        detail::require_value(key, value);
        require_time(deadline);
        detail::FileChain chain = folder_.change(key);
        for (std::uint64_t after = 0;;) {
            const auto newest = chain.newest();
            // What a file says of the total is its writer's word.
            if (newest.total > max_grown_value_bytes - value.size()) refuse_growth(key);
            const std::uint64_t total = newest.total + value.size();
            after = newest.number;
            if (is_whole(after + 1)) { // now and then the whole value, which takes its place or is written again
                std::string whole = chain.value(after).value_or("");
                if (value.size() > max_grown_value_bytes - std::min(max_grown_value_bytes, whole.size()))
                    refuse_growth(key);
                whole += value;
                const auto fresh = folder_.written(chain, {Kind::value, std::string(key), whole, whole.size()});
                if (!chain.link(fresh, after)) {
                    require_time(deadline);
                    continue;
                }
                return chain.tidy(after + 1);
            }
            const auto fresh = folder_.written(chain, {Kind::suffix, std::string(key), std::string(value), total});
            while (!is_whole(after + 1)) {
                if (chain.link(fresh, after)) return;
                after = make_way(chain, deadline);
            }
        }
    }

    [[nodiscard]] std::vector<std::string> multi_get(std::span<const std::string> keys, Deadline deadline) {
        detail::require_keys(keys);
        require_time(deadline);
        const auto start = Deadline::Clock::now();
        for (;;) {
            if (!wait(keys, deadline)) {
                throw Error(errc::timeout, Stage::store,
                            detail::format("timed out after {} waiting in the folder {} for {}",
                                           {detail::seconds_text(Deadline::Clock::now() - start), path().string(),
                                            detail::printable(keys)}));
            }
            std::vector<std::string> values;
            values.reserve(keys.size());
            const detail::Fd top = folder_.open_top();
            for (const std::string& key : keys) {
                auto value = value_of(top, key);
                if (!value) break; // removed since it was seen
                values.push_back(std::move(*value));
            }
            if (values.size() == keys.size()) return values;
        }
    }

    void multi_set(std::span<const std::string> keys, std::span<const std::string> values, Deadline deadline) {
        detail::require_pairs(keys, values);
        require_time(deadline);
        for (std::size_t i = 0; i < keys.size(); ++i) set(keys[i], values[i], deadline);
    }

    bool remove(std::string_view key, Deadline deadline) {
        detail::require_key(key);
        bool existed = false;
        modify(key, deadline, [&](detail::KeyTable& table) { existed = table.remove(key); });
        return existed;
    }

    [[nodiscard]] std::int64_t num_keys(Deadline deadline) {
        require_time(deadline);
        const detail::Fd top = folder_.open_top();
        std::int64_t count = 0;
        for (const std::string& name : detail::names_in(top, path().string())) {
            int error = 0;
            detail::Fd folder = detail::open_folder(top.get(), name, error);
            detail::FileMemory unknown;
            if (folder && detail::FileChain(std::move(folder), folder_.in_folder(name), {}, unknown).newest().present())
                ++count;
        }
        return count;
    }

private:
    using Kind = detail::FileEntry::Kind;

    static constexpr std::chrono::microseconds shortest_pause{1000};
    static constexpr std::chrono::microseconds longest_pause{50000};
    static constexpr std::uint64_t tidy_each = 32;

    /// From so many keys on a list of the folder costs less than a look at each.
    static constexpr std::size_t few_keys = 4;

    static constexpr bool is_whole(std::uint64_t number) noexcept {
        return number % detail::FileChain::whole_each == 0;
    }

    [[noreturn]] static void refuse_growth(std::string_view key) {
        throw Error(errc::invalid_argument, Stage::store,
                    detail::format("cannot append to key {}: a store's value never has more than {} bytes",
                                   {detail::printable(key), max_grown_value_bytes}));
    }

    void require_time(Deadline deadline) const {
        folder_.require_open();
        if (deadline.expired())
            throw Error(
                errc::timeout, Stage::store,
                detail::format("the deadline passed before the store in {} had done its work", {path().string()}));
    }

    /// After a change of another was quicker: the newest version, some time later when that happens often.
    std::uint64_t make_way(detail::FileChain& chain, Deadline deadline) {
        require_time(deadline);
        std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution<int>(0, 200)(random_)));
        return chain.newest().number;
    }

    /// Links the file behind the newest change, whichever that is; the version that it became.
    std::uint64_t place(detail::FileChain& chain, const detail::FreshFile& fresh, std::uint64_t after,
                        Deadline deadline) {
        while (!chain.link(fresh, after)) after = make_way(chain, deadline);
        return after + 1;
    }

    /// What `step` does to a table with this one key is done to the store, atomically.
    template <class Step>
    void modify(std::string_view key, Deadline deadline, const Step& step) {
        require_time(deadline);
        detail::FileChain chain = folder_.change(key);
        for (std::uint64_t after = chain.newest().number;; after = make_way(chain, deadline)) {
            const std::optional<std::string> before = chain.value(after);
            detail::KeyTable table;
            if (before) table.set(key, *before);
            step(table);
            const std::string* const now = table.find(key);
            if (now ? before == *now : !before) return;
            const Kind kind = now ? Kind::value : Kind::removed;
            const std::string bytes = now ? *now : std::string();
            const auto fresh = folder_.written(chain, {kind, std::string(key), bytes, bytes.size()});
            if (!chain.link(fresh, after)) continue;
            if ((after + 1) % tidy_each == 0) chain.tidy(after + 1);
            return;
        }
    }

    [[nodiscard]] std::optional<std::string> value_of(const detail::Fd& top, std::string_view key) {
        auto chain = folder_.look(top, key);
        if (!chain) return std::nullopt;
        const auto newest = chain->newest();
        return newest.present() ? chain->value(newest.number) : std::nullopt;
    }

    void drop_present(std::unordered_set<std::string_view>& missing) {
        const detail::Fd top = folder_.open_top();
        std::unordered_set<std::string> names;
        const bool many = missing.size() > few_keys;
        if (many)
            for (std::string& name : detail::names_in(top, path().string())) names.insert(std::move(name));
        std::erase_if(missing, [&](std::string_view key) {
            if (many && !names.contains(detail::file_name(key))) return false;
            auto chain = folder_.look(top, key);
            return chain && chain->newest().present();
        });
    }

    detail::FileFolder folder_;
    std::minstd_rand random_{std::random_device()()};
};

static_assert(Store<FileStore>);

} // namespace muster::inline v0_1
