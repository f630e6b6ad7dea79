// SPDX-License-Identifier: Apache-2.0
// What training needs, on GPU memory.
#include <muster/muster.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <deque>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../support/nccl_ranks.hpp"

using muster::NcclCommunicator;
using support::DeviceArray;
using support::with_nccl;

namespace {

void check(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error(what);
}

} // namespace

TEST_CASE("a list of buffers is one group of NCCL", "[nccl]") {
    const support::Script script;
    with_nccl(3, [](NcclCommunicator& group) {
        std::deque<DeviceArray<float>> gradients;
        for (const float value : {1.0F, 2.0F, 3.0F}) gradients.emplace_back(std::vector(4, value));
        muster::all_reduce_coalesced(group, gradients, muster::sum);
        muster::all_reduce_coalesced(group, gradients, muster::premul_sum(1.0F / 3));
        group.wait();
        check(gradients[0].to_host() == std::vector(4, 3.0F), "first");
        check(gradients[2].to_host() == std::vector(4, 9.0F), "last");
        std::vector<std::span<int>> none;
        muster::all_reduce_coalesced(group, none, muster::sum);
    });
    CHECK(standin_calls("ncclAllReduce") == 3 * 6);
    CHECK(standin_calls("ncclGroupStart") == 3 * 3);
    CHECK(standin_calls("ncclGroupEnd") == 3 * 3);
}

TEST_CASE("a list of buffers in a group of one", "[nccl]") {
    const support::Script script;
    with_nccl(1, [](NcclCommunicator& group) {
        std::deque<DeviceArray<float>> gradients;
        gradients.emplace_back(std::vector{1.0F});
        muster::all_reduce_coalesced(group, gradients, muster::avg);
        muster::all_reduce_coalesced(group, gradients, muster::premul_sum(2.0F));
        group.wait();
        check(gradients[0].to_host() == std::vector{2.0F}, "factor");
    });
}

TEST_CASE("bytes come to the host when the stream has come to them", "[nccl]") {
    const support::Script script;
    with_nccl(2, [](NcclCommunicator& group) {
        DeviceArray<int> data(std::vector{1, 2});
        group.all_reduce(data, muster::sum);
        const auto bytes = muster::host_bytes(group, data);
        const std::vector expected{2, 4};
        check(std::ranges::equal(bytes, std::as_bytes(std::span(expected))), "bytes");
        check(muster::exchange_values(group, 7 + group.rank()) == std::vector{7, 8}, "values");
    });
}

TEST_CASE("what one group hangs in holds no other up", "[nccl]") {
    const support::Script script;
    with_nccl(2, [](NcclCommunicator& group) {
        NcclCommunicator other = group.split(0, group.rank(), {10, 11}, "other");
        const DeviceArray<int> data(std::vector{1, 2});
        const DeviceArray<int> hung(1U);
        cudaStream_t stream = nullptr; // for which the default stream waits
        support::check(cudaStreamCreate(&stream));
        if (group.rank() == 0) other.all_reduce(hung, muster::sum, stream); // the other rank never does
        check(muster::host_bytes(group, data).size() == 8, "bytes");
        check(muster::exchange_values(group, group.rank()) == std::vector{0, 1}, "values");
        muster::require_replicated(group, data, "data");
        check(group.split(0, group.rank()).size() == 2, "split");
        check(other.is_open(), "ended");
        other.abort();
        support::check(cudaStreamDestroy(stream));
    });
}

TEST_CASE("replicas and shards in GPU memory are told apart", "[nccl]") {
    const support::Script script;
    with_nccl(3, [](NcclCommunicator& group) {
        const DeviceArray<float> same(std::vector{1.0F, 2.0F});
        const DeviceArray<float> own(std::vector{1.0F, static_cast<float>(group.rank())});
        const DeviceArray<float> shared(std::vector{static_cast<float>(group.rank() / 2)});
        muster::require_replicated(group, same, "same");
        muster::require_sharded(group, own, "own");
        const auto differs = support::error_of([&] { muster::require_replicated(group, shared, "shared"); });
        check(differs.ranks() == std::vector{12}, differs.what());
        const auto doubled = support::error_of([&] { muster::require_sharded(group, shared, "shared"); });
        check(doubled.ranks() == std::vector{10, 11}, doubled.what());
        group.barrier();
    });
    with_nccl(1, [](NcclCommunicator& group) {
        const DeviceArray<float> data(std::vector{1.0F});
        muster::require_replicated(group, data, "data");
        muster::require_sharded(group, data, "data");
    });
}
