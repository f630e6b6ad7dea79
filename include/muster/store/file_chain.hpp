// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/file_entry.hpp>
#include <muster/store/file_io.hpp>
#include <muster/store/printable.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// What a process remembers of a key between two looks at it.
struct FileMemory {
    std::uint64_t number = 0;           ///< the newest that it saw
    std::uint64_t value_version = 0;    ///< the version whose value this is, 0 for none
    std::optional<std::string> value{}; ///< kept of values that grow by suffixes only
};

/// One key of a FileStore: a folder with a file for each change, named 1, 2, 3, ... Who changes the value links a
/// complete file to the number after the newest, which only one can; who finds it taken looks again. So nobody ever
/// holds a lock, and who is killed at any place leaves at most a file that nobody reads.
///
/// A number is never given twice: a change is only removed (tidy) when a later one makes it worthless and it is
/// older than `keep`, and who was stopped for half as long between looking and linking does not believe its link.
class FileChain {
public:
    static constexpr std::chrono::minutes keep{10};

    /// Every so many changes one holds the whole value, so that a reader never reads more than these.
    static constexpr std::uint64_t whole_each = 256;

    FileChain(Fd folder, std::string path, std::string_view key, FileMemory& memory)
        : folder_(std::move(folder)),
          path_(std::move(path)),
          key_(key),
          memory_(memory) {}

    [[nodiscard]] const Fd& folder() const noexcept { return folder_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    /// The newest change; nothing when there has been none.
    struct Newest {
        std::uint64_t number = 0;
        FileEntry::Kind kind = FileEntry::Kind::removed;
        std::uint64_t total = 0;

        [[nodiscard]] bool present() const noexcept { return kind != FileEntry::Kind::removed; }
    };

    [[nodiscard]] Newest newest() {
        for (;;) {
            const std::uint64_t number = newest_version();
            if (number == 0) return {};
            const Fd fd = open_version(number);
            if (fd) {
                const FileEntryHead head = head_of(fd, number, read_some(fd, file(number), 0, head_bytes));
                return {number, head.kind, head.total};
            }
            memory_ = {}; // tidied away since this process saw it
        }
    }

    /// The value as the newest change left it; nothing when there is none.
    [[nodiscard]] std::optional<std::string> value(std::uint64_t newest) {
        std::vector<std::string> suffixes;
        std::optional<std::string> value;
        std::uint64_t number = newest;
        for (; number > 0; --number) {
            if (number == memory_.value_version) {
                value = memory_.value;
                break;
            }
            FileEntry entry = read(number);
            if (entry.kind == FileEntry::Kind::value) value = std::move(entry.bytes);
            if (entry.kind != FileEntry::Kind::suffix) break;
            suffixes.push_back(std::move(entry.bytes));
        }
        if (suffixes.empty()) {
            if (number != memory_.value_version) forget_value();
            return value;
        }
        if (!value) value.emplace();
        for (; !suffixes.empty(); suffixes.pop_back()) *value += suffixes.back();
        memory_.value_version = newest;
        memory_.value = value;
        return value;
    }

    /// Makes `change` the version after `after`. False when another change was quicker.
    [[nodiscard]] bool link(const FreshFile& change, std::uint64_t after) {
        const bool linked = change.link(std::to_string(after + 1));
        const auto stopped = Clock::now() - looked_;
        if (linked && stopped > keep / 2)
            throw Error(errc::timeout, Stage::store,
                        format("this process was stopped for {} s in the middle of a change of key {} in {}: "
                               "whether it counts is not known\n  do: begin anew",
                               {std::chrono::ceil<std::chrono::seconds>(stopped).count(), printable(key_), path_}));
        if (linked) memory_.number = after + 1;
        return linked;
    }

    /// Removes what the whole value in `whole` has made worthless, and what killed writers left, both once older.
    void tidy(std::uint64_t whole, std::chrono::nanoseconds age = keep) const noexcept {
        try {
            const auto now = changed(std::to_string(whole));
            std::vector<std::uint64_t> old;
            for (const std::string& name : names_in(folder_, path_, true)) {
                const auto number = version_number(name);
                if (number ? *number >= whole : !name.starts_with(fresh_prefix)) continue;
                const auto then = changed(name);
                if (!now || !then || *now - *then < age) continue;
                if (number)
                    old.push_back(*number);
                else
                    (void)::unlinkat(folder_.get(), name.c_str(), 0);
            }
            std::sort(old.begin(), old.end());
            for (const std::uint64_t each : old) (void)::unlinkat(folder_.get(), std::to_string(each).c_str(), 0);
        } catch (const std::exception&) {
            return; // another time
        }
    }

    /// How the names of files begin that are not complete yet.
    static constexpr std::string_view fresh_prefix = ".new-";

private:
    using Clock = std::chrono::steady_clock;
    static constexpr std::size_t head_bytes = FileEntry::max_line_bytes;

    [[nodiscard]] static std::optional<std::uint64_t> version_number(std::string_view name) {
        std::uint64_t number = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
        if (error != std::errc() || end != name.data() + name.size() || name.front() == '0') return std::nullopt;
        return number;
    }

    [[nodiscard]] std::string file(std::uint64_t number) const { return format("{}/{}", {path_, number}); }

    [[nodiscard]] bool exists(std::uint64_t number) const {
        if (::faccessat(folder_.get(), std::to_string(number).c_str(), F_OK, 0) == 0) return true;
        if (errno != ENOENT) file_trouble("look at", file(number), errno);
        return false;
    }

    [[nodiscard]] std::uint64_t newest_version() {
        looked_ = Clock::now();
        std::uint64_t number = memory_.number;
        if (number == 0 || exists(number + 1)) {
            for (const std::string& name : names_in(folder_, path_))
                number = std::max(number, version_number(name).value_or(0));
            // Changes that came while the folder was listed need not be in the list.
            while (number > 0 && exists(number + 1)) ++number;
        }
        return memory_.number = number;
    }

    [[nodiscard]] Fd open_version(std::uint64_t number) const {
        // Not to wait where somebody put a pipe.
        Fd fd(::openat(folder_.get(), std::to_string(number).c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
        if (!fd && errno != ENOENT) file_trouble("read", file(number), errno);
        if (fd && !S_ISREG(status_of(fd, file(number)).st_mode)) damaged(number, "is not a file");
        return fd;
    }

    [[noreturn]] void damaged(std::uint64_t number, const std::string& what) const {
        throw Error(errc::protocol, Stage::store,
                    format("{} {}\n  do: give the store a folder to itself; remove this one when no job uses it",
                           {file(number), what}));
    }

    [[nodiscard]] FileEntryHead head_of(const Fd& fd, std::uint64_t number, std::string_view bytes) const {
        const auto size = static_cast<std::uint64_t>(status_of(fd, file(number)).st_size);
        if (size == 0) damaged(number, "is empty: it was cut off when a host or a file system failed");
        const auto head = FileEntryHead::parse(bytes);
        if (!head)
            damaged(number,
                    format("was not written by this version of muster: it begins with {}", {printable(bytes, 24)}));
        if (size != head->file_size())
            damaged(number, format("{}: it has {} of {} bytes",
                                   {size < head->file_size() ? "is cut off" : "is too long", size, head->file_size()}));
        return *head;
    }

    [[nodiscard]] FileEntry read(std::uint64_t number) const {
        const Fd fd = open_version(number);
        if (!fd) file_trouble("read", file(number), ENOENT);
        const auto size = static_cast<std::size_t>(status_of(fd, file(number)).st_size);
        const std::string bytes = read_some(fd, file(number), 0, std::min(size, FileEntry::max_bytes));
        const FileEntryHead head = head_of(fd, number, bytes);
        if (bytes.size() != head.file_size())
            damaged(number, format("is cut off: it has {} of {} bytes", {bytes.size(), head.file_size()}));
        FileEntry entry;
        entry.kind = head.kind;
        entry.key = bytes.substr(head.line_size, head.key_size);
        entry.bytes = bytes.substr(head.line_size + head.key_size + 1);
        entry.total = head.total;
        if (fnv1a(entry.bytes, fnv1a(entry.key)) != head.checksum)
            damaged(number, "is damaged: its checksum does not fit");
        if (entry.key != key_)
            damaged(number, format("is of key {}, not of {}: their file names are alike",
                                   {printable(entry.key), printable(key_)}));
        return entry;
    }

    void forget_value() noexcept {
        memory_.value_version = 0;
        memory_.value.reset();
    }

    /// When the name of a file was last linked or its content written, by the clock of the file system.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> changed(const std::string& name) const noexcept {
        struct stat status {};
        if (::fstatat(folder_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
        return std::chrono::seconds(status.st_ctim.tv_sec) + std::chrono::nanoseconds(status.st_ctim.tv_nsec);
    }

    Fd folder_;
    std::string path_;
    std::string key_;
    FileMemory& memory_;
    Clock::time_point looked_ = Clock::now();
};

} // namespace muster::inline v0_1::detail
