// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/launch/detect.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/launch.hpp>
#include <muster/rendezvous/concept.hpp>
#include <muster/rendezvous/endpoint.hpp>

namespace muster::inline v0_1 {

/// The default way to meet: as the launcher's variables say (see detect_launch). Under torchrun the agent's own store
/// is used where it serves one (TORCHELASTIC_USE_AGENT_STORE=True); otherwise rank 0 serves at MASTER_ADDR:MASTER_PORT.
struct EnvRendezvous {
    Environment environment = Environment::current(); ///< whose variables count

    /// Throws: Error(errc::invalid_launch).
    [[nodiscard]] Launch launch() const { return detect_launch(environment); }

    /// Blocks: until rank 0's store is reached, at most to the deadline.
    [[nodiscard]] Meeting connect(const Launch& launch, Deadline deadline) const {
        return detail::meet_at_endpoint(launch, deadline);
    }
};

static_assert(Rendezvous<EnvRendezvous>);

} // namespace muster::inline v0_1
