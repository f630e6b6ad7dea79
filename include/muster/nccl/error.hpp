// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1::detail {

[[nodiscard]] inline std::string_view nccl_result_name(ncclResult_t result) noexcept {
    switch (static_cast<int>(result)) { // not the enumerators: older headers lack the later ones
        case 0: return "ncclSuccess";
        case 1: return "ncclUnhandledCudaError";
        case 2: return "ncclSystemError";
        case 3: return "ncclInternalError";
        case 4: return "ncclInvalidArgument";
        case 5: return "ncclInvalidUsage";
        case 6: return "ncclRemoteError";
        case 7: return "ncclInProgress";
        case 8: return "ncclTimeout";
        default: return "an unknown result";
    }
}

/// NCCL's last message. The library keeps one for the whole process and never clears it.
[[nodiscard]] inline std::string nccl_last_message() {
    const char* text = ncclGetLastError(nullptr);
    if (text == nullptr || *text == '\0') return {};
    std::string message(text);
    message.erase(message.find_last_not_of("\n ") + 1);
    return format("\n  NCCL's last message, which may be about something else: {}", {message});
}

/// "ncclSystemError (2)", and NCCL's last message on a line of its own.
[[nodiscard]] inline std::string nccl_result_text(ncclResult_t result) {
    return format("{} ({}): {}{}", {nccl_result_name(result), static_cast<int>(result), ncclGetErrorString(result),
                                    nccl_last_message()});
}

/// What an error says of the rank that throws it; -1 where it is not known.
[[nodiscard]] inline Error::About about(int rank) {
    return {rank, rank < 0 ? std::vector<int>{} : std::vector<int>{rank}, false};
}

[[noreturn]] inline void throw_nccl(std::string_view call, ncclResult_t result, Stage stage, int rank) {
    throw Error(errc::backend, stage, format("{} failed: {}", {call, nccl_result_text(result)}), about(rank));
}

inline void check_nccl(std::string_view call, ncclResult_t result, Stage stage, int rank) {
    if (result != ncclSuccess) throw_nccl(call, result, stage, rank);
}

/// "cudaErrorNoDevice (100): no CUDA-capable device is detected"
[[nodiscard]] inline std::string cuda_error_text(cudaError_t error) {
    return format("{} ({}): {}", {cudaGetErrorName(error), static_cast<int>(error), cudaGetErrorString(error)});
}

inline void check_cuda(std::string_view call, cudaError_t error, Stage stage, int rank) {
    if (error == cudaSuccess) return;
    (void)cudaGetLastError(); // else the program's next check takes this error for its own
    throw Error(stage == Stage::device ? errc::device : errc::backend, stage,
                format("{} failed: {}", {call, cuda_error_text(error)}), about(rank));
}

} // namespace muster::inline v0_1::detail
