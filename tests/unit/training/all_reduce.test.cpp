// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo.hpp>
#include <muster/training/all_reduce.hpp>

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <deque>
#include <list>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../support/gloo_ranks.hpp"

using muster::GlooCommunicator;
using muster::MutableBuffers;
using namespace std::chrono_literals;

static_assert(MutableBuffers<std::vector<std::span<float>>&> && MutableBuffers<std::deque<std::vector<int>>&>);
static_assert(MutableBuffers<std::vector<std::span<float>>> && MutableBuffers<const std::vector<std::span<int>>&>);
static_assert(!MutableBuffers<const std::vector<std::vector<float>>&> && !MutableBuffers<std::vector<float>&>);
static_assert(!MutableBuffers<std::vector<std::span<const float>>&>);

namespace {

void check(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error(what);
}

} // namespace

TEST_CASE("every buffer of a list is reduced in place") {
    support::with_gloo(3, [](GlooCommunicator& group) {
        const auto own = static_cast<float>(group.rank());
        std::list<std::vector<float>> gradients{{own}, {}, {own, 10 * own, 1}};
        muster::all_reduce_coalesced(group, gradients, muster::sum);
        check(gradients == std::list<std::vector<float>>{{3}, {}, {3, 30, 3}}, "sum");

        std::vector<float> flat{own, 2 * own, 3 * own, 4 * own};
        const std::vector views{std::span(flat).first(1), std::span(flat).subspan(1, 2)};
        muster::all_reduce_coalesced(group, views, muster::avg);
        check(flat == std::vector{1.0F, 2.0F, 3.0F, 4 * own}, "avg");

        std::vector<std::vector<float>> none;
        muster::all_reduce_coalesced(group, none, muster::sum);
        group.barrier();
    });
}

TEST_CASE("a group of one leaves the buffers as they are") {
    support::with_gloo(1, [](GlooCommunicator& group) {
        std::vector<std::vector<double>> gradients{{1.5}, {2.5, 3.5}};
        muster::all_reduce_coalesced(group, gradients, muster::premul_sum(2.0));
        check(gradients == std::vector<std::vector<double>>{{3}, {5, 7}}, "factor");
        muster::all_reduce_coalesced(group, gradients, muster::avg);
        check(gradients == std::vector<std::vector<double>>{{3}, {5, 7}}, "avg");
    });
}

TEST_CASE("lists that differ between ranks end in an error, not in other numbers") {
    muster::GlooOptions options;
    options.timeout = 300ms;
    CHECK_THROWS_AS(support::with_gloo(
                        2,
                        [](GlooCommunicator& group) {
                            std::vector<std::vector<float>> gradients(2, std::vector<float>(4, 1.0F));
                            if (group.rank() == 1) gradients.pop_back();
                            muster::all_reduce_coalesced(group, gradients, muster::sum);
                        },
                        options),
                    muster::Error);
}
