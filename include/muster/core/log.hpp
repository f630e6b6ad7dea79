// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

namespace muster::inline v0_1 {

/// Where progress and warnings go: called with one line at a time, without the newline, from the thread that forms
/// the mesh. An empty sink drops them.
using LogSink = std::function<void(std::string_view line)>;

/// The default sink: standard error.
inline void log_to_stderr(std::string_view line) {
    const std::string text = std::string(line) + '\n';
    // One call, so that lines of several processes on one terminal do not mix. A log that cannot be written is lost.
    (void)std::fwrite(text.data(), 1, text.size(), stderr);
}

} // namespace muster::inline v0_1
