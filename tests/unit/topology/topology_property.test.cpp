// SPDX-License-Identifier: Apache-2.0
#include <muster/topology/topology.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <random>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

// What must hold of any topology, checked against definitions that are too slow for the library: a rank's group is
// found by looking at every rank of the world.

namespace {

template <char Letter>
struct Named {
    static constexpr char text[]{Letter, '\0'};
    static constexpr std::string_view name{text, 1};
};

template <class... Tags>
struct TagList {};

// The tags whose bit is set in Mask.
template <unsigned Mask, class Chosen = TagList<>, class Left = TagList<>>
struct Subset;

template <unsigned Mask, class... Chosen>
struct Subset<Mask, TagList<Chosen...>, TagList<>> {
    using type = TagList<Chosen...>;
};

template <unsigned Mask, class... Chosen, class First, class... Rest>
struct Subset<Mask, TagList<Chosen...>, TagList<First, Rest...>>
    : Subset<(Mask >> 1), std::conditional_t<(Mask & 1u) != 0, TagList<Chosen..., First>, TagList<Chosen...>>,
             TagList<Rest...>> {};

template <std::size_t N>
std::array<int, N> expected_coordinate(int rank, const std::array<int, N>& extents) {
    std::array<int, N> coordinate{};
    for (std::size_t axis = 0; axis < N; ++axis) {
        int stride = 1;
        for (std::size_t inner = axis + 1; inner < N; ++inner) stride *= extents[inner];
        coordinate[axis] = rank / stride % extents[axis];
    }
    return coordinate;
}

template <unsigned Mask, class T, class... Tags>
void check_groups(const T& t, TagList<Tags...>) {
    constexpr auto n = static_cast<std::size_t>(T::ndim());
    const auto together = [&](int a, int b) {
        const auto left = expected_coordinate(a, t.extents());
        const auto right = expected_coordinate(b, t.extents());
        for (std::size_t axis = 0; axis < n; ++axis) {
            if ((Mask >> axis & 1u) == 0 && left[axis] != right[axis]) return false;
        }
        return true;
    };

    const auto groups = t.template groups<Tags...>();
    std::vector<int> times(static_cast<std::size_t>(t.size()));
    bool ascending = true, same_groups = true, all_members = true;
    for (const auto& group : groups) {
        ascending = ascending && std::adjacent_find(group.begin(), group.end(), std::greater_equal{}) == group.end();
        for (const int rank : group) {
            ++times.at(static_cast<std::size_t>(rank));
            same_groups = same_groups && t.template group<Tags...>(rank) == group;
        }
        std::vector<int> expected;
        for (int rank = 0; rank < t.size(); ++rank) {
            if (together(group.front(), rank)) expected.push_back(rank);
        }
        all_members = all_members && group == expected;
    }
    CHECK(ascending);
    CHECK(same_groups);
    CHECK(all_members);
    CHECK(std::ranges::all_of(times, [](int count) { return count == 1; }));
    CHECK(std::ranges::is_sorted(groups, {}, [](const auto& group) { return group.front(); }));
}

// One topology with each set of its axes, the empty set aside.
template <class... Tags, std::size_t... Masks>
void check_all(int world_size, const std::array<int, sizeof...(Tags)>& extents, std::index_sequence<Masks...>) {
    const auto t = muster::Topology<muster::Axis<Tags>...>::for_world(world_size, extents);
    INFO(t.signature());
    CHECK(t.size() == world_size);
    bool inverse = true;
    for (int rank = 0; rank < world_size; ++rank) {
        inverse = inverse && t.coordinate(rank) == expected_coordinate(rank, extents) &&
                  t.rank_of(t.coordinate(rank)) == rank;
    }
    CHECK(inverse);
    (check_groups<Masks + 1>(t, typename Subset<Masks + 1, TagList<>, TagList<Tags...>>::type{}), ...);
}

template <class... Tags>
void check_random(unsigned seed, int topologies) {
    std::mt19937 random(seed);
    for (int i = 0; i < topologies; ++i) {
        std::array<int, sizeof...(Tags)> extents{};
        int world_size = 1;
        for (int& extent : extents) {
            // Ones are common in practice, and the world stays small enough for the slow definitions.
            extent = std::min(std::uniform_int_distribution(1, 5)(random), std::max(1, 128 / world_size));
            world_size *= extent;
        }
        std::ranges::shuffle(extents, random);
        check_all<Tags...>(world_size, extents, std::make_index_sequence<(1u << sizeof...(Tags)) - 1>{});
    }
}

} // namespace

TEST_CASE("any topology: groups partition the world, coordinates invert ranks") {
    check_random<Named<'a'>>(1, 5);
    check_random<Named<'a'>, Named<'b'>>(2, 20);
    check_random<Named<'a'>, Named<'b'>, Named<'c'>>(3, 20);
    check_random<Named<'a'>, Named<'b'>, Named<'c'>, Named<'d'>>(4, 20);
    check_random<Named<'a'>, Named<'b'>, Named<'c'>, Named<'d'>, Named<'e'>>(5, 10);
}

TEST_CASE("eight axes") {
    using T = muster::Topology<muster::Axis<Named<'a'>, 2>, muster::Axis<Named<'b'>>, muster::Axis<Named<'c'>, 2>,
                               muster::Axis<Named<'d'>>, muster::Axis<Named<'e'>, 1>, muster::Axis<Named<'f'>>,
                               muster::Axis<Named<'g'>, 2>, muster::Axis<Named<'h'>>>;
    const auto t = T::for_world(576, 3, 1, muster::dynamic, 4);
    CHECK(t.extents() == std::array{2, 3, 2, 1, 1, 6, 2, 4});
    check_groups<0b1010'0010u>(t, TagList<Named<'h'>, Named<'b'>, Named<'f'>>{});
    check_groups<0b0101'0101u>(t, TagList<Named<'a'>, Named<'c'>, Named<'e'>, Named<'g'>>{});
}

TEST_CASE("worlds of the sizes that are run") {
    // nodes, GPUs of a node, TP, PP, CP
    constexpr std::array<std::array<int, 5>, 6> runs{
        {{1, 1, 1, 1, 1}, {1, 8, 8, 1, 1}, {2, 8, 4, 2, 2}, {64, 8, 4, 2, 8}, {128, 8, 8, 16, 1}, {1344, 8, 4, 8, 1}}};
    for (const auto& [nodes, gpus, tp, pp, cp] : runs) {
        using T = muster::Topology<muster::Axis<muster::Pp>, muster::Axis<muster::Dp>, muster::Axis<muster::Cp>,
                                   muster::Axis<muster::Tp>>;
        const auto t = T::for_world(nodes * gpus, pp, muster::dynamic, cp, tp);
        INFO(t.signature());
        CHECK(t.extent<muster::Dp>() == nodes * gpus / (tp * pp * cp));
        // Megatron's order keeps a tensor parallel group together.
        bool together = true;
        for (int rank = 0; rank < t.size(); ++rank) {
            const std::vector<int> group = t.group<muster::Tp>(rank);
            together = together && group.front() == rank / tp * tp && group.back() - group.front() == tp - 1;
        }
        CHECK(together);
        const auto groups = t.groups<muster::Dp, muster::Cp>();
        CHECK(static_cast<int>(groups.size()) == tp * pp);
        CHECK(static_cast<int>(groups.front().size()) == t.size() / (tp * pp));
    }
}
