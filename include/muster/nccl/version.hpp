// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>

#include <nccl.h>

#include <dlfcn.h>

#include <string>

namespace muster::inline v0_1::detail {

/// The number under which NCCL counts a version: 2.18.5 is 21805. Source: NCCL_VERSION in nccl.h.
[[nodiscard]] constexpr int nccl_version(int major, int minor, int patch) noexcept {
    return major * 10000 + minor * 100 + patch;
}

/// The first with non-blocking communicators and ncclCommSplit.
inline constexpr int nccl_floor = nccl_version(2, 18, 1);

static_assert(NCCL_VERSION_CODE >= nccl_floor, "muster: nccl.h is too old: NCCL 2.18.1 or newer is needed");

/// "2.18.5"
[[nodiscard]] inline std::string nccl_version_text(int code) {
    return format("{}.{}.{}", {code / 10000, code / 100 % 100, code % 100});
}

/// Version of the library that this process loaded. Needs no GPU.
[[nodiscard]] inline int nccl_library_version() noexcept {
    int code = 0;
    return ncclGetVersion(&code) == ncclSuccess ? code : 0;
}

/// File that the library was loaded from, where the loader tells.
[[nodiscard]] inline std::string nccl_library_path() {
    // The function's address may be one of this program's own; what comes after it is the library's.
    const void* function = ::dlsym(RTLD_NEXT, "ncclGetVersion");
    if (function == nullptr) function = reinterpret_cast<const void*>(&ncclGetVersion);
    Dl_info info{};
    const bool found = ::dladdr(function, &info) != 0;
    return found && info.dli_fname != nullptr ? info.dli_fname : "an unknown file";
}

/// Refuses a library that is older than this program's nccl.h: it lacks functions, and it ignores the settings that it
/// does not know without a word. A newer one is fine.
/// Throws: Error(errc::backend).
inline void require_nccl_library(int found, int header, const std::string& path, int rank) {
    if (found >= header && found >= nccl_floor) return;
    throw Error(errc::backend, Stage::device,
                format("NCCL {} is too old: this program was built with nccl.h {}\n  seen: {}\n  do: put the "
                       "libnccl.so.2 of {} or newer first in LD_LIBRARY_PATH, or build with the older nccl.h",
                       {nccl_version_text(found), nccl_version_text(header), path, nccl_version_text(header)}),
                {rank, {rank}, false});
}

} // namespace muster::inline v0_1::detail
