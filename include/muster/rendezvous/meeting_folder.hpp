// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/rendezvous/process.hpp>
#include <muster/roll_call/fields.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/file.hpp>
#include <muster/store/file_io.hpp>
#include <muster/store/file_name.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace muster::inline v0_1::detail {

/// The folder in which the ranks of one job meet, and who is there.
///
/// Every process that is there keeps a file in it (Presence). The folder goes when nobody is there any more: as the
/// last one leaves, or as the first one of a later run comes and finds only what a crashed one left. Who removes it
/// first sets a mark and then looks once more who is there; who comes first makes its presence file and then looks for
/// the mark. So one of the two sees the other, and nobody's folder goes away under him.
class MeetingFolder {
public:
    MeetingFolder(std::filesystem::path parent, std::string_view job)
        : parent_(std::move(parent)),
          path_(parent_ / ("muster-" + file_name(job))) {}

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

    /// This process's file in the folder, which disappears with this object.
    class Presence {
    public:
        Presence(Fd folder, std::string path, std::string name)
            : name_(std::move(name)),
              folder_(std::move(folder)),
              path_(std::move(path)),
              file_(folder_, path_, name_, identity()) {}

        [[nodiscard]] const std::string& name() const noexcept { return name_; }

    private:
        std::string name_;
        Fd folder_;
        std::string path_;
        FreshFile file_;
    };

    struct Entered {
        FileStore store;
        std::shared_ptr<Presence> presence;
    };

    /// Makes the folder where there is none, and takes part.
    /// Blocks: a moment, when others leave it just now; at most to the deadline.
    /// Throws: Error(errc::duplicate_rank) when another process of this host is there as the same rank.
    [[nodiscard]] Entered enter(int rank, Deadline deadline) {
        using namespace std::chrono_literals;
        if (::mkdir(parent_.c_str(), 0777) != 0 && errno != EEXIST)
            file_trouble("make the folder", parent_.string(), errno);
        remove_old();
        Deadline patience = Deadline::after(2s); // how long a mark is respected
        for (;;) {
            auto store = open_store();
            auto presence = here(store, rank);
            if (presence && !marked() && store.in_place()) {
                look_around(rank, presence->name());
                return {std::move(store), std::move(presence)};
            }
            if (patience.expired()) {
                // Whoever set it was killed in the middle, or on another host stopped for long.
                (void)::unlink((path_ / mark_name).c_str());
                patience = Deadline::after(2s);
            }
            if (deadline.expired())
                throw Error(errc::timeout, Stage::rendezvous,
                            format("the folder {} was removed and made anew all the time until the deadline\n  do: "
                                   "see which other job uses it",
                                   {path_.string()}));
            presence.reset();
            std::this_thread::sleep_for(10ms);
        }
    }

    /// Removes the folder unless somebody is there.
    void remove_if_left() const noexcept {
        try {
            if (anybody()) return;
            const Fd mark(::open((path_ / mark_name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
            if (!mark) return; // another one does it, or the folder is gone
            if (anybody()) {
                (void)::unlink((path_ / mark_name).c_str());
                return;
            }
            // Out of the way at once: deleting takes its time.
            const auto gone = parent_ / format("{}{}", {gone_prefix, draw_nonce()});
            std::error_code failed;
            std::filesystem::rename(path_, gone, failed);
            if (!failed) remove_all(gone);
        } catch (const std::exception&) {
            return; // leaving cannot fail: what stays is another run's to remove
        }
    }

private:
    static constexpr std::string_view presence_prefix = ".here-";
    static constexpr std::string_view mark_name = ".closing";
    static constexpr std::string_view gone_prefix = ".muster-gone-";

    /// A process of another host whose file is as old as this is not there any more: no job meets for so long.
    static constexpr std::chrono::hours longest_meeting{24};

    [[nodiscard]] static std::string identity() {
        Fields fields;
        this_process().put(fields);
        return fields.encode();
    }

    /// Again when the folder may have gone away just after it was made.
    [[nodiscard]] FileStore open_store() const {
        for (int attempt = 1; attempt < 5; ++attempt) {
            try {
                return FileStore(path_);
            } catch (const Error&) {
                std::this_thread::sleep_for(std::chrono::milliseconds(10));
            }
        }
        return FileStore(path_);
    }

    /// Nothing when the folder went away meanwhile.
    [[nodiscard]] std::shared_ptr<Presence> here(const FileStore& store, int rank) const {
        int error = 0;
        Fd folder = open_folder(AT_FDCWD, store.path().string(), error);
        if (!folder) return nullptr;
        try {
            return std::make_shared<Presence>(std::move(folder), path_.string(),
                                              format("{}{}-{}-{}", {presence_of(rank), file_name(host_name()),
                                                                    ::getpid(), draw_nonce().substr(0, 8)}));
        } catch (const Error&) {
            if (!store.in_place()) return nullptr;
            throw;
        }
    }

    [[nodiscard]] bool marked() const noexcept { return ::access((path_ / mark_name).c_str(), F_OK) == 0; }

    /// Calls visit(name, life) for each presence file.
    template <class Visit>
    void presences(const Visit& visit) const {
        int error = 0;
        const Fd folder = open_folder(AT_FDCWD, path_.string(), error);
        if (!folder) return;
        const ProcessIdentity self = this_process();
        for (const std::string& name : names_in(folder, path_.string(), true)) {
            if (!name.starts_with(presence_prefix)) continue;
            const Fd file(::openat(folder.get(), name.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
            if (file) visit(name, folder, life_of_file(file, self));
        }
    }

    [[nodiscard]] Life life_of_file(const Fd& file, const ProcessIdentity& self) const {
        constexpr std::size_t most = 4096;
        Life life = Life::unknown;
        try {
            life = life_of(ProcessIdentity::take(Fields::decode(read_some(file, path_.string(), 0, most))), self);
        } catch (const Error&) {
            life = Life::unknown; // being written just now, or by a program that was killed then
        }
        if (life != Life::unknown) return life;
        const auto written = std::chrono::system_clock::from_time_t(status_of(file, path_.string()).st_mtim.tv_sec);
        return std::chrono::system_clock::now() - written > longest_meeting ? Life::dead : Life::unknown;
    }

    [[nodiscard]] bool anybody() const {
        bool found = false;
        presences([&](const std::string&, const Fd&, Life life) { found = found || life != Life::dead; });
        return found;
    }

    /// Forgets those that are dead. Refuses to be the second of one rank: where both are told apart only by their
    /// nonces, two jobs of one name could exchange ranks without a word.
    void look_around(int rank, const std::string& own) const {
        presences([&](const std::string& name, const Fd& folder, Life life) {
            if (life == Life::dead) (void)::unlinkat(folder.get(), name.c_str(), 0);
            if (life != Life::alive || name == own || !name.starts_with(presence_of(rank))) return;
            throw Error(errc::duplicate_rank, Stage::rendezvous,
                        format("rank {} is already at the meeting in {}\n  seen: its file {}, whose process lives "
                               "on this host\n  do: give every process a RANK of its own, and jobs that run at "
                               "the same time names of their own (FileRendezvous::job)",
                               {rank, path_.string(), name}),
                        {rank, {rank}, false});
        });
    }

    [[nodiscard]] static std::string presence_of(int rank) { return format("{}{}-", {presence_prefix, rank}); }

    /// With others who do the same: a file that went meanwhile ends std::filesystem::remove_all. What cannot be removed
    /// does no harm.
    static void remove_all(const std::filesystem::path& gone) {
        std::error_code ignored;
        for (int attempt = 0; attempt < 100 && std::filesystem::exists(gone, ignored); ++attempt)
            std::filesystem::remove_all(gone, ignored);
    }

    /// What an earlier run left: its folder when all that were there are dead, and folders half removed.
    void remove_old() const noexcept {
        try {
            int error = 0;
            const Fd parent = open_folder(AT_FDCWD, parent_.string(), error);
            if (!parent) return;
            for (const std::string& name : names_in(parent, parent_.string(), true)) {
                if (name.starts_with(gone_prefix)) remove_all(parent_ / name);
                if (parent_ / name == path_) remove_if_left();
            }
        } catch (const std::exception&) {
            return; // it does no harm
        }
    }

    std::filesystem::path parent_;
    std::filesystem::path path_;
};

} // namespace muster::inline v0_1::detail
