// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/nccl/communicator.hpp>
#include <muster/nccl/initialize.hpp>

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "ranks.hpp"
#include "standin/standin.hpp"

namespace support {

inline void check(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

/// An array in GPU memory.
template <class T>
class DeviceArray {
public:
    explicit DeviceArray(const std::vector<T>& values) : size_(values.size()) {
        check(cudaMalloc(reinterpret_cast<void**>(&data_), size_ * sizeof(T) + 1)); // never null
        check(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice));
    }
    explicit DeviceArray(std::size_t n) : DeviceArray(std::vector<T>(n)) {}
    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;
    ~DeviceArray() { (void)cudaFree(data_); }

    [[nodiscard]] T* begin() const noexcept { return data_; }
    [[nodiscard]] T* end() const noexcept { return data_ + size_; }
    [[nodiscard]] std::vector<T> to_host() const {
        std::vector<T> values(size_);
        check(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
        return values;
    }

private:
    T* data_ = nullptr;
    std::size_t size_;
};

/// Forgets what an earlier test asked of the stand-in.
struct Script {
    explicit Script(const char* script = "") {
        standin_reset();
        standin_script(script);
    }
    Script(const Script&) = delete;
    Script& operator=(const Script&) = delete;
    ~Script() { standin_script(""); }
};

/// Global ranks are 10, 11, ...: never a rank in the group.
inline muster::detail::NcclGroupOfRanks group_of_ranks(int n, int rank) {
    std::vector<int> ranks(static_cast<std::size_t>(n));
    std::iota(ranks.begin(), ranks.end(), 10);
    return {std::move(ranks), rank, rank, "test"};
}

inline muster::NcclLimits short_limits(std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
    muster::NcclLimits limits;
    limits.timeout = timeout;
    limits.abort_timeout = std::chrono::seconds(2);
    return limits;
}

/// Runs fn(communicator) on n ranks, threads of this process with a GPU each.
template <class Fn>
void with_nccl(int n, Fn fn, const muster::NcclLimits& limits = short_limits()) {
    Meeting meeting(n);
    run_ranks(n, [&](int rank) {
        check(cudaSetDevice(rank));
        muster::detail::NcclId id{};
        if (rank == 0)
            muster::detail::check_nccl("ncclGetUniqueId", ncclGetUniqueId(&id), muster::Stage::communicator, 0);
        const std::string bytes = meeting.all(0, rank, std::string(id.internal, sizeof id.internal)).front();
        bytes.copy(id.internal, sizeof id.internal);
        const auto state = std::make_shared<muster::detail::NcclState>(group_of_ranks(n, rank), limits,
                                                                       muster::detail::nccl_names({}, "test"));
        if (n > 1) muster::detail::initialize_nccl(*state, {id}, {}, muster::Deadline::after(std::chrono::seconds(30)));
        (void)meeting.all(1, rank, ""); // NCCL's init ends on one rank before it does on another
        muster::NcclCommunicator comm(state);
        fn(comm);
        comm.close(muster::Deadline::after(std::chrono::seconds(20)));
    });
}

/// The error that fn() throws; fails the caller when it throws none.
template <class Fn>
muster::Error error_of(Fn fn) {
    try {
        fn();
    } catch (const muster::Error& error) {
        return error;
    }
    throw std::runtime_error("expected a muster::Error");
}

} // namespace support
