// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/store/any_store.hpp>
#include <muster/store/memory.hpp>

#include <memory>
#include <mutex>
#include <utility>

namespace muster::inline v0_1 {

/// The ranks of a world as threads of one process: for tests, and for programs that drive all devices of a host.
///
///     LocalRendezvous local(4);
///     // in the thread of rank r, for each r of 0 to 3:
///     DeviceMesh<2, 2, 1> mesh(local.rank(r));
///
/// A handle: copies and the ranks share one meeting place, and outlive each other. It serves one world after the
/// other.
class LocalRendezvous {
public:
    /// `environment` is where TP_SIZE and the like are read.
    /// Throws: Error(errc::invalid_argument) when the world is not of at least 1.
    explicit LocalRendezvous(int world_size, Environment environment = Environment::current())
        : place_(std::make_shared<Place>(world_size, std::move(environment))) {
        if (world_size < 1)
            throw Error(errc::invalid_argument, Stage::launch,
                        detail::format("a world of {} ranks cannot meet\n  wanted: at least 1", {world_size}));
    }

    class Rank;

    /// The policy for the thread of one rank.
    /// Throws: Error(errc::invalid_argument) when it is not a rank of the world.
    [[nodiscard]] Rank rank(int rank) const;

    /// How many ranks meet here.
    [[nodiscard]] int world_size() const noexcept { return place_->world_size; }

private:
    struct Place {
        Place(int size, Environment variables) : world_size(size), environment(std::move(variables)) {}

        const int world_size;
        const Environment environment;
        std::mutex mutex;
        MemoryStore store; ///< another one when all have left
        int present = 0;
    };

    std::shared_ptr<Place> place_;
};

/// One rank of a LocalRendezvous: models Rendezvous.
class LocalRendezvous::Rank {
public:
    [[nodiscard]] Launch launch() const {
        Launch launch;
        launch.rank = rank_;
        launch.world_size = place_->world_size;
        launch.local_rank = rank_;
        launch.local_size = place_->world_size;
        launch.launcher = "LocalRendezvous";
        launch.from.rank = launch.from.world_size = launch.from.local_rank = launch.from.local_size = launch.launcher;
        launch.environment = place_->environment;
        return launch;
    }

    [[nodiscard]] Meeting connect(const Launch&, Deadline) const {
        const std::lock_guard lock(place_->mutex);
        ++place_->present;
        const auto leave = [place = place_](Deadline) {
            const std::lock_guard last(place->mutex);
            if (--place->present == 0) place->store = MemoryStore();
        };
        return Meeting(AnyStore(MemoryStore(place_->store)), leave);
    }

private:
    friend class LocalRendezvous;
    Rank(std::shared_ptr<Place> place, int rank) : place_(std::move(place)), rank_(rank) {}

    std::shared_ptr<Place> place_;
    int rank_;
};

inline LocalRendezvous::Rank LocalRendezvous::rank(int rank) const {
    if (rank < 0 || rank >= world_size())
        throw Error(errc::invalid_argument, Stage::launch,
                    detail::format("rank {} is not a rank of a world of {}\n  wanted: 0 <= rank < world size",
                                   {rank, world_size()}));
    return {place_, rank};
}

static_assert(Rendezvous<LocalRendezvous::Rank>);

} // namespace muster::inline v0_1
