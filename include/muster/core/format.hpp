// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>

// Every call of fmt::format with other types is compiled anew, in every file that includes the library: hundreds here.
// These texts hold only strings and whole numbers.
namespace muster::inline v0_1::detail {

/// A string or a whole number, to stand in a text. It refers to the string.
class Value {
    using Arg = fmt::basic_format_arg<fmt::format_context>;

    template <class T>
    static Arg of(const T& value) {
        return fmt::format_args(fmt::make_format_args(value)).get(0);
    }

public:
    // NOLINTBEGIN(google-explicit-constructor)
    Value(std::string_view text) : arg_(of(text)) {}
    Value(const std::string& text) : Value(std::string_view(text)) {}
    Value(const char* text) : Value(std::string_view(text)) {}
    Value(char letter) : arg_(of(letter)) {}
    Value(bool) = delete;
    Value(int number) : Value(static_cast<long long>(number)) {}
    Value(long number) : Value(static_cast<long long>(number)) {}
    Value(long long number) : arg_(of(number)) {}
    Value(unsigned number) : Value(static_cast<unsigned long long>(number)) {}
    Value(unsigned long number) : Value(static_cast<unsigned long long>(number)) {}
    Value(unsigned long long number) : arg_(of(number)) {}
    // NOLINTEND(google-explicit-constructor)

    [[nodiscard]] const Arg& arg() const noexcept { return arg_; }

private:
    Arg arg_;
};

// Called where they may not be: compilers name them in the error.
void a_place_is_two_braces();
void as_many_values_as_places_are_needed();

/// A text with `Places` places "{}"; "{{" and "}}" stand for braces. Another one does not compile.
template <std::size_t Places>
class Pattern {
public:
    template <std::size_t Size>
    consteval Pattern(const char (&text)[Size]) : text_(text, Size - 1) { // NOLINT(google-explicit-constructor)
        std::size_t places = 0;
        for (std::size_t i = 0; i + 1 < Size; ++i) {
            if (text[i] != '{' && text[i] != '}') continue;
            const bool place = text[i] == '{' && text[i + 1] == '}';
            if (!place && text[i + 1] != text[i]) a_place_is_two_braces();
            if (place) ++places;
            ++i;
        }
        if (places != Places) as_many_values_as_places_are_needed();
    }

    [[nodiscard]] std::string_view text() const noexcept { return text_; }

private:
    std::string_view text_;
};

/// The pattern with the values in its places: format("rank {} of {}", {rank, size}).
template <std::size_t Places>
[[nodiscard]] std::string format(std::type_identity_t<Pattern<Places>> pattern, const Value (&values)[Places]) {
    std::array<fmt::basic_format_arg<fmt::format_context>, Places> args;
    for (std::size_t i = 0; i < Places; ++i) args[i] = values[i].arg();
    return fmt::vformat(pattern.text(), fmt::format_args(args.data(), static_cast<int>(Places)));
}

} // namespace muster::inline v0_1::detail
