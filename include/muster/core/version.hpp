// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

/// Turns launched processes into a device mesh: DeviceMesh is the type to begin with, Options what can be set of it.
namespace muster::inline v0_1 {

/// Version of this library; compared between ranks by the roll call.
inline constexpr int version_major = 0;
inline constexpr int version_minor = 1;
inline constexpr int version_patch = 0;
inline constexpr std::string_view version = "0.1.0";

/// Version of what ranks say to each other in the roll call. Ranks of different protocols refuse each other by name.
inline constexpr int protocol_version = 1;

} // namespace muster::inline v0_1
