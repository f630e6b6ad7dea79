// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/buffer.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/nccl/communicator.hpp>
#include <muster/nccl/data_type.hpp>
#include <muster/nccl/error.hpp>
#include <muster/nccl/state.hpp>

#include <nccl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

namespace muster::inline v0_1 {

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 1)
/// GPU memory of the kind that NCCL can register, on the GPU that is current. Not initialised.
/// Source: ncclMemAlloc, NCCL 2.19.1.
template <NcclElement T>
class NcclMemory {
public:
    NcclMemory() = default;

    /// Throws: Error(errc::backend).
    explicit NcclMemory(std::size_t elements) : size_(elements) {
        void* memory = nullptr;
        if (elements > 0)
            detail::check_nccl("ncclMemAlloc", ncclMemAlloc(&memory, elements * sizeof(T)), Stage::communicator, -1);
        data_ = static_cast<T*>(memory);
    }
    NcclMemory(NcclMemory&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)),
          size_(std::exchange(other.size_, 0)) {}
    NcclMemory& operator=(NcclMemory&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~NcclMemory() {
        if (data_ != nullptr) (void)ncclMemFree(data_); // a destructor has nobody to tell
    }

    /// The memory as a range: it stands where an operation takes a buffer. Addresses of the GPU.
    [[nodiscard]] T* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] T* begin() const noexcept { return data_; }
    [[nodiscard]] T* end() const noexcept { return data_ + size_; }

private:
    T* data_ = nullptr;
    std::size_t size_ = 0;
};
#endif

namespace detail {

/// Something of a communicator that ends before it: with this object, or when the communicator is closed.
template <class Handle, ncclResult_t (*Free)(ncclComm_t, Handle)>
class NcclPart {
public:
    NcclPart() = default;
    NcclPart(std::shared_ptr<NcclState> owner, Handle handle)
        : owner_(std::move(owner)),
          handle_(handle),
          number_(owner_->add_part([handle](ncclComm_t comm) { return Free(comm, handle); })) {}
    NcclPart(NcclPart&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)),
          handle_(std::exchange(other.handle_, Handle{})),
          number_(other.number_) {}
    NcclPart& operator=(NcclPart&& other) noexcept {
        std::swap(owner_, other.owner_);
        std::swap(handle_, other.handle_);
        std::swap(number_, other.number_);
        return *this;
    }

    ~NcclPart() {
        try {
            if (owner_) owner_->end_part(number_);
        } catch (const Error&) {
            return; // the communicator failed; it says so itself
        }
    }

    [[nodiscard]] Handle native_handle() const noexcept { return handle_; }

private:
    std::shared_ptr<NcclState> owner_;
    Handle handle_{};
    std::uint64_t number_ = 0;
};

} // namespace detail

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 1)
/// Memory that NCCL has registered with a communicator: its operations on it need no copies of their own. Ends before
/// the memory does.
using NcclRegistration = detail::NcclPart<void*, &ncclCommDeregister>;

/// Not collective, but all ranks should do it alike. In a group of one there is nothing to register.
/// Throws: as an operation. Source: ncclCommRegister, NCCL 2.19.1.
template <MutableBuffer B>
[[nodiscard]] NcclRegistration register_buffer(NcclCommunicator& communicator, B&& buffer) {
    const std::span<detail::nccl_element_t<B>> data(buffer);
    const auto& group = communicator.shared_state();
    if (group->alone) return {};
    void* handle = nullptr;
    group->launch("register_buffer",
                  [&](ncclComm_t comm) { return ncclCommRegister(comm, data.data(), data.size_bytes(), &handle); });
    return {group, handle};
}
#endif

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
/// Memory of NCCL's own kind that all ranks of a group have made known to each other. Ends before the memory does, on
/// all ranks.
using NcclWindow = detail::NcclPart<ncclWindow_t, &ncclCommWindowDeregister>;

/// Collective: over the group, with as many bytes on every rank. Blocks: at most the timeout.
/// `flags`: NCCL_WIN_*. Throws: as an operation. Source: ncclCommWindowRegister, NCCL 2.27.3.
template <MutableBuffer B>
[[nodiscard]] NcclWindow register_window(NcclCommunicator& communicator, B&& buffer, int flags = NCCL_WIN_DEFAULT) {
    const std::span<detail::nccl_element_t<B>> data(buffer);
    const auto& group = communicator.shared_state();
    if (group->alone) return {};
    // NCCL writes the handle from a thread of its own, at latest when the communicator is ready again.
    const auto slot = std::make_shared<ncclWindow_t>(nullptr);
    group->inside("register_window", [&] {
        const ncclResult_t result =
            ncclCommWindowRegister(group->handle(), data.data(), data.size_bytes(), slot.get(), flags);
        group->settle("register_window", result, Deadline::after(group->limits.timeout));
    });
    return {group, *slot};
}
#endif

} // namespace muster::inline v0_1
