// SPDX-License-Identifier: Apache-2.0
// Calls every operation of the NCCL backend for every element type, with this process as the whole world. Exits with 7
// after an error of muster's: without a GPU there must be one, in words. versions.py builds it with many compilers.
#include <muster/muster.hpp>
#include <muster/muster.hpp> // a second time, which must change nothing

#include <cuda_runtime_api.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <initializer_list>
#include <new>
#include <span>

#ifdef NCCL_WANTED
static_assert(NCCL_VERSION_CODE == NCCL_WANTED, "another nccl.h than the one to test was found");
#endif

template class muster::BasicDeviceMesh<muster::Topology3D<1, 1, 1>, muster::Nccl>;

namespace {

constexpr std::size_t count = 16;

/// Device memory of `count` elements.
template <class T>
class Array {
public:
    Array() {
        if (cudaMalloc(&memory_, count * sizeof(T)) != cudaSuccess) throw std::bad_alloc();
        (void)cudaMemset(memory_, 0, count * sizeof(T));
    }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array() { (void)cudaFree(memory_); }
    [[nodiscard]] std::span<T> span() const { return {static_cast<T*>(memory_), count}; }

private:
    void* memory_ = nullptr;
};

template <class T, class Op>
void reduce_with(muster::NcclCommunicator& comm, std::span<const T> in, std::span<T> out, Op op, cudaStream_t stream) {
    comm.all_reduce(in, out, op, stream);
    comm.all_reduce(out, op, stream);
    comm.reduce(in, out, op, 0, stream);
    comm.reduce(out, op, 0, stream);
    comm.reduce_scatter(in, out, op, stream);
}

template <class T>
void move_elements(muster::NcclCommunicator& comm, std::span<const T> in, std::span<T> out, cudaStream_t stream) {
    comm.broadcast(out, 0, stream);
    comm.all_gather(in, out, stream);
    comm.all_to_all(in, out, stream);
    comm.gather(in, out, 0, stream);
    comm.scatter(in, out, 0, stream);
    if (comm.size() == 1) return; // a rank does not send to itself
    muster::Group group;
    comm.send(in, (comm.rank() + 1) % comm.size(), stream);
    comm.recv(out, (comm.rank() + comm.size() - 1) % comm.size(), stream);
    group.end();
}

template <class T>
void every_operation(muster::NcclCommunicator& comm, cudaStream_t stream) {
    const Array<T> in;
    const Array<T> out;
    move_elements<T>(comm, in.span(), out.span(), stream);
    if constexpr (muster::NcclReducible<T>) {
        reduce_with<T>(comm, in.span(), out.span(), muster::sum, stream);
        reduce_with<T>(comm, in.span(), out.span(), muster::prod, stream);
        reduce_with<T>(comm, in.span(), out.span(), muster::min, stream);
        reduce_with<T>(comm, in.span(), out.span(), muster::max, stream);
        reduce_with<T>(comm, in.span(), out.span(), muster::avg, stream);
        reduce_with<T>(comm, in.span(), out.span(), muster::premul_sum(T(1)), stream);
    }
    comm.barrier(stream);
    comm.wait(stream, muster::Deadline::after(std::chrono::seconds(30)));
}

void every_type(muster::NcclCommunicator& comm, cudaStream_t stream) {
    every_operation<std::int8_t>(comm, stream);
    every_operation<std::uint8_t>(comm, stream);
    every_operation<std::int16_t>(comm, stream);
    every_operation<std::int32_t>(comm, stream);
    every_operation<std::uint32_t>(comm, stream);
    every_operation<std::int64_t>(comm, stream);
    every_operation<std::uint64_t>(comm, stream);
    every_operation<std::byte>(comm, stream);
    every_operation<float>(comm, stream);
    every_operation<double>(comm, stream);
    every_operation<__half>(comm, stream);
    every_operation<__nv_bfloat16>(comm, stream);
}

void every_registration([[maybe_unused]] muster::NcclCommunicator& comm) {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 1)
    muster::NcclMemory<float> memory(count);
    const muster::NcclRegistration registration = muster::register_buffer(comm, memory);
#endif
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
    const muster::NcclWindow window = muster::register_window(comm, memory);
#endif
}

void run() {
    muster::DeviceMesh<1, 1, 1> mesh;
    const cudaStream_t stream = nullptr;
    for (muster::NcclCommunicator* comm : {&mesh.world(), &mesh.tp(), &mesh.dp(), &mesh.cp()}) {
        every_type(*comm, stream);
        every_registration(*comm);
        muster::NcclCommunicator part = comm->split(0, 0);
        every_type(part, stream);
        part.close(muster::Deadline::after(std::chrono::seconds(30)));
        muster::NcclCommunicator other = comm->split(0, 0);
        other.check();
        other.abort();
        std::printf("size %d, rank %d, %s\n", comm->size(), comm->rank(), other.is_open() ? "open" : "closed");
    }
    mesh.close(muster::Deadline::after(std::chrono::seconds(30)));
}

} // namespace

int main() {
    int version = 0;
    (void)ncclGetVersion(&version);
    std::printf("ncclGetVersion %d\n", version);
    std::fflush(stdout);
    try {
        run();
    } catch (const muster::Error& error) {
        // A text that every rank throws has been logged once already.
        if (!error.shared()) std::fprintf(stderr, "%s\n", error.what());
        return 7;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "not an error of muster: %s\n", error.what());
        return 1;
    }
    return 0;
}
