// SPDX-License-Identifier: Apache-2.0
#include <muster/nccl/error.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <optional>
#include <string>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using muster::errc;
using muster::Error;
using muster::Stage;
using namespace muster::detail;

namespace {

template <class Fn>
std::optional<Error> error_of(Fn fn) {
    try {
        fn();
        return std::nullopt;
    } catch (const Error& error) {
        return error;
    }
}

void check_about(const std::optional<Error>& error, errc code, Stage stage) {
    REQUIRE(error);
    CHECK(error->code() == code);
    CHECK(error->stage() == stage);
    CHECK(error->rank() == 3);
    CHECK(error->ranks() == std::vector{3});
    CHECK_FALSE(error->shared());
}

} // namespace

TEST_CASE("NCCL's results by name, also those that this nccl.h may lack") {
    CHECK(nccl_result_name(ncclSuccess) == "ncclSuccess");
    CHECK(nccl_result_name(ncclUnhandledCudaError) == "ncclUnhandledCudaError");
    CHECK(nccl_result_name(ncclSystemError) == "ncclSystemError");
    CHECK(nccl_result_name(ncclInternalError) == "ncclInternalError");
    CHECK(nccl_result_name(ncclInvalidArgument) == "ncclInvalidArgument");
    CHECK(nccl_result_name(ncclInvalidUsage) == "ncclInvalidUsage");
    CHECK(nccl_result_name(ncclRemoteError) == "ncclRemoteError");
    CHECK(nccl_result_name(ncclInProgress) == "ncclInProgress");
    CHECK(nccl_result_name(static_cast<ncclResult_t>(8)) == "ncclTimeout");
    CHECK(nccl_result_name(static_cast<ncclResult_t>(15)) == "an unknown result");
}

TEST_CASE("a failed call of NCCL is named with its result and NCCL's last message") {
    int count = 0;
    const ncclResult_t result = ncclCommCount(nullptr, &count); // needs no GPU to fail
    REQUIRE(result != ncclSuccess);
    const auto error = error_of([&] { check_nccl("ncclCommCount", result, Stage::communicator, 3); });
    check_about(error, errc::backend, Stage::communicator);
    CHECK_THAT(std::string(error->text()), StartsWith("ncclCommCount failed: ncclInvalidArgument (4): " +
                                                      std::string(ncclGetErrorString(ncclInvalidArgument)) +
                                                      "\n  NCCL's last message, which may be about something else: "));
    CHECK_THAT(std::string(error->text()), EndsWith("comm argument is NULL")); // no line end behind it
}

TEST_CASE("the stage of a failed call of NCCL is the caller's, its code is not") {
    const auto error = error_of([] { check_nccl("ncclGetUniqueId", ncclSystemError, Stage::device, 3); });
    check_about(error, errc::backend, Stage::device);
    CHECK_THAT(std::string(error->text()), StartsWith("ncclGetUniqueId failed: ncclSystemError (2): "));
}

TEST_CASE("a failed call of CUDA is named with its error") {
    CHECK(cuda_error_text(cudaErrorNoDevice) == "cudaErrorNoDevice (100): no CUDA-capable device is detected");
    const auto later = error_of([] { check_cuda("cudaMalloc", cudaErrorMemoryAllocation, Stage::communicator, 3); });
    check_about(later, errc::backend, Stage::communicator);
    CHECK(later->text() == "cudaMalloc failed: cudaErrorMemoryAllocation (2): out of memory");
    const auto at_first = error_of([] { check_cuda("cudaSetDevice(9)", cudaErrorInvalidDevice, Stage::device, 3); });
    check_about(at_first, errc::device, Stage::device);
    CHECK_THAT(std::string(at_first->text()), ContainsSubstring("cudaSetDevice(9) failed: cudaErrorInvalidDevice"));
}

TEST_CASE("CUDA's last error is not left for the program to find") {
    const cudaError_t result = cudaSetDevice(-1);
    REQUIRE(result != cudaSuccess);
    REQUIRE(cudaPeekAtLastError() == result);
    check_about(error_of([&] { check_cuda("cudaSetDevice", result, Stage::device, 3); }), errc::device, Stage::device);
    CHECK(cudaPeekAtLastError() == cudaSuccess);
}

TEST_CASE("success says nothing, and leaves CUDA's last error alone") {
    const cudaError_t result = cudaSetDevice(-1);
    check_nccl("ncclCommDestroy", ncclSuccess, Stage::communicator, 3);
    check_cuda("cudaMalloc", cudaSuccess, Stage::communicator, 3);
    CHECK(cudaGetLastError() == result);
}
