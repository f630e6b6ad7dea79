// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/store/printable.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace muster::inline v0_1::detail {

/// A list of hosts as Slurm writes it: "gpu[01-04,7]-ib,login". Commas or blanks separate the entries; within brackets
/// commas separate numbers and ranges. Leading zeros are kept, as wide as the range's first number; a suffix or further
/// brackets may follow; the last bracket of an entry varies fastest. The order is as written, never sorted.
///
/// Ranges stay as they are read, so that "[0-4294967295]" costs as little as "[0-1]".
/// Source: the man page of scontrol (show hostnames), the host list vectors of Lightning and ignite.
class HostList {
public:
    /// No host name is longer: a DNS name has at most 253 characters.
    static constexpr std::size_t longest_name = 255;

    /// Throws: Error(errc::invalid_launch) that names the place in the text. An empty list is none.
    explicit HostList(std::string_view text) : text_(text) {
        skip_blanks();
        do {
            entries_.push_back(entry());
        } while (separator());
        text_ = {};
    }

    /// How many hosts the list names; the largest number stands for all that are larger.
    [[nodiscard]] std::uint64_t size() const noexcept {
        std::uint64_t sum = 0;
        for (const Entry& entry : entries_) {
            std::uint64_t product = 1;
            for (const Bracket& bracket : entry.brackets) product = times(product, bracket.size());
            sum = plus(sum, product);
        }
        return sum;
    }

    /// The first `most` hosts, or all where there are fewer.
    [[nodiscard]] std::vector<std::string> first(std::size_t most) const {
        std::vector<std::string> hosts;
        for (const Entry& entry : entries_) {
            std::vector<Place> places(entry.brackets.size());
            do {
                if (hosts.size() >= most) return hosts;
                hosts.push_back(entry.name(places));
            } while (entry.advance(places));
        }
        return hosts;
    }

    [[nodiscard]] std::string front() const { return first(1).front(); }

private:
    struct Range {
        std::uint64_t low = 0, high = 0;
        std::size_t width = 0; ///< digits of the first number as written
    };

    /// Where an entry stands within one of its brackets.
    struct Place {
        std::size_t range = 0;
        std::uint64_t offset = 0;
    };

    struct Bracket {
        std::vector<Range> ranges;
        std::string suffix; ///< up to the next bracket or the end

        [[nodiscard]] std::uint64_t size() const noexcept {
            std::uint64_t sum = 0;
            for (const Range& range : ranges) sum = plus(sum, plus(range.high - range.low, 1));
            return sum;
        }
    };

    struct Entry {
        std::string prefix;
        std::vector<Bracket> brackets;

        [[nodiscard]] std::string name(const std::vector<Place>& places) const {
            std::string text = prefix;
            for (std::size_t i = 0; i < brackets.size(); ++i) {
                const Range& range = brackets[i].ranges[places[i].range];
                const std::string number = std::to_string(range.low + places[i].offset);
                if (number.size() < range.width) text.append(range.width - number.size(), '0');
                text += number + brackets[i].suffix;
            }
            return text;
        }

        /// The next name, as an odometer counts; false after the last.
        [[nodiscard]] bool advance(std::vector<Place>& places) const {
            for (std::size_t i = brackets.size(); i-- > 0;) {
                const std::vector<Range>& ranges = brackets[i].ranges;
                const Range& range = ranges[places[i].range];
                if (places[i].offset < range.high - range.low) {
                    ++places[i].offset;
                    return true;
                }
                if (places[i].range + 1 < ranges.size()) {
                    places[i] = {places[i].range + 1, 0};
                    return true;
                }
                places[i] = {};
            }
            return false;
        }
    };

    static constexpr std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
    static constexpr std::uint64_t plus(std::uint64_t a, std::uint64_t b) noexcept {
        return a > limit - b ? limit : a + b;
    }
    static constexpr std::uint64_t times(std::uint64_t a, std::uint64_t b) noexcept {
        return b != 0 && a > limit / b ? limit : a * b;
    }

    [[nodiscard]] bool at_end() const noexcept { return at_ == text_.size(); }
    [[nodiscard]] char next() const noexcept { return at_end() ? '\0' : text_[at_]; }
    [[nodiscard]] bool at_blank() const noexcept { return next() == ' ' || next() == '\t'; }
    [[nodiscard]] bool at_digit() const noexcept { return next() >= '0' && next() <= '9'; }

    void skip_blanks() noexcept {
        while (at_blank()) ++at_;
    }

    /// Passes what separates two entries; false at the end.
    bool separator() {
        skip_blanks();
        if (at_end()) return false;
        if (next() == ',') ++at_;
        skip_blanks();
        return true;
    }

    Entry entry() {
        Entry result;
        const std::size_t begin = at_;
        result.prefix = plain();
        std::size_t length = result.prefix.size();
        while (next() == '[') {
            result.brackets.push_back(bracket());
            const Bracket& last = result.brackets.back();
            std::size_t digits = 0;
            for (const Range& range : last.ranges)
                digits = std::max({digits, range.width, std::to_string(range.high).size()});
            length += digits + last.suffix.size();
        }
        if (length == 0) refuse(begin, "a host name is empty");
        if (length > longest_name) refuse(begin, format("a host name has more than {} characters", {longest_name}));
        return result;
    }

    /// The characters of a name up to a bracket, a separator or the end.
    std::string plain() {
        const std::size_t begin = at_;
        while (!at_end() && !at_blank() && next() != ',' && next() != '[') {
            if (next() == ']') refuse(at_, "a bracket is closed that was not opened");
            if (const auto c = static_cast<unsigned char>(next()); c < ' ' || c == 127)
                refuse(at_, "a character that no host name has");
            ++at_;
        }
        return std::string(text_.substr(begin, at_ - begin));
    }

    Bracket bracket() {
        Bracket result;
        const std::size_t begin = at_;
        do {
            ++at_; // the bracket or the comma
            skip_blanks();
            result.ranges.push_back(range());
            skip_blanks();
        } while (next() == ',');
        if (at_end()) refuse(begin, "a bracket is not closed");
        if (next() != ']') refuse(at_, "neither a number nor a range of numbers");
        ++at_;
        result.suffix = plain();
        return result;
    }

    Range range() {
        const std::size_t begin = at_;
        Range result;
        result.low = number();
        result.width = at_ - begin;
        result.high = result.low;
        if (next() == '-') {
            ++at_;
            result.high = number();
            if (result.high < result.low) refuse(begin, "a range that goes down");
        }
        return result;
    }

    std::uint64_t number() {
        const std::size_t begin = at_;
        while (at_digit()) ++at_;
        std::uint64_t value = 0;
        const auto [end, failure] = std::from_chars(text_.data() + begin, text_.data() + at_, value);
        if (begin == at_)
            refuse(begin, at_end() ? "a bracket is not closed" : "neither a number nor a range of numbers");
        if (failure != std::errc() || end != text_.data() + at_) refuse(begin, "a number that is too large");
        return value;
    }

    [[noreturn]] void refuse(std::size_t at, std::string_view why) const {
        throw Error(errc::invalid_launch, Stage::launch,
                    format("the host list is invalid: {}, at character {}\n  seen: {}\n  wanted: names with commas "
                           "between them, as in gpu[01-04,7],login",
                           {why, at + 1, printable(text_)}));
    }

    std::string_view text_; ///< only while it is read
    std::size_t at_ = 0;
    std::vector<Entry> entries_;
};

/// The first `most` hosts of a list as Slurm writes it. Any text is either expanded or refused: time and memory grow
/// with the text and with `most`, never with the numbers in it.
/// Throws: Error(errc::invalid_launch).
[[nodiscard]] inline std::vector<std::string> expand_host_list(std::string_view text, std::size_t most) {
    return HostList(text).first(most);
}

} // namespace muster::inline v0_1::detail
