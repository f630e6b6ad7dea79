// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../support/ranks.hpp"
#include "../../support/standin/standin.hpp"

namespace clique {

/// Catch's assertions are not for threads: a failed check is an exception of the rank.
inline void check(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error(what);
}

inline void check(ncclResult_t result, const std::string& what) {
    check(result == ncclSuccess || result == ncclInProgress,
          what + ": " + std::to_string(result) + ", " + ncclGetLastError(nullptr));
}

inline void check(cudaError_t error, const std::string& what) {
    check(error == cudaSuccess, what + ": " + cudaGetErrorName(error));
}

/// The state once it is no longer in progress, or ncclInProgress when the time is over.
inline ncclResult_t settled(ncclComm_t comm, std::chrono::milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    for (;;) {
        ncclResult_t state = ncclSuccess;
        check(ncclCommGetAsyncError(comm, &state), "ncclCommGetAsyncError");
        if (state != ncclInProgress || std::chrono::steady_clock::now() > end) return state;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

inline ncclResult_t settled(ncclComm_t comm) {
    const auto state = settled(comm, std::chrono::seconds(20));
    check(state != ncclInProgress, "still in progress");
    return state;
}

/// Waits until the condition holds; false when it never does.
template <class Condition>
bool comes_true(Condition condition, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

inline ncclConfig_t config_of(bool blocking) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = blocking ? 1 : 0;
    return config;
}

inline ncclUniqueId make_id() {
    ncclUniqueId id;
    check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    return id;
}

/// Memory of the current device that holds elements of T.
template <class T>
class Buffer {
public:
    explicit Buffer(std::size_t n) : n_(n) {
        void* pointer = nullptr;
        check(cudaMalloc(&pointer, n * sizeof(T)), "cudaMalloc");
        data_ = static_cast<T*>(pointer);
    }
    explicit Buffer(const std::vector<T>& values) : Buffer(values.size()) {
        check(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
    }
    ~Buffer() { (void)cudaFree(data_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    T* get() const { return data_; }
    std::vector<T> values() const {
        std::vector<T> copy(n_);
        check(cudaMemcpy(copy.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
        return copy;
    }

private:
    std::size_t n_;
    T* data_ = nullptr;
};

/// One rank of a communicator, a thread with a device of its own.
struct Rank {
    ncclComm_t comm = nullptr;
    cudaStream_t stream = nullptr;
    int rank = 0;
    int size = 0;

    /// Waits for the call to be accepted and for its operations.
    void done(ncclResult_t result, const std::string& what) const {
        check(result, what);
        check(settled(comm), what);
        check(cudaStreamSynchronize(stream), what);
    }

    void close() {
        check(ncclCommFinalize(comm), "ncclCommFinalize");
        check(settled(comm), "ncclCommFinalize");
        check(ncclCommDestroy(comm), "ncclCommDestroy");
        comm = nullptr;
    }
};

/// fn(rank) in n threads that have one communicator; closes it when fn left it.
template <class Fn>
void run(int n, Fn fn, bool blocking = false) {
    const auto id = make_id();
    support::Meeting meeting(n);
    support::run_ranks(n, [&](int number) {
        Rank rank{nullptr, nullptr, number, n};
        check(cudaSetDevice(number), "cudaSetDevice");
        check(cudaStreamCreateWithFlags(&rank.stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
        auto config = config_of(blocking);
        check(ncclCommInitRankConfig(&rank.comm, n, id, number, &config), "ncclCommInitRankConfig");
        check(settled(rank.comm), "ncclCommInitRankConfig");
        meeting.all(0, number, ""); // who ends early does not break another's init
        fn(rank);
        if (rank.comm != nullptr) rank.close();
        check(cudaStreamDestroy(rank.stream), "cudaStreamDestroy");
    });
}

} // namespace clique
