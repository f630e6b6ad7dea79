// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/rendezvous/given.hpp>
#include <muster/rendezvous/meeting_folder.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/memory.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace muster::inline v0_1 {

/// Meets in a folder that all ranks see: no address, no port. On one host any folder, between hosts one of NFS, Lustre
/// and the like (see FileStore). The ranks of a job meet in a folder of their own in `path`, named by the job: jobs of
/// different names do not notice each other, and two that use one name at the same time are told so by the roll call
/// or stay apart.
///
/// What a crashed run left there does no harm. The folder goes when the last rank leaves; a run that was killed leaves
/// it to the next one.
struct FileRendezvous {
    std::filesystem::path path;                       ///< made when it does not exist; the folder above it must
    std::optional<int> rank = {};                     ///< the launcher's when not given
    std::optional<int> world_size = {};               ///< the launcher's when not given
    std::optional<std::string> job = {};              ///< the job's name; the launcher's when not given
    Environment environment = Environment::current(); ///< whose variables count

    /// Rank and world size that are not given come from the launcher, which need not say where to meet.
    /// Throws: Error(errc::invalid_launch or errc::invalid_argument).
    [[nodiscard]] Launch launch() const {
        Launch launch = detail::launch_of("FileRendezvous", {rank, world_size}, environment);
        // Nobody meets at the launcher's address; it may still show a backend the way to rank 0's network.
        launch.endpoint_is_served = false;
        launch.from.endpoint.clear();
        if (job) launch.job = *job;
        return launch;
    }

    /// A world of 1 writes nothing.
    /// Blocks: a moment, when an earlier run leaves the folder just now; at most to the deadline.
    /// Throws: what FileStore throws, at once when the folder cannot be used.
    [[nodiscard]] Meeting connect(const Launch& launch, Deadline deadline) const {
        if (launch.world_size == 1) return Meeting(AnyStore(MemoryStore()));
        detail::MeetingFolder folder(std::filesystem::absolute(path), launch.job);
        auto entered = folder.enter(launch.rank, deadline);
        const auto leave = [folder, presence = std::move(entered.presence)](Deadline) mutable {
            presence.reset();
            folder.remove_if_left();
        };
        return Meeting(AnyStore(std::move(entered.store)), leave);
    }
};

static_assert(Rendezvous<FileRendezvous>);

} // namespace muster::inline v0_1
