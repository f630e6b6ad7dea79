// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch_test_macros.hpp>

#include <atomic>

#include "clique.hpp"

using namespace clique;
using namespace std::chrono_literals;

namespace {

void script(const char* text) { standin_script(text); }

cudaDeviceProp properties(int device) {
    cudaDeviceProp found{};
    REQUIRE(cudaGetDeviceProperties(&found, device) == cudaSuccess);
    return found;
}

bool same_uuid(int a, int b) { return std::memcmp(properties(a).uuid.bytes, properties(b).uuid.bytes, 16) == 0; }

/// Work that holds a stream up until it is let go.
struct Gate {
    std::atomic<bool> open = false;
    static void wait(void* self) {
        while (!static_cast<Gate*>(self)->open) std::this_thread::sleep_for(1ms);
    }
};

} // namespace

TEST_CASE("devices are what the script says") {
    int count = 0;
    script("devices=3");
    CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
    CHECK(count == 3);
    CHECK(cudaSetDevice(3) == cudaErrorInvalidDevice);
    CHECK(cudaPeekAtLastError() == cudaErrorInvalidDevice);
    CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
    CHECK(cudaGetLastError() == cudaSuccess);
    CHECK_FALSE(same_uuid(0, 1));
    CHECK(same_uuid(1, 1));
    CHECK(std::string(properties(0).name) == "Stand-in GPU");
    CHECK(properties(0).pciBusID != properties(1).pciBusID);
    script("same-uuid");
    CHECK(same_uuid(0, 1));
    script("mig");
    CHECK_FALSE(same_uuid(0, 1));
    CHECK(properties(0).pciBusID == properties(1).pciBusID);
    script("devices=0");
    CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
    script("no-driver");
    CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
    CHECK(count == 0);
    int driver = -1;
    CHECK(cudaDriverGetVersion(&driver) == cudaSuccess);
    CHECK(driver == 0);
    CHECK(std::string(cudaGetErrorName(cudaErrorNoDevice)) == "cudaErrorNoDevice");
    script(nullptr);
    CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
    CHECK(count == 8);
    (void)cudaGetLastError();
}

TEST_CASE("a bus id names a device") {
    char text[16] = {};
    int device = -1;
    CHECK(cudaDeviceGetPCIBusId(text, sizeof(text), 4) == cudaSuccess);
    CHECK(cudaDeviceGetByPCIBusId(&device, text) == cudaSuccess);
    CHECK(device == 4);
    CHECK(cudaDeviceGetPCIBusId(text, 4, 4) == cudaErrorInvalidValue);
}

TEST_CASE("each thread has its own device") {
    CHECK(cudaSetDevice(2) == cudaSuccess);
    std::thread([] {
        int device = -1;
        check(cudaGetDevice(&device) == cudaSuccess && device == 0, "another thread");
    }).join();
    int device = -1;
    CHECK(cudaGetDevice(&device) == cudaSuccess);
    CHECK(device == 2);
    CHECK(cudaSetDevice(0) == cudaSuccess);
}

TEST_CASE("the script's errors") {
    script("cudaSetDevice#2@1:error=101");
    standin_reset();
    standin_rank(1);
    CHECK(cudaSetDevice(0) == cudaSuccess);
    CHECK(cudaSetDevice(0) == cudaErrorInvalidDevice);
    CHECK(cudaSetDevice(0) == cudaSuccess);
    standin_rank(0);
    CHECK(cudaSetDevice(0) == cudaSuccess);
    CHECK(cudaSetDevice(0) == cudaSuccess);
    standin_rank(-1);
    CHECK(standin_calls("cudaSetDevice") == 5);
    script(nullptr);
    (void)cudaGetLastError();
}

TEST_CASE("streams do their work in order") {
    cudaStream_t stream = nullptr;
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    CHECK(cudaStreamQuery(stream) == cudaSuccess);
    Gate gate;
    const Buffer<int> data(std::vector<int>{1, 2, 3});
    REQUIRE(cudaLaunchHostFunc(stream, Gate::wait, &gate) == cudaSuccess);
    CHECK(cudaMemsetAsync(data.get(), 0, 8, stream) == cudaSuccess);
    CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
    CHECK(data.values() == std::vector<int>{1, 2, 3}); // by the null stream, which does not wait for this one
    gate.open = true;
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(data.values() == std::vector<int>{0, 0, 3});
    CHECK(cudaStreamDestroy(stream) == cudaSuccess);
    CHECK(cudaStreamQuery(stream) == cudaErrorInvalidResourceHandle);
    (void)cudaGetLastError();
}

TEST_CASE("the null stream waits for blocking ones") {
    cudaStream_t stream = nullptr;
    REQUIRE(cudaStreamCreate(&stream) == cudaSuccess);
    Gate gate;
    const Buffer<int> data(std::vector<int>{7});
    REQUIRE(cudaLaunchHostFunc(stream, Gate::wait, &gate) == cudaSuccess);
    CHECK(cudaMemsetAsync(data.get(), 0, 4, nullptr) == cudaSuccess);
    CHECK(cudaStreamQuery(nullptr) == cudaErrorNotReady);
    gate.open = true;
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    CHECK(data.values() == std::vector<int>{0});
    CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}

TEST_CASE("events carry order from one stream to another") {
    cudaStream_t streams[2] = {};
    cudaEvent_t events[2] = {};
    for (auto& stream : streams) REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    for (auto& event : events) REQUIRE(cudaEventCreate(&event) == cudaSuccess);
    Gate gate;
    CHECK(cudaEventQuery(events[0]) == cudaSuccess); // never recorded
    REQUIRE(cudaEventRecord(events[0], streams[0]) == cudaSuccess);
    REQUIRE(cudaLaunchHostFunc(streams[0], Gate::wait, &gate) == cudaSuccess);
    REQUIRE(cudaEventRecord(events[1], streams[0]) == cudaSuccess);
    REQUIRE(cudaStreamWaitEvent(streams[1], events[1], 0) == cudaSuccess);
    const Buffer<int> data(std::vector<int>{7});
    CHECK(cudaMemsetAsync(data.get(), 0, 4, streams[1]) == cudaSuccess);
    CHECK(cudaEventQuery(events[1]) == cudaErrorNotReady);
    CHECK(cudaStreamQuery(streams[1]) == cudaErrorNotReady);
    CHECK(cudaEventSynchronize(events[0]) == cudaSuccess);
    std::this_thread::sleep_for(5ms);
    gate.open = true;
    CHECK(cudaEventSynchronize(events[1]) == cudaSuccess);
    CHECK(cudaStreamSynchronize(streams[1]) == cudaSuccess);
    float ms = 0;
    CHECK(cudaEventElapsedTime(&ms, events[0], events[1]) == cudaSuccess);
    CHECK(ms >= 4);
    for (auto* event : events) CHECK(cudaEventDestroy(event) == cudaSuccess);
    for (auto* stream : streams) CHECK(cudaStreamDestroy(stream) == cudaSuccess);
    cudaEvent_t untimed = nullptr;
    REQUIRE(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming) == cudaSuccess);
    CHECK(cudaEventElapsedTime(&ms, untimed, untimed) == cudaErrorInvalidResourceHandle);
    CHECK(cudaEventDestroy(untimed) == cudaSuccess);
    (void)cudaGetLastError();
}

TEST_CASE("memory is known by its range") {
    void* device = nullptr;
    void* host = nullptr;
    REQUIRE(cudaMalloc(&device, 16) == cudaSuccess);
    REQUIRE(cudaMallocHost(&host, 16) == cudaSuccess);
    cudaPointerAttributes attributes{};
    CHECK(cudaPointerGetAttributes(&attributes, static_cast<char*>(device) + 15) == cudaSuccess);
    CHECK(attributes.type == cudaMemoryTypeDevice);
    CHECK(cudaPointerGetAttributes(&attributes, host) == cudaSuccess);
    CHECK(attributes.type == cudaMemoryTypeHost);
    CHECK(cudaPointerGetAttributes(&attributes, &attributes) == cudaSuccess);
    CHECK(attributes.type == cudaMemoryTypeUnregistered);
    int plain[8] = {1, 2, 3, 4};
    CHECK(cudaMemcpy(device, plain, 16, cudaMemcpyHostToDevice) == cudaSuccess);
    CHECK(cudaMemcpy(device, plain, 17, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    CHECK(cudaMemcpy(plain, plain + 4, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
    CHECK(cudaMemset(plain, 0, 4) == cudaErrorInvalidValue);
    CHECK(cudaMemcpyAsync(host, device, 16, cudaMemcpyDefault, nullptr) == cudaSuccess);
    CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess);
    CHECK(static_cast<int*>(host)[3] == 4);
    CHECK(cudaFree(host) == cudaErrorInvalidValue);
    CHECK(cudaFree(device) == cudaSuccess);
    CHECK(cudaFree(device) == cudaErrorInvalidValue);
    CHECK(cudaFree(nullptr) == cudaSuccess);
    CHECK(cudaFreeHost(host) == cudaSuccess);
    (void)cudaGetLastError();
}
