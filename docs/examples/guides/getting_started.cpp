// SPDX-License-Identifier: Apache-2.0
// Forms a TP=2 mesh of an even number of GPUs, averages along dp, passes values around tp, and ends in order.
#include <muster/muster.hpp>

#include <cuda_runtime_api.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Mesh = muster::DeviceMesh<muster::dynamic, muster::dynamic, 1>; // TP and DP at run time, CP=1

constexpr auto limit = std::chrono::seconds(30);

void check(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

/// Numbers in the memory of the current GPU.
class Values {
public:
    Values(std::size_t size, float value) : size_(size) {
        const std::vector<float> values(size, value);
        check(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(float)));
        check(cudaMemcpy(data_, values.data(), size * sizeof(float), cudaMemcpyHostToDevice));
    }
    Values(const Values&) = delete;
    Values& operator=(const Values&) = delete;
    ~Values() { (void)cudaFree(data_); }

    [[nodiscard]] float* begin() const noexcept { return data_; }
    [[nodiscard]] float* end() const noexcept { return data_ + size_; }

    /// Throws where not all of them are `value`. Pre: nothing is pending on them.
    void expect(float value, const std::string& what) const {
        std::vector<float> values(size_);
        check(cudaMemcpy(values.data(), data_, size_ * sizeof(float), cudaMemcpyDeviceToHost));
        for (const float each : values)
            if (each != value) throw std::runtime_error(what + " gave a wrong number");
    }

private:
    float* data_ = nullptr;
    std::size_t size_;
};

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

void average(Mesh& mesh, const Values& gradients, cudaStream_t stream) {
    mesh.dp().all_reduce(gradients, muster::avg, stream); // launched: the host goes on, kernels on the stream follow it
    mesh.dp().wait(stream, muster::Deadline::after(limit));
}

void pass_on(Mesh& mesh, const Values& mine, const Values& theirs, cudaStream_t stream) {
    muster::Group both; // alone, the send would wait for the next rank's receive, and that for its own send
    mesh.tp().send(mine, mesh.next<muster::Tp>(), stream);
    mesh.tp().recv(theirs, mesh.previous<muster::Tp>(), stream);
    both.end();
    mesh.tp().wait(stream, muster::Deadline::after(limit));
}

void run() {
    muster::Options options;
    options.timeout = std::chrono::minutes(2); // of forming the mesh, and of each wait that is given no other
    Mesh mesh(muster::Extents{.tp = 2}, muster::EnvRendezvous{}, options); // DP is what is left of the world
    if (mesh.rank() == 0) std::fputs(muster::describe(mesh).c_str(), stdout);

    const Stream stream;
    const Values gradients(1024, static_cast<float>(mesh.coordinate<muster::Dp>()));
    average(mesh, gradients, stream);
    gradients.expect(static_cast<float>(mesh.dp().size() - 1) / 2, "the average");

    const Values mine(16, static_cast<float>(mesh.rank()));
    const Values theirs(16, -1);
    pass_on(mesh, mine, theirs, stream);
    theirs.expect(static_cast<float>(mesh.topology().previous<muster::Tp>(mesh.rank())), "the ring");

    mesh.close(muster::Deadline::after(limit)); // the destructor does it too, but tells nobody what went wrong
}

} // namespace

int main() {
    try {
        run();
        return 0;
    } catch (const muster::Error& error) {
        if (!error.shared()) std::fprintf(stderr, "%s\n", error.what()); // a shared text has been logged once already
        muster::write_error_file(error);                                 // for torchrun's summary
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
    }
    return 1;
}
