// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/launch/environment.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <string>
#include <string_view>

namespace muster::inline v0_1 {

namespace detail {

/// In a JSON string. Bytes beyond ASCII are shown as "\xNN": whatever they are, the file stays valid.
[[nodiscard]] inline std::string json_escaped(std::string_view text) {
    std::string result;
    for (const char c : text) {
        if (c == '"' || c == '\\')
            result += format("\\{}", {c});
        else if (c == '\n')
            result += "\\n";
        else if (c >= ' ' && c <= '~')
            result += c;
        else
            result += "\\\\x" + hex(static_cast<unsigned char>(c), 2);
    }
    return result;
}

/// What torch.distributed.elastic.multiprocessing.errors reads; the time is in seconds since 1970.
[[nodiscard]] inline std::string error_file_text(std::string_view message, std::chrono::system_clock::time_point time) {
    return format(
        R"({{"message": {{"message": "{}", "extraInfo": {{"timestamp": "{}"}}}}}})",
        {json_escaped(message), std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count()});
}

} // namespace detail

/// Leaves the error that ends this process where torchrun looks for it (TORCHELASTIC_ERROR_FILE), so that the summary
/// that it prints of all failures has the text. For the end of main, on the way to an exit code other than 0: torchrun
/// reads the file of a process that failed, whatever it failed of.
/// False under launchers that have no such file, and where it cannot be written.
inline bool write_error_file(const std::exception& error,
                             const Environment& environment = Environment::current()) noexcept {
    try {
        const auto path = environment.get("TORCHELASTIC_ERROR_FILE");
        if (!path) return false;
        // Half a file would make torchrun itself fail: it appears whole.
        const std::string part = *path + ".part";
        std::ofstream file(part, std::ios::trunc);
        file << detail::error_file_text(error.what(), std::chrono::system_clock::now());
        file.close();
        if (file.good() && std::rename(part.c_str(), path->c_str()) == 0) return true;
        (void)std::remove(part.c_str());
        return false;
    } catch (...) {
        return false;
    }
}

} // namespace muster::inline v0_1
