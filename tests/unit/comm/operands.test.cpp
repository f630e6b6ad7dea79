// SPDX-License-Identifier: Apache-2.0
#include <muster/comm/operands.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

using namespace muster::detail;
using muster::errc;
using muster::Error;

namespace {

/// Rank 1 of three, which is rank 11 of the world.
struct Group {
    int rank = 1;
    [[nodiscard]] int size() const { return 3; }
    [[nodiscard]] int global_rank() const { return 11; }
};

/// The text of the Error that `fn` throws; an empty text when it throws none.
template <class Fn>
std::string refusal(Fn fn) {
    try {
        (void)fn();
        return {};
    } catch (const Error& error) {
        CHECK(error.code() == errc::invalid_argument);
        CHECK(error.stage() == muster::Stage::communicator);
        CHECK(error.rank() == 11);
        return std::string(error.text());
    }
}

template <class T, class U>
bool same(std::span<T> view, const std::vector<U>& data) {
    return view.data() == data.data() && view.size() == data.size();
}

struct Buffers {
    std::vector<int> two = std::vector<int>(2), three = std::vector<int>(3), six = std::vector<int>(6);
    std::span<int> all() { return six; }
    /// Rank 1's part of `six`.
    std::span<int> mine() { return all().subspan(2, 2); }
};

} // namespace

TEST_CASE("operands are the caller's memory") {
    Buffers b;
    const std::vector<int> in(2);
    const auto equal = equal_operands<int>("op", Group{}, in, b.two);
    CHECK((same(equal.in, in) && same(equal.out, b.two)));
    const auto gathered = gathering_operands<int>("op", Group{}, in, b.six);
    CHECK((same(gathered.in, in) && same(gathered.out, b.six)));
    const auto scattered = scattering_operands<int>("op", Group{}, b.six, b.two);
    CHECK((same(scattered.in, b.six) && same(scattered.out, b.two)));
    const std::vector<int> six(6);
    const auto exchanged = exchange_operands<int>("op", Group{}, six, b.six);
    CHECK((same(exchanged.in, six) && same(exchanged.out, b.six)));
}

TEST_CASE("sizes that do not fit are named") {
    Buffers b;
    CHECK(refusal([&] { return equal_operands<int>("op", Group{}, b.two, b.three); }) ==
          "op: out has 3 elements, expected 2, as many as in");
    CHECK(refusal([&] { return gathering_operands<int>("op", Group{}, b.two, b.three); }) ==
          "op: out has 3 elements, expected 6: 2 for each of the 3 ranks of the group");
    CHECK(refusal([&] { return scattering_operands<int>("op", Group{}, b.three, b.two); }) ==
          "op: in has 3 elements, expected 6: 2 for each of the 3 ranks of the group");
    CHECK(refusal([&] { return exchange_operands<int>("op", Group{}, b.three, b.six); }) ==
          "op: out has 6 elements, expected 3, as many as in");
    std::vector<int> other(2);
    CHECK(refusal([&] { return exchange_operands<int>("op", Group{}, b.two, other); }) ==
          "op: 2 elements cannot be divided among the 3 ranks of the group");
}

TEST_CASE("what a rank does not need is not looked at") {
    Buffers b;
    const auto equal = equal_operands<int>("op", Group{}, b.two, b.three, false);
    CHECK((same(equal.in, b.two) && equal.out.data() == nullptr));
    const auto gathered = gathering_operands<int>("op", Group{}, b.two, b.three, false);
    CHECK((same(gathered.in, b.two) && gathered.out.data() == nullptr));
    const auto scattered = scattering_operands<int>("op", Group{}, b.three, b.two, false);
    CHECK((scattered.in.data() == nullptr && same(scattered.out, b.two)));
    // Not even whether they overlap.
    auto mine = b.mine();
    auto overlapping = b.all().subspan(1, 2);
    CHECK(refusal([&] { return equal_operands<int>("op", Group{}, mine, overlapping, false); }).empty());
}

TEST_CASE("memory may be shared in the one place where the operation works in place") {
    Buffers b;
    auto mine = b.mine();
    auto others = b.all().first(2);
    CHECK(refusal([&] { return equal_operands<int>("op", Group{}, b.two, b.two); }).empty());
    CHECK(refusal([&] { return gathering_operands<int>("op", Group{}, mine, b.six); }).empty());
    CHECK(refusal([&] { return scattering_operands<int>("op", Group{}, b.six, mine); }).empty());
    auto shifted = b.all().subspan(1, 2);
    CHECK(refusal([&] { return equal_operands<int>("op", Group{}, shifted, mine); }) ==
          "op: in and out overlap; they must be the same memory or apart");
    CHECK(refusal([&] { return gathering_operands<int>("op", Group{}, others, b.six); }) ==
          "op: in and out overlap; in may only be this rank's part of out");
    CHECK(refusal([&] { return scattering_operands<int>("op", Group{}, b.six, others); }) ==
          "op: in and out overlap; out may only be this rank's part of in");
    CHECK(refusal([&] { return exchange_operands<int>("op", Group{}, b.six, b.six); }) ==
          "op: in and out overlap; they must be apart");
}

TEST_CASE("empty buffers are in order") {
    std::vector<int> in, out;
    CHECK(refusal([&] { return equal_operands<int>("op", Group{}, in, out); }).empty());
    CHECK(refusal([&] { return gathering_operands<int>("op", Group{}, in, out); }).empty());
    CHECK(refusal([&] { return scattering_operands<int>("op", Group{}, in, out); }).empty());
    CHECK(refusal([&] { return exchange_operands<int>("op", Group{}, in, out); }).empty());
}

TEST_CASE("roots and peers are ranks of the group, and a peer is another") {
    const auto root = [](int value) {
        return refusal([&] {
            check_root("op", Group{}, value);
            return 0;
        });
    };
    const auto peer = [](int value) {
        return refusal([&] {
            check_peer("op", Group{}, value);
            return 0;
        });
    };
    for (const int value : {0, 1, 2}) CHECK(root(value).empty());
    for (const int value : {0, 2}) CHECK(peer(value).empty());
    CHECK(root(3) == "op: root 3 is not a rank of the group, which has ranks 0 to 2");
    CHECK(root(-1) == "op: root -1 is not a rank of the group, which has ranks 0 to 2");
    CHECK(peer(3) == "op: peer 3 is not a rank of the group, which has ranks 0 to 2");
    CHECK(peer(1) == "op: peer 1 is this rank itself");
}
