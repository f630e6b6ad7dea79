// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/topology/axis.hpp>
#include <muster/topology/row_major.hpp>

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Texts and errors about extents, ranks and coordinates. None of the functions that throw is constexpr, so that a
// mistake in a constant expression is a compile error which shows the function's name.
namespace muster::inline v0_1::detail {

/// What the type of a topology says of its axes, in axis order.
struct AxisFacts {
    std::span<const std::string_view> names;
    std::span<const int> static_extents; ///< `dynamic` where the type leaves it open
};

inline std::string upper(std::string_view name) {
    std::string text(name);
    for (char& c : text) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return text;
}

/// "dp=2 tp=2 cp=1"
inline std::string signature_text(std::span<const std::string_view> names, std::span<const int> extents) {
    std::string text;
    for (std::size_t axis = 0; axis < names.size(); ++axis) {
        if (axis > 0) text += ' ';
        text += std::string(names[axis]) + '=' + std::to_string(extents[axis]);
    }
    return text;
}

/// "DP (2) * TP (2) * CP (1) = 4", without the axis at `except`
inline std::string factors_text(std::span<const std::string_view> names, std::span<const int> extents,
                                std::size_t except = no_axis) {
    std::string text;
    int factors = 0;
    for (std::size_t axis = 0; axis < names.size(); ++axis) {
        if (axis == except) continue;
        if (factors++ > 0) text += " * ";
        text += upper(names[axis]) + " (" + std::to_string(extents[axis]) + ')';
    }
    if (factors < 2) return text;
    const long long result = product(extents, except);
    const bool beyond = result == std::numeric_limits<long long>::max();
    return text + " = " + (beyond ? "more than " : "") + std::to_string(result);
}

inline std::string count_of_ranks(long long count) { return std::to_string(count) + (count == 1 ? " rank" : " ranks"); }

/// `origin` as lines of details: "" or "\n  line\n  line".
inline std::string detail_lines(std::string_view origin) {
    if (origin.empty()) return {};
    std::string text = "\n  ";
    for (const char c : origin) {
        text += c;
        if (c == '\n') text += "  ";
    }
    return text;
}

/// "DP=3 with 6 ranks, or 4 ranks": what would fit a world of `world_size` by changing the one axis at `axis`, and
/// the world size that the extents ask for.
inline std::string nearest_fits(int world_size, const AxisFacts& axes, std::span<const int> extents, std::size_t axis) {
    std::vector<std::string> fits;
    const long long others = product(extents, axis);
    const auto offer = [&](long long extent) {
        // The extent that it already has is the world size named last.
        if (extent < 1 || extent == extents[axis] || !fits_int(others) || !fits_int(extent * others)) return;
        fits.push_back(upper(axes.names[axis]) + '=' + std::to_string(extent) + " with " +
                       count_of_ranks(extent * others));
    };
    offer(world_size / others);
    if (world_size % others != 0) offer(world_size / others + 1);
    if (extents[axis] != dynamic && fits_int(product(extents))) {
        fits.push_back(count_of_ranks(product(extents)));
    }

    if (fits.empty()) return "none, for a world has at most " + count_of_ranks(std::numeric_limits<int>::max());
    std::string text = fits.front();
    for (std::size_t i = 1; i < fits.size(); ++i) text += (i + 1 == fits.size() ? ", or " : ", ") + fits[i];
    return text;
}

/// The axis whose change is offered to somebody whose world does not fit: one that fits exactly if there is such a
/// one, and never one that the type fixes when another is open.
inline std::size_t axis_to_change(int world_size, const AxisFacts& axes, std::span<const int> extents) {
    bool any_open = false;
    for (const int extent : axes.static_extents) any_open = any_open || extent == dynamic;
    std::size_t first = no_axis;
    for (std::size_t axis = 0; axis < extents.size(); ++axis) {
        if (any_open && axes.static_extents[axis] != dynamic) continue;
        if (first == no_axis) first = axis;
        if (world_size % product(extents, axis) == 0) return axis;
    }
    return first;
}

/// Why `world_size` does not fit `extents`, of which at most one is `dynamic`: then it could not be inferred.
/// `origin`: lines that say where the numbers came from; they follow the first line.
inline std::string mismatch_text(int world_size, const AxisFacts& axes, std::span<const int> extents,
                                 std::string_view origin = {}) {
    std::size_t inferred = no_axis;
    for (std::size_t axis = 0; axis < extents.size(); ++axis) {
        if (extents[axis] == dynamic) inferred = axis;
    }
    std::string text = "world size " + std::to_string(world_size);
    if (inferred == no_axis) {
        text += " does not equal " + factors_text(axes.names, extents);
        inferred = axis_to_change(world_size, axes, extents);
    } else {
        text += " is not divisible by " + factors_text(axes.names, extents, inferred) + ", so " +
                upper(axes.names[inferred]) + " cannot be inferred";
    }
    return text + detail_lines(origin) + "\n  nearest that fit: " + nearest_fits(world_size, axes, extents, inferred);
}

[[noreturn]] inline void world_size_does_not_fit(int world_size, const AxisFacts& axes, std::span<const int> extents,
                                                 std::string_view origin) {
    throw Error(errc::world_mismatch, Stage::topology, mismatch_text(world_size, axes, extents, origin));
}

[[noreturn]] inline void world_size_is_less_than_one(int world_size, std::string_view origin) {
    throw Error(errc::invalid_argument, Stage::topology,
                "world size " + std::to_string(world_size) + " is no number of ranks: it must be at least 1" +
                    detail_lines(origin));
}

[[noreturn]] inline void extent_is_less_than_one(std::string_view name, int extent, std::string_view origin) {
    throw Error(errc::invalid_argument, Stage::topology,
                upper(name) + " is " + std::to_string(extent) +
                    ", but an extent must be at least 1 (1 when the axis is not used)" + detail_lines(origin));
}

[[noreturn]] inline void only_one_extent_can_be_inferred(int world_size, std::string_view first,
                                                         std::string_view second, std::string_view origin) {
    throw Error(errc::invalid_argument, Stage::topology,
                upper(first) + " and " + upper(second) + " cannot both be inferred from world size " +
                    std::to_string(world_size) + ": give all extents but one" + detail_lines(origin));
}

[[noreturn]] inline void rank_is_outside_the_topology(int rank, const AxisFacts& axes, std::span<const int> extents) {
    throw Error(errc::invalid_argument, Stage::topology,
                "rank " + std::to_string(rank) + " is outside the topology " + signature_text(axes.names, extents) +
                    ", whose ranks are 0 to " + std::to_string(product(extents) - 1));
}

[[noreturn]] inline void coordinate_is_outside_the_topology(const AxisFacts& axes, std::span<const int> extents,
                                                            std::size_t axis, int value) {
    throw Error(errc::invalid_argument, Stage::topology,
                "the " + upper(axes.names[axis]) + " coordinate " + std::to_string(value) +
                    " is outside the topology " + signature_text(axes.names, extents) + ", where it is 0 to " +
                    std::to_string(extents[axis] - 1));
}

/// "8 or 12": the positive multiples of `parts` on both sides of `total`, as far as there are such up to `most`.
template <class Number>
std::string nearest_multiples(Number total, Number parts, Number most) {
    if (total < parts) return std::to_string(parts);
    const Number below = total - total % parts;
    return std::to_string(below) + (below > most - parts ? "" : " or " + std::to_string(below + parts));
}

/// `what` names what was to be shared out, and may be empty; `most` is the greatest number that its type holds.
template <class Number>
[[noreturn]] void number_is_not_divisible(std::string_view what, Number number, Number most, std::string_view axis,
                                          Number extent) {
    const std::string share = upper(axis) + " (" + std::to_string(extent) + ')';
    const std::string text =
        number < 1 ? std::string(what.empty() ? "the number" : what) + " is " + std::to_string(number) + ", but " +
                         share + " ranks share it: it must be at least " + std::to_string(extent)
                   : std::string(what) + (what.empty() ? "" : " ") + std::to_string(number) + " is not divisible by " +
                         share + "\n  nearest that fit: " + nearest_multiples(number, extent, most);
    throw Error(errc::invalid_argument, Stage::topology, text);
}

[[noreturn]] inline void extent_differs_from_the_type(const AxisFacts& axes, std::span<const int> extents,
                                                      std::size_t axis) {
    throw Error(errc::invalid_argument, Stage::topology,
                "the topology " + signature_text(axes.names, extents) + " cannot be converted: its " +
                    upper(axes.names[axis]) + " is " + std::to_string(extents[axis]) + ", the new type fixes " +
                    upper(axes.names[axis]) + " to " + std::to_string(axes.static_extents[axis]));
}

} // namespace muster::inline v0_1::detail
