// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <limits>
#include <string_view>
#include <type_traits>

namespace muster::inline v0_1 {

/// An extent known at run time. No small negative number, so that Axis<Tp, -1> stays the mistake that it is.
inline constexpr int dynamic = std::numeric_limits<int>::min();

namespace detail {
// Names stand between '=' and ' ' in signatures, which ranks compare: no character may blur that.
consteval bool is_axis_name(std::string_view name) {
    for (const char c : name) {
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return false;
    }
    return !name.empty();
}
} // namespace detail

/// Satisfied by a type that identifies an axis: it has a static constexpr `name` of lower case letters, digits and
/// underscores. Any program may add its own: `struct Rows { static constexpr std::string_view name = "rows"; };`
template <class Tag>
concept AxisTag = requires {
    { Tag::name } -> std::convertible_to<std::string_view>;
    typename std::bool_constant<detail::is_axis_name(Tag::name)>;
}
&&detail::is_axis_name(Tag::name);

/// Tensor parallel.
struct Tp {
    static constexpr std::string_view name = "tp";
};

/// Data parallel.
struct Dp {
    static constexpr std::string_view name = "dp";
};

/// Context parallel.
struct Cp {
    static constexpr std::string_view name = "cp";
};

/// Pipeline parallel.
struct Pp {
    static constexpr std::string_view name = "pp";
};

/// Expert parallel.
struct Ep {
    static constexpr std::string_view name = "ep";
};

/// One axis of a Topology: what it is for, and how many ranks lie along it (`dynamic`: known at run time).
template <AxisTag Tag, int Extent = dynamic>
struct Axis {
    static_assert(Extent >= 1 || Extent == dynamic,
                  "muster: the extent of an axis must be at least 1; for an extent known at run time write Axis<Tag>");

    using tag = Tag;                      ///< what it is for
    static constexpr int extent = Extent; ///< number of ranks, or `dynamic`
};

namespace detail {
// What Topology reads of its arguments. For something that is no Axis the values are harmless, so that the
// compiler's first sentence about it is also its last.
template <class NotAnAxis>
struct AxisTraits {
    using tag = NotAnAxis;
    static constexpr bool is_axis = false;
    static constexpr int extent = 1;
    static constexpr std::string_view name = "?";
};

template <class Tag, int Extent>
struct AxisTraits<Axis<Tag, Extent>> {
    using tag = Tag;
    static constexpr bool is_axis = true;
    static constexpr int extent = Axis<Tag, Extent>::extent;
    static constexpr std::string_view name = Tag::name;
};
} // namespace detail

} // namespace muster::inline v0_1
