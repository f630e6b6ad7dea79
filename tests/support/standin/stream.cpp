// SPDX-License-Identifier: Apache-2.0
#include "stream.hpp"

#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "cuda_call.hpp"

namespace standin {
namespace {

struct Streams {
    std::mutex mutex;
    std::map<cudaStream_t, std::shared_ptr<Stream>> created;
    std::map<int, std::shared_ptr<Stream>> null; // by device
};

Streams& streams() {
    static auto& state = *new Streams;
    return state;
}

bool is_null(cudaStream_t handle) {
    return handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread;
}

std::shared_ptr<Stream> null_stream(int device) {
    auto& state = streams();
    const std::lock_guard lock(state.mutex);
    auto& stream = state.null[device];
    if (!stream) stream = std::make_shared<Stream>(device, false);
    return stream;
}

/// All streams of the device but the null stream, or those of them that wait for it.
std::vector<std::shared_ptr<Stream>> streams_of(int device, bool only_blocking) {
    auto& state = streams();
    const std::lock_guard lock(state.mutex);
    std::vector<std::shared_ptr<Stream>> found;
    for (const auto& [handle, stream] : state.created) {
        if (stream->device == device && (stream->blocking || !only_blocking)) found.push_back(stream);
    }
    return found;
}

void wait_for(Stream& stream, const std::shared_ptr<Stream>& other) {
    if (other.get() == &stream || other->idle()) return;
    stream.enqueue([other, ticket = other->submitted()] { other->wait(ticket); });
}

} // namespace

std::uint64_t Stream::enqueue(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    if (!started_) {
        started_ = true;
        std::thread([self = shared_from_this()] { self->run(); }).detach();
    }
    work_.push_back(std::move(work));
    const auto ticket = submitted_.fetch_add(1, std::memory_order_acq_rel) + 1;
    changed_.notify_all();
    return ticket;
}

void Stream::wait(std::uint64_t ticket) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return completed() >= ticket; });
}

void Stream::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
}

void Stream::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [&] { return !work_.empty() || closed_; });
        if (work_.empty()) return;
        auto work = std::move(work_.front());
        work_.pop_front();
        lock.unlock();
        work();
        work = nullptr; // what it holds goes before it counts as done
        lock.lock();
        completed_.fetch_add(1, std::memory_order_acq_rel);
        changed_.notify_all();
    }
}

std::shared_ptr<Stream> find_stream(cudaStream_t handle) {
    if (is_null(handle)) return null_stream(current_device());
    auto& state = streams();
    const std::lock_guard lock(state.mutex);
    const auto found = state.created.find(handle);
    return found == state.created.end() ? nullptr : found->second;
}

std::uint64_t submit(Stream& stream, std::function<void()> work) {
    const auto null = null_stream(stream.device);
    if (&stream == null.get()) {
        for (const auto& other : streams_of(stream.device, true)) wait_for(stream, other);
    } else if (stream.blocking) {
        wait_for(stream, null);
    }
    return stream.enqueue(std::move(work));
}

void synchronize(int device) {
    const auto null = null_stream(device);
    null->wait(null->submitted());
    for (const auto& stream : streams_of(device, false)) stream->wait(stream->submitted());
}

} // namespace standin

using standin::keep;

namespace {

cudaError_t create(cudaStream_t* handle, unsigned flags) {
    int device = 0;
    if (handle == nullptr || (flags & ~static_cast<unsigned>(cudaStreamNonBlocking)) != 0)
        return keep(cudaErrorInvalidValue);
    if (const auto error = standin::get_device(device); error != cudaSuccess) return keep(error);
    auto stream = std::make_shared<standin::Stream>(device, (flags & cudaStreamNonBlocking) == 0);
    *handle = reinterpret_cast<cudaStream_t>(stream.get());
    auto& state = standin::streams();
    const std::lock_guard lock(state.mutex);
    state.created[*handle] = std::move(stream);
    return cudaSuccess;
}

} // namespace

cudaError_t cudaStreamCreate(cudaStream_t* handle) {
    STANDIN_CUDA("cudaStreamCreate");
    return create(handle, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* handle, unsigned flags) {
    STANDIN_CUDA("cudaStreamCreateWithFlags");
    return create(handle, flags);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* handle, unsigned flags, int) {
    STANDIN_CUDA("cudaStreamCreateWithPriority");
    return create(handle, flags);
}

// Work that is still there is done all the same.
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
    STANDIN_CUDA("cudaStreamDestroy");
    auto& state = standin::streams();
    std::shared_ptr<standin::Stream> stream;
    {
        const std::lock_guard lock(state.mutex);
        const auto found = state.created.find(handle);
        if (found == state.created.end()) return keep(cudaErrorInvalidResourceHandle);
        stream = std::move(found->second);
        state.created.erase(found);
    }
    stream->close();
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
    STANDIN_CUDA("cudaStreamQuery");
    const auto stream = standin::find_stream(handle);
    if (!stream) return keep(cudaErrorInvalidResourceHandle);
    return stream->idle() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
    STANDIN_CUDA("cudaStreamSynchronize");
    const auto stream = standin::find_stream(handle);
    if (!stream) return keep(cudaErrorInvalidResourceHandle);
    stream->wait(stream->submitted());
    return cudaSuccess;
}

#if CUDART_VERSION >= 12080
cudaError_t cudaStreamGetDevice(cudaStream_t handle, int* device) {
    STANDIN_CUDA("cudaStreamGetDevice");
    const auto stream = standin::find_stream(handle);
    if (!stream || device == nullptr) return keep(cudaErrorInvalidResourceHandle);
    *device = stream->device;
    return cudaSuccess;
}
#endif

cudaError_t cudaDeviceSynchronize() {
    STANDIN_CUDA("cudaDeviceSynchronize");
    int device = 0;
    if (const auto error = standin::get_device(device); error != cudaSuccess) return keep(error);
    standin::synchronize(device);
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t fn, void* data) {
    STANDIN_CUDA("cudaLaunchHostFunc");
    const auto stream = standin::find_stream(handle);
    if (!stream) return keep(cudaErrorInvalidResourceHandle);
    standin::submit(*stream, [fn, data] { fn(data); });
    return cudaSuccess;
}
