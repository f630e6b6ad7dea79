// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/concept.hpp>
#include <muster/comm/options.hpp>
#include <muster/core/deadline.hpp>
#include <muster/launch/launch.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/store/any_store.hpp>

#include <concepts>
#include <map>
#include <string>
#include <string_view>

namespace muster::inline v0_1 {

/// What moves the data of a mesh.
///
/// Satisfied by a type B with
///   B::name, B::Communicator
///   B(launch, options)          takes this rank's device; talks to nobody
///   device()                    text that identifies the device
///   must_equal()                facts that must be the same on all ranks, by name
///   payload()                   what the peers need to connect, carried by the roll call
///   connect(store, session, deadline) -> Communicator of the world; Collective: over the world
///   alone()                     -> Communicator of this rank only, which owns no connection
/// and, where it has them,
///   exclusive(), device_source()    a device that no two ranks may share, and what chose it
///   shares(made, group)             whether a group may share the communicator made for one of the same ranks, by name
///   split(world, group, place, ranks) -> Communicator of one group
///   formed()                        called when the mesh is formed: what served that can go
/// It lives as long as the mesh. A communicator may have set_watch(callable), called while it waits, and
/// abort_together(span of pointers).
template <class B>
concept Backend = std::constructible_from<B, const Launch&, const Options&> && Communicator<typename B::Communicator> &&
    requires(B& backend, AnyStore& store, const Session& session, Deadline deadline) {
    { B::name } -> std::convertible_to<std::string_view>;
    { backend.device() } -> std::convertible_to<std::string>;
    { backend.must_equal() } -> std::convertible_to<std::map<std::string, std::string>>;
    { backend.payload() } -> std::convertible_to<std::string>;
    { backend.connect(store, session, deadline) } -> std::same_as<typename B::Communicator>;
    { backend.alone() } -> std::same_as<typename B::Communicator>;
};

} // namespace muster::inline v0_1
