// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// What kind of failure an Error is.
enum class errc {
    invalid_argument, ///< a call's arguments break its contract: sizes, ranks, extents
    invalid_launch,   ///< the environment is half-set, unreadable, out of range or contradicts itself
    world_mismatch,   ///< the world size is not the product of the mesh's extents
    timeout,          ///< a deadline passed
    missing_ranks,    ///< ranks did not arrive in time
    duplicate_rank,   ///< two processes claim one rank
    disagreement,     ///< ranks differ in something that must be equal
    connection,       ///< an address or folder cannot be resolved, reached or used, or a peer went away
    protocol,         ///< a peer said what the protocol does not allow
    remote,           ///< another rank failed; its text is quoted
    device,           ///< no device, or the wrong one
    backend,          ///< NCCL, CUDA or Gloo reported an error
    closed,           ///< the object was closed, aborted or moved from
};

/// Where in the flow an Error arose: launch -> device -> rendezvous -> roll call -> communicators -> commit -> mesh.
enum class Stage { topology, launch, device, store, rendezvous, roll_call, communicator, commit, mesh };

/// The enumerator's name.
[[nodiscard]] constexpr std::string_view to_string(errc code) noexcept {
    switch (code) {
        case errc::invalid_argument: return "invalid_argument";
        case errc::invalid_launch: return "invalid_launch";
        case errc::world_mismatch: return "world_mismatch";
        case errc::timeout: return "timeout";
        case errc::missing_ranks: return "missing_ranks";
        case errc::duplicate_rank: return "duplicate_rank";
        case errc::disagreement: return "disagreement";
        case errc::connection: return "connection";
        case errc::protocol: return "protocol";
        case errc::remote: return "remote";
        case errc::device: return "device";
        case errc::backend: return "backend";
        case errc::closed: return "closed";
    }
    return "unknown";
}

/// The stage in words: "roll call".
[[nodiscard]] constexpr std::string_view to_string(Stage stage) noexcept {
    switch (stage) {
        case Stage::topology: return "topology";
        case Stage::launch: return "launch";
        case Stage::device: return "device";
        case Stage::store: return "store";
        case Stage::rendezvous: return "rendezvous";
        case Stage::roll_call: return "roll call";
        case Stage::communicator: return "communicator";
        case Stage::commit: return "commit";
        case Stage::mesh: return "mesh";
    }
    return "unknown";
}

/// The one exception of the library. what() begins with "muster: " and says what was tried, what was seen and what
/// to do about it.
class Error : public std::runtime_error {
public:
    /// A fact about an Error besides its code, stage and text.
    struct About {
        int rank = -1;               ///< this process's rank, -1 when not known yet
        std::vector<int> ranks = {}; ///< the ranks that the error is about: missing, doubled, different, failed
        bool shared = false;         ///< every rank of the world throws this same text, and it was logged once
    };

    /// `text` comes without the "muster: " in front; lines after the first are details.
    Error(errc code, Stage stage, const std::string& text) : Error(code, stage, text, About{}) {}

    /// The same with more facts.
    Error(errc code, Stage stage, const std::string& text, About about)
        : std::runtime_error("muster: " + text),
          code_(code),
          stage_(stage),
          about_(std::move(about)) {}

    /// What kind of failure it is, and where in the flow it arose.
    [[nodiscard]] errc code() const noexcept { return code_; }
    [[nodiscard]] Stage stage() const noexcept { return stage_; }

    /// Rank of the process that throws, -1 when it was not known yet.
    [[nodiscard]] int rank() const noexcept { return about_.rank; }

    /// The ranks that the error is about, ascending; empty when it is about none in particular.
    [[nodiscard]] const std::vector<int>& ranks() const noexcept { return about_.ranks; }

    /// Whether every rank of the world throws this same text. Then it has been logged (Options::log) by the one rank
    /// that found it, before any rank could throw it: a program need not print it again. Launchers end the other ranks
    /// as soon as one has failed, so that a text which only one rank prints in its turn is often lost.
    [[nodiscard]] bool shared() const noexcept { return about_.shared; }

    /// The text without the "muster: " in front.
    [[nodiscard]] std::string_view text() const noexcept { return std::string_view(what()).substr(8); }

private:
    errc code_;
    Stage stage_;
    About about_;
};

} // namespace muster::inline v0_1
