// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

namespace muster::inline v0_1 {

/// Where progress, warnings and errors that all ranks share go: called with one text at a time, which may have several
/// lines, without the last newline. An empty sink drops them.
using LogSink = std::function<void(std::string_view text)>;

/// The default sink: standard error.
inline void log_to_stderr(std::string_view line) {
    const std::string text = std::string(line) + '\n';
    // One call, so that lines of several processes on one terminal do not mix. A log that cannot be written is lost.
    (void)std::fwrite(text.data(), 1, text.size(), stderr);
}

} // namespace muster::inline v0_1
