// SPDX-License-Identifier: Apache-2.0
// What the programs for GPUs here share: arrays, streams and events that end with their scope, and a check of numbers.
#pragma once

#include <muster/muster.hpp>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../backend.hpp"

namespace example {

using Values = Array<float>;

template <class T>
[[nodiscard]] Array<T> filled(std::size_t size, T value) {
    return Array<T>(std::vector<T>(size, value));
}

inline void expect(bool right, std::string_view what) {
    if (!right) throw std::runtime_error(std::string(what) + ": a wrong number");
}

/// Pre: nothing is pending on the array.
template <class T>
[[nodiscard]] bool all_are(const Array<T>& array, T value) {
    return array.to_host() == std::vector<T>(array.size(), value);
}

/// One that does not wait for the default stream.
class Stream {
public:
    Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream() { (void)cudaStreamDestroy(stream_); }
    operator cudaStream_t() const noexcept { return stream_; }

private:
    cudaStream_t stream_ = nullptr;
};

class Event {
public:
    Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    ~Event() { (void)cudaEventDestroy(event_); }
    operator cudaEvent_t() const noexcept { return event_; }

private:
    cudaEvent_t event_ = nullptr;
};

} // namespace example
