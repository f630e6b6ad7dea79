// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/environment.hpp>

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace muster::inline v0_1::detail {

/// The variable as a whole decimal number in [low, high]; nothing when it is unset. No sign, blank or suffix is
/// accepted: a launcher that writes one is misunderstood rather than half-understood.
/// Throws: Error(errc::invalid_launch) that names the variable and its value.
[[nodiscard]] inline std::optional<int> parse_int(const Environment& environment, std::string_view name, int low,
                                                  int high) {
    const auto text = environment.get(name);
    if (!text) return std::nullopt;
    int value = 0;
    const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), value);
    const bool number = end == text->data() + text->size() && failure != std::errc::invalid_argument;
    if (number && failure == std::errc() && value >= low && value <= high && text->front() != '-') return value;
    throw Error(errc::invalid_launch, Stage::launch,
                format("{}={} is {}\n  wanted: a whole number from {} to {}",
                       {name, *text, number ? "out of range" : "not a whole number", low, high}));
}

} // namespace muster::inline v0_1::detail
