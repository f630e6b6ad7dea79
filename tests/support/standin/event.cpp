// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "cuda_call.hpp"
#include "stream.hpp"

namespace standin {
namespace {

/// A point in a stream; each record moves it.
class Event {
public:
    explicit Event(bool keeps_time) : timed(keeps_time) {}

    std::uint64_t record() {
        const std::lock_guard lock(mutex_);
        return ++recorded_;
    }

    void reach(std::uint64_t record) {
        const std::lock_guard lock(mutex_);
        reached_ = record;
        when_ = std::chrono::steady_clock::now();
        changed_.notify_all();
    }

    std::uint64_t recorded() const {
        const std::lock_guard lock(mutex_);
        return recorded_;
    }

    bool done() const {
        const std::lock_guard lock(mutex_);
        return reached_ >= recorded_;
    }

    void wait(std::uint64_t record) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return reached_ >= record; });
    }

    std::chrono::steady_clock::time_point when() const {
        const std::lock_guard lock(mutex_);
        return when_;
    }

    const bool timed;

private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t recorded_ = 0;
    std::uint64_t reached_ = 0;
    std::chrono::steady_clock::time_point when_;
};

struct Events {
    std::mutex mutex;
    std::map<cudaEvent_t, std::shared_ptr<Event>> all;
};

Events& events() {
    static auto& state = *new Events;
    return state;
}

std::shared_ptr<Event> find(cudaEvent_t handle) {
    auto& state = events();
    const std::lock_guard lock(state.mutex);
    const auto found = state.all.find(handle);
    return found == state.all.end() ? nullptr : found->second;
}

cudaError_t create(cudaEvent_t* handle, unsigned flags) {
    int device = 0;
    if (handle == nullptr) return keep(cudaErrorInvalidValue);
    if (const auto error = get_device(device); error != cudaSuccess) return keep(error);
    auto event = std::make_shared<Event>((flags & cudaEventDisableTiming) == 0);
    *handle = reinterpret_cast<cudaEvent_t>(event.get());
    auto& state = events();
    const std::lock_guard lock(state.mutex);
    state.all[*handle] = std::move(event);
    return cudaSuccess;
}

} // namespace
} // namespace standin

using standin::keep;

cudaError_t cudaEventCreate(cudaEvent_t* handle) {
    STANDIN_CUDA("cudaEventCreate");
    return standin::create(handle, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* handle, unsigned flags) {
    STANDIN_CUDA("cudaEventCreateWithFlags");
    return standin::create(handle, flags);
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
    STANDIN_CUDA("cudaEventDestroy");
    auto& state = standin::events();
    const std::lock_guard lock(state.mutex);
    return state.all.erase(handle) == 1 ? cudaSuccess : keep(cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
    STANDIN_CUDA("cudaEventRecord");
    const auto event = standin::find(handle);
    const auto stream = standin::find_stream(stream_handle);
    if (!event || !stream) return keep(cudaErrorInvalidResourceHandle);
    standin::submit(*stream, [event, record = event->record()] { event->reach(record); });
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
    STANDIN_CUDA("cudaEventQuery");
    const auto event = standin::find(handle);
    if (!event) return keep(cudaErrorInvalidResourceHandle);
    return event->done() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
    STANDIN_CUDA("cudaEventSynchronize");
    const auto event = standin::find(handle);
    if (!event) return keep(cudaErrorInvalidResourceHandle);
    event->wait(event->recorded());
    return cudaSuccess;
}

// The headers of CUDA 12.8 call it cudaEventElapsedTime_v2 by a macro.
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
    STANDIN_CUDA("cudaEventElapsedTime");
    const auto first = standin::find(start);
    const auto last = standin::find(end);
    if (ms == nullptr) return keep(cudaErrorInvalidValue);
    if (!first || !last || !first->timed || !last->timed || first->recorded() == 0 || last->recorded() == 0) {
        return keep(cudaErrorInvalidResourceHandle);
    }
    if (!first->done() || !last->done()) return cudaErrorNotReady;
    *ms = std::chrono::duration<float, std::milli>(last->when() - first->when()).count();
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream_handle, cudaEvent_t handle, unsigned) {
    STANDIN_CUDA("cudaStreamWaitEvent");
    const auto event = standin::find(handle);
    const auto stream = standin::find_stream(stream_handle);
    if (!event || !stream) return keep(cudaErrorInvalidResourceHandle);
    if (!event->done()) standin::submit(*stream, [event, record = event->recorded()] { event->wait(record); });
    return cudaSuccess;
}
