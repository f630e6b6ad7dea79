// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <type_traits>

namespace muster::inline v0_1 {

/// Satisfied by the element types that a communicator of host memory moves and reduces: every integer type of at most
/// 64 bits, float and double. `char` is the 8-bit integer that it is on the platform.
///
/// Not elements: bool (a sum of truths is no truth: use std::uint8_t), the character types of one encoding (wchar_t,
/// char8_t, char16_t, char32_t: they have no arithmetic of their own) and long double (its size and padding differ
/// between machines).
template <class T>
concept HostElement = std::same_as<T, float> || std::same_as<T, double> ||
    (std::integral<T> && sizeof(T) <= 8 && std::same_as<T, std::remove_cv_t<T>> && !std::same_as<T, bool> &&
     !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> && !std::same_as<T, char16_t> &&
     !std::same_as<T, char32_t>);

/// The stream of a backend that computes where it is called: nothing to choose. It stands where other backends take
/// a stream, so that one source fits both.
struct HostStream {};

} // namespace muster::inline v0_1
