// SPDX-License-Identifier: Apache-2.0
// Groups as other frameworks make them: the vectors of mesh.json, each as a topology that the type fixes, shown by the
// compiler, and as one whose extents come at run time.
#include <muster/topology/topology.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstddef>
#include <string>

#include "mesh_vectors.hpp"

namespace {

constexpr bool equal(const auto& groups, const auto& expected) {
    return std::ranges::equal(groups, expected,
                              [](const auto& left, const auto& right) { return std::ranges::equal(left, right); });
}

template <class Case>
constexpr bool every_rank_finds_its_group(const auto& topology) {
    for (const auto& group : Case::groups) {
        for (const int rank : group) {
            if (!std::ranges::equal(Case::group_of(topology, rank), group)) return false;
        }
    }
    return true;
}

template <class Case>
struct Proof {
    static constexpr typename Case::Static topology{};
    static_assert(Case::Static::static_size() == Case::world_size);
    static_assert(topology.extents() == Case::extents);
    static_assert(equal(Case::groups_of(topology), Case::groups));
    static_assert(every_rank_finds_its_group<Case>(topology));
    static constexpr bool done = true;
};

template <class... Cases>
constexpr std::size_t prove(golden::List<Cases...>) {
    static_assert((Proof<Cases>::done && ...));
    return sizeof...(Cases);
}

template <class Case>
void check() {
    INFO(std::string(Case::name));
    const auto topology = Case::Dynamic::for_world(Case::world_size, Case::extents);
    CHECK(equal(Case::groups_of(topology), Case::groups));
    CHECK(every_rank_finds_its_group<Case>(topology));
    CHECK(topology == typename Case::Static{});
}

template <class... Cases>
void check_all(golden::List<Cases...>) {
    (check<Cases>(), ...);
}

} // namespace

// The number of groups in mesh.json: a generator that loses some is seen.
static_assert(prove(golden::AllCases{}) == 33);

TEST_CASE("groups are those of torch's DeviceMesh and of Megatron") { check_all(golden::AllCases{}); }
