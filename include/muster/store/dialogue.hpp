// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/store/request_parser.hpp>
#include <muster/store/table.hpp>
#include <muster/store/wire.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1::detail {

/// The server's side of one connection, without the socket: requests in, replies out. Means by the requests what
/// torch's libuv server means: a key that is absent reads as empty, and COMPARE_SET wakes those who wait.
class Dialogue : public Waiter {
public:
    explicit Dialogue(KeyTable& table) : table_(table) {}
    ~Dialogue() { table_.cancel(*this); }

    /// Handles all requests that are complete now. False when the client must be cut off: it does not speak the
    /// protocol, asks for too much, or goes on asking without reading the replies.
    [[nodiscard]] bool feed(std::string_view bytes) {
        parser_.feed(bytes);
        for (;;) {
            switch (parser_.next()) {
                case RequestParser::Progress::incomplete: return true;
                case RequestParser::Progress::invalid: return false;
                case RequestParser::Progress::complete: break;
            }
            if (replies_.size() > max_unread_bytes || !handle()) return false;
            // A client may itself create what it waits for, and the replies keep their order.
            if (ready()) {
                table_.cancel(*this);
                answer_wait();
            }
        }
    }

    /// To be called once when KeyTable::take_ready gives this.
    void answer_wait() { replies_ += wire_wait_done; }

    /// Bytes for the client; the caller removes what it has sent.
    [[nodiscard]] std::string& replies() noexcept { return replies_; }

    /// Whether the client has shown that it speaks the protocol.
    [[nodiscard]] bool introduced() const noexcept { return introduced_; }

    [[nodiscard]] bool mid_request() const noexcept { return parser_.mid_request(); }

    /// Memory taken.
    [[nodiscard]] std::size_t bytes() const noexcept { return parser_.bytes() + replies_.capacity(); }

private:
    /// A client that has so much to read may not ask for more: those who speak c10d read each reply first.
    static constexpr std::size_t max_unread_bytes = std::size_t{16} * 1024 * 1024;

    [[nodiscard]] bool handle() {
        const std::vector<std::string_view>& texts = parser_.texts();
        switch (parser_.code()) {
            case Opcode::validate: introduced_ = parser_.number() == wire_magic; return introduced_;
            case Opcode::set: table_.set(texts[0], texts[1]); return true;
            case Opcode::compare_set:
                put_bytes(replies_, table_.compare_set(texts[0], texts[1], texts[2]));
                return true;
            case Opcode::get:
            case Opcode::multi_get: return read(texts);
            case Opcode::add: {
                const auto sum = table_.add(texts[0], static_cast<std::int64_t>(parser_.number()));
                if (sum) put_int(replies_, *sum);
                return sum.has_value();
            }
            case Opcode::check: replies_ += table_.contains_all(texts) ? wire_ready : wire_not_ready; return true;
            case Opcode::wait:
                if (waiting()) return false;
                if (table_.await(*this, texts)) answer_wait();
                return true;
            case Opcode::num_keys: put_int(replies_, static_cast<std::int64_t>(table_.size())); return true;
            case Opcode::delete_key: put_int(replies_, std::int64_t{table_.remove(texts[0])}); return true;
            case Opcode::append: return table_.append(texts[0], texts[1]);
            case Opcode::multi_set:
                for (std::size_t i = 0; i < texts.size(); i += 2) table_.set(texts[i], texts[i + 1]);
                return true;
            case Opcode::cancel_wait:
                table_.cancel(*this);
                replies_ += wire_wait_cancelled;
                return true;
            case Opcode::ping: put_int(replies_, static_cast<std::uint32_t>(parser_.number())); return true;
        }
        return false;
    }

    [[nodiscard]] bool read(const std::vector<std::string_view>& keys) {
        std::size_t size = 0;
        for (const std::string_view key : keys) {
            const std::string* const value = table_.find(key);
            size += sizeof(std::uint64_t) + (value ? value->size() : 0);
            if (size > max_message_bytes) return false;
        }
        replies_.reserve(replies_.size() + size);
        for (const std::string_view key : keys) {
            const std::string* const value = table_.find(key);
            put_bytes(replies_, value ? std::string_view(*value) : std::string_view());
        }
        return true;
    }

    KeyTable& table_;
    RequestParser parser_;
    std::string replies_;
    bool introduced_ = false;
};

} // namespace muster::inline v0_1::detail
