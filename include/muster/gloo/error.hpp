// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// What a wait inside Gloo ended with instead of data. Thrown through Gloo's algorithms; the communicator makes an
/// Error of it. `peers` are ranks in the group.
struct GlooFailure : std::runtime_error {
    enum class Kind { timeout, connection, interrupted };

    GlooFailure(Kind what_happened, std::vector<int> whom, bool was_sending, const std::string& said)
        : std::runtime_error(said),
          kind(what_happened),
          peers(std::move(whom)),
          sending(was_sending) {}

    Kind kind;
    std::vector<int> peers;
    bool sending;
};

/// What Gloo said, without the "[file:line] " of its own source in front.
[[nodiscard]] inline std::string gloo_text(std::string_view said) {
    const auto end = said.find("] ");
    if (said.starts_with('[') && end != std::string_view::npos &&
        said.substr(0, end).find(".cc:") != std::string_view::npos) {
        said.remove_prefix(end + 2);
    }
    while (said.ends_with(' ') || said.ends_with('\n')) said.remove_suffix(1);
    return std::string(said);
}

/// Whether a Gloo exception means that its wait expired; Gloo has no type of its own for that.
[[nodiscard]] inline bool says_timeout(std::string_view said) {
    return said.find("Timed out waiting") != std::string_view::npos;
}

} // namespace muster::inline v0_1::detail
