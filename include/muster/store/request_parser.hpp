// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/store/wire.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1::detail {

/// Bytes of one request or one reply that the server handles, at most.
inline constexpr std::size_t max_message_bytes = std::size_t{256} * 1024 * 1024;

/// The body of a request, a letter a field: k key, v value, 4 and 8 numbers of so many bytes, n how often the fields
/// after it follow. Nothing for a code that is not spoken.
[[nodiscard]] constexpr std::optional<std::string_view> request_layout(std::uint8_t code) noexcept {
    switch (static_cast<Opcode>(code)) {
        case Opcode::validate: return "4";
        case Opcode::set: return "kv";
        case Opcode::compare_set: return "kvv";
        case Opcode::get: return "k";
        case Opcode::add: return "k8";
        case Opcode::check: return "nk";
        case Opcode::wait: return "nk";
        case Opcode::num_keys: return "";
        case Opcode::delete_key: return "k";
        case Opcode::append: return "kv";
        case Opcode::multi_get: return "nk";
        case Opcode::multi_set: return "nkv";
        case Opcode::cancel_wait: return "";
        case Opcode::ping: return "4";
    }
    return std::nullopt;
}

/// Cuts a client's bytes into requests. Trusts nothing: each length and count is checked as it arrives and memory is
/// only taken for bytes that did arrive. Each byte is looked at once, however the stream is cut into pieces.
class RequestParser {
public:
    enum class Progress {
        incomplete, ///< feed more
        complete,   ///< code(), texts() and number() describe a request, until the next call of feed or next
        invalid,    ///< not the protocol; feed no more
    };

    void feed(std::string_view bytes) {
        buffer_.erase(0, begin_); // the requests done with
        begin_ = 0;
        buffer_ += bytes;
    }

    /// Goes on to the next request.
    [[nodiscard]] Progress next() {
        if (progress_ == Progress::complete) finish();
        if (progress_ == Progress::incomplete) progress_ = scan();
        if (progress_ == Progress::complete)
            for (const Text& text : fields_) texts_.emplace_back(buffer_.data() + begin_ + text.at, text.size);
        return progress_;
    }

    [[nodiscard]] Opcode code() const noexcept { return static_cast<Opcode>(code_); }

    /// Keys and values in the order in which they came.
    [[nodiscard]] const std::vector<std::string_view>& texts() const noexcept { return texts_; }

    /// The request's number, or how many keys it has.
    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

    /// Whether part of a request has come.
    [[nodiscard]] bool mid_request() const noexcept {
        return progress_ == Progress::incomplete && buffer_.size() > begin_;
    }

    /// Memory taken.
    [[nodiscard]] std::size_t bytes() const noexcept {
        return buffer_.capacity() + fields_.capacity() * sizeof(Text) + texts_.capacity() * sizeof(std::string_view);
    }

private:
    /// A place in the request, counted from its first byte.
    struct Text {
        std::size_t at;
        std::size_t size;
    };

    [[nodiscard]] std::size_t unread() const noexcept { return buffer_.size() - begin_ - at_; }
    [[nodiscard]] const char* here() const noexcept { return buffer_.data() + begin_ + at_; }

    Progress scan() {
        if (at_ == 0) {
            if (unread() == 0) return Progress::incomplete;
            code_ = static_cast<std::uint8_t>(*here());
            const std::optional<std::string_view> layout = request_layout(code_);
            // The first request, and only the first, is the magic number.
            if (!layout || introduced_ != (code() != Opcode::validate)) return Progress::invalid;
            layout_ = *layout;
            ++at_;
        }
        for (;;) {
            if (step_ == layout_.size()) {
                if (rounds_ <= 1) return Progress::complete;
                --rounds_;
                step_ = 1;
            }
            const char field = layout_[step_];
            const std::size_t head = field == '4' ? 4 : 8;
            if (unread() < head) return Progress::incomplete;
            const std::uint64_t value = field == '4' ? get_int<std::uint32_t>(here()) : get_int<std::uint64_t>(here());
            if (field == 'k' || field == 'v') {
                if (value > (field == 'k' ? wire_max_key_bytes : wire_max_value_bytes)) return Progress::invalid;
                const auto size = static_cast<std::size_t>(value);
                if (at_ + head + size > max_message_bytes) return Progress::invalid;
                if (unread() < head + size) return Progress::incomplete;
                fields_.push_back({at_ + head, size});
                at_ += size;
            } else if (field == 'n') {
                if (value > wire_max_keys) return Progress::invalid;
                rounds_ = static_cast<std::size_t>(value);
                number_ = value;
                if (value == 0) step_ = layout_.size() - 1;
            } else {
                number_ = value;
            }
            at_ += head;
            ++step_;
        }
    }

    void finish() {
        introduced_ = true;
        begin_ += at_;
        at_ = step_ = rounds_ = 0;
        fields_.clear();
        texts_.clear();
        progress_ = Progress::incomplete;
        // A large request leaves nothing behind.
        constexpr std::size_t keep = std::size_t{128} * 1024;
        if (bytes() > keep && buffer_.size() - begin_ < keep) {
            buffer_.erase(0, begin_);
            buffer_.shrink_to_fit();
            begin_ = 0;
            std::vector<Text>().swap(fields_);
            std::vector<std::string_view>().swap(texts_);
        }
    }

    std::string buffer_;
    std::size_t begin_ = 0; ///< of the present request in the buffer
    std::size_t at_ = 0;    ///< of the next field in the request
    std::string_view layout_;
    std::size_t step_ = 0;   ///< of that field in the layout
    std::size_t rounds_ = 0; ///< of repeated fields that are left, the present one included
    std::vector<Text> fields_;
    std::vector<std::string_view> texts_;
    std::uint64_t number_ = 0;
    std::uint8_t code_ = 0;
    bool introduced_ = false;
    Progress progress_ = Progress::incomplete;
};

} // namespace muster::inline v0_1::detail
