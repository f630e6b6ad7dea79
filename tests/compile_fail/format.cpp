// SPDX-License-Identifier: Apache-2.0
// CASE TOO_FEW: as_many_values_as_places_are_needed
// CASE TOO_MANY: as_many_values_as_places_are_needed
// CASE PLACE_WITH_A_FORMAT: a_place_is_two_braces
// CASE BRACE_ALONE: a_place_is_two_braces
// CASE BOOLEAN: deleted
// CASE FLOATING_POINT: Value
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>

#include <string>

using muster::detail::format;
using muster::detail::hex;

#ifdef TOO_FEW
inline std::string few(int rank) { return format("rank {} of {}", {rank}); }
#else
inline std::string few(int rank) { return format("rank {} of {}", {rank, 8}); }
#endif

#ifdef TOO_MANY
inline std::string many(int rank) { return format("rank {}", {rank, 8}); }
#else
inline std::string many(int rank) { return format("rank {}", {rank}); }
#endif

#ifdef PLACE_WITH_A_FORMAT
inline std::string place(unsigned byte) { return format("byte {:02x}", {byte}); }
#else
inline std::string place(unsigned byte) { return format("byte {}", {hex(byte, 2)}); }
#endif

#ifdef BRACE_ALONE
inline std::string brace(int rank) { return format("{ rank {}", {rank}); }
#else
inline std::string brace(int rank) { return format("{{ rank {}", {rank}); }
#endif

#ifdef BOOLEAN
inline std::string flag(bool set) { return format("set: {}", {set}); }
#else
inline std::string flag(bool set) { return format("set: {}", {set ? 1 : 0}); }
#endif

#ifdef FLOATING_POINT
inline std::string seconds(double waited) { return format("{} s", {waited}); }
#else
inline std::string seconds(double waited) { return format("{} s", {static_cast<long>(waited)}); }
#endif

inline std::string all() { return few(1) + many(1) + place(1) + brace(1) + flag(true) + seconds(1.5); }
