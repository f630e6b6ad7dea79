// SPDX-License-Identifier: Apache-2.0
#include <muster/nccl/memory.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "../../support/nccl_ranks.hpp"

using muster::NcclCommunicator;
using muster::NcclMemory;
using support::with_nccl;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<NcclMemory<float>>);
static_assert(std::is_nothrow_move_constructible_v<NcclMemory<float>>);
static_assert(muster::MutableBuffer<NcclMemory<float>&>);

namespace {

void check(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error(what);
}

} // namespace

TEST_CASE("NCCL's memory is a buffer, registered or not, and is freed", "[nccl]") {
    const support::Script script;
    with_nccl(2, [](NcclCommunicator& comm) {
        NcclMemory<int> memory(8);
        support::check(cudaMemset(memory.data(), 0, memory.size() * sizeof(int)));
        {
            auto registration = muster::register_buffer(comm, memory);
            check(registration.native_handle() != nullptr, "registration");
            const auto moved = std::move(registration);
            comm.all_reduce(memory, muster::sum);
            comm.wait();
        }
        NcclMemory<int> other = std::move(memory);
        check(memory.data() == nullptr && other.size() == 8, "move"); // NOLINT(bugprone-use-after-move)
        const NcclMemory<int> none(0);
        check(none.data() == nullptr, "nothing");
    });
    CHECK(standin_calls("ncclCommRegister") == 2);
    CHECK(standin_calls("ncclCommDeregister") == 2);
    CHECK(standin_calls("ncclMemAlloc") == 2);
    CHECK(standin_calls("ncclMemFree") == 2);
}

TEST_CASE("a registration ends with its communicator", "[nccl]") {
    const support::Script script;
    with_nccl(2, [](NcclCommunicator& comm) {
        NcclMemory<int> memory(8);
        NcclCommunicator other = comm.split(0, 0);
        const auto first = muster::register_buffer(other, memory);
        const auto second = muster::register_buffer(other, memory);
        other.close(muster::Deadline::after(10s));
    });
    CHECK(standin_calls("ncclCommDeregister") == 4);
}

TEST_CASE("a group of one has nothing to register", "[nccl]") {
    const support::Script script;
    with_nccl(1, [](NcclCommunicator& comm) {
        NcclMemory<int> memory(8);
        const auto registration = muster::register_buffer(comm, memory);
        check(registration.native_handle() == nullptr, "registration");
    });
}

#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
TEST_CASE("windows are made by all ranks", "[nccl]") {
    const support::Script script;
    with_nccl(2, [](NcclCommunicator& comm) {
        NcclMemory<float> memory(1024);
        const auto window = muster::register_window(comm, memory);
        check(window.native_handle() != nullptr, "window");
        comm.all_reduce(memory, muster::sum);
        comm.wait();
    });
    CHECK(standin_calls("ncclCommWindowDeregister") == 2);
}
#endif
