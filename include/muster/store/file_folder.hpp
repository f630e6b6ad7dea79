// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/file_chain.hpp>
#include <muster/store/file_entry.hpp>
#include <muster/store/file_io.hpp>
#include <muster/store/file_name.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace muster::inline v0_1::detail {

/// The folder of a FileStore, with a folder for each key: found, made and told from another one that took its place.
class FileFolder {
public:
    explicit FileFolder(const std::filesystem::path& folder) : path_(std::filesystem::absolute(folder)) {
        if (::mkdir(path_.c_str(), 0777) != 0 && errno != EEXIST)
            file_trouble("make the folder", path_.string(), errno);
        int error = 0;
        folder_ = open_folder(AT_FDCWD, path_.string(), error);
        if (!folder_) file_trouble("open the folder", path_.string(), error);
        const std::string text = path_.string();
        const std::string probe = fresh_name();
        const FreshFile file(folder_, text, probe, FileEntry::magic);
        if (file.link(probe + ".link")) (void)::unlinkat(folder_.get(), (probe + ".link").c_str(), 0);
    }

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

    /// Whether the path still leads to the folder that it led to at first.
    [[nodiscard]] bool in_place() const {
        require_open();
        int error = 0;
        const Fd top = open_folder(AT_FDCWD, path_.string(), error);
        return top && is_first(top);
    }

    void require_open() const {
        if (!folder_) throw Error(errc::closed, Stage::store, "this file store was moved from");
    }

    [[nodiscard]] std::string in_folder(std::string_view name) const { return format("{}/{}", {path_.string(), name}); }

    /// The folder as it is now. Throws when it is another than at first: the keys would be gone without a word.
    [[nodiscard]] Fd open_top() const {
        require_open();
        int error = 0;
        Fd top = open_folder(AT_FDCWD, path_.string(), error);
        if (!top) file_trouble("open the folder", path_.string(), error);
        if (!is_first(top))
            throw Error(errc::connection, Stage::store,
                        format("the folder {} was removed and made anew while a store was in use there\n  do: see "
                               "whether another job uses the same folder",
                               {path_.string()}));
        return top;
    }

    /// The key's folder for a change: made when it does not exist.
    [[nodiscard]] FileChain change(std::string_view key) {
        const Fd top = open_top();
        const std::string name = file_name(key);
        int error = 0;
        Fd folder = open_folder(top.get(), name, error);
        if (!folder && error == ENOENT) {
            if (::mkdirat(top.get(), name.c_str(), 0777) != 0 && errno != EEXIST)
                file_trouble("make the folder", in_folder(name), errno);
            folder = open_folder(top.get(), name, error);
        }
        if (!folder) file_trouble("open the folder", in_folder(name), error);
        return {std::move(folder), in_folder(name), key, memory_of(key)};
    }

    /// The key's folder for a look; nothing when there is none.
    [[nodiscard]] std::optional<FileChain> look(const Fd& top, std::string_view key) {
        const std::string name = file_name(key);
        int error = 0;
        Fd folder = open_folder(top.get(), name, error);
        if (!folder && error == ENOENT) return std::nullopt;
        if (!folder) file_trouble("open the folder", in_folder(name), error);
        return FileChain(std::move(folder), in_folder(name), key, memory_of(key));
    }

    [[nodiscard]] FreshFile written(const FileChain& chain, const FileEntry& entry) {
        return {chain.folder(), chain.path(), fresh_name(), entry.encode()};
    }

private:
    /// A name that no other process and no other object uses.
    [[nodiscard]] std::string fresh_name() {
        return format("{}{}-{}-{}", {FileChain::fresh_prefix, writer_, ::getpid(), ++count_});
    }

    [[nodiscard]] bool is_first(const Fd& top) const {
        const struct stat now = status_of(top, path_.string());
        const struct stat first = status_of(folder_, path_.string());
        return now.st_dev == first.st_dev && now.st_ino == first.st_ino;
    }

    [[nodiscard]] FileMemory& memory_of(std::string_view key) { return memory_[std::string(key)]; }

    std::filesystem::path path_;
    Fd folder_; ///< held open: the folder's number is not given to another one meanwhile
    std::string writer_ = hex(std::random_device()(), 8) + hex(std::random_device()(), 8);
    std::uint64_t count_ = 0;
    std::unordered_map<std::string, FileMemory> memory_;
};

} // namespace muster::inline v0_1::detail
