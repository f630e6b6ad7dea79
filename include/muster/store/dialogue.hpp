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
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// The server's side of one connection, without the socket: requests in, replies out. Means by the requests what
/// torch's libuv server means: a key that is absent reads as empty, and COMPARE_SET wakes those who wait. Beyond it,
///   a GET behind a WAIT that still waits is answered after the WAIT, so that a client may send both at once;
///   a key with will_mark in it is a last will (as in MQTT): its value is appended to the key without the mark when the
///   connection ends. DELETE_KEY takes it back. To torch's server it is a key like others.
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
    void answer_wait() {
        replies_ += wire_wait_done;
        if (!get_after_wait_) return;
        const std::string* const value = table_.find(*get_after_wait_);
        put_bytes(replies_, value ? std::string_view(*value) : std::string_view());
        get_after_wait_.reset();
    }

    /// Whether the client will be missed: it left something for its end.
    [[nodiscard]] bool has_will() const noexcept { return !wills_.empty(); }

    /// Carries out what the client left behind for its end.
    void execute_wills() {
        for (const auto& [key, value] : wills_) (void)table_.append(key, value); // a value that is full stays so
        wills_.clear();
    }

    /// Bytes for the client; the caller removes what it has sent.
    [[nodiscard]] std::string& replies() noexcept { return replies_; }

    /// Whether the client has shown that it speaks the protocol.
    [[nodiscard]] bool introduced() const noexcept { return introduced_; }

    [[nodiscard]] bool mid_request() const noexcept { return parser_.mid_request(); }

    /// Memory taken.
    [[nodiscard]] std::size_t bytes() const noexcept {
        std::size_t bytes = parser_.bytes() + replies_.capacity();
        for (const auto& [key, value] : wills_) bytes += key.capacity() + value.capacity();
        return bytes;
    }

private:
    /// A client that has so much to read may not ask for more: those who speak c10d read each reply first.
    static constexpr std::size_t max_unread_bytes = std::size_t{16} * 1024 * 1024;

    [[nodiscard]] bool handle() {
        const std::vector<std::string_view>& texts = parser_.texts();
        switch (parser_.code()) {
            case Opcode::validate: introduced_ = parser_.number() == wire_magic; return introduced_;
            case Opcode::set: return set(texts[0], texts[1]);
            case Opcode::compare_set:
                put_bytes(replies_, table_.compare_set(texts[0], texts[1], texts[2]));
                return true;
            case Opcode::get:
                if (!waiting()) return read(texts);
                if (get_after_wait_) return false;
                get_after_wait_ = texts[0];
                return true;
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
            case Opcode::delete_key: put_int(replies_, std::int64_t{remove(texts[0])}); return true;
            case Opcode::append: return table_.append(texts[0], texts[1]);
            case Opcode::multi_set:
                for (std::size_t i = 0; i < texts.size(); i += 2)
                    if (!set(texts[i], texts[i + 1])) return false;
                return true;
            case Opcode::cancel_wait:
                table_.cancel(*this);
                get_after_wait_.reset();
                replies_ += wire_wait_cancelled;
                return true;
            case Opcode::ping: put_int(replies_, static_cast<std::uint32_t>(parser_.number())); return true;
        }
        return false;
    }

    /// The key that a will is for; nothing where the key is none.
    [[nodiscard]] static std::optional<std::string> key_of_will(std::string_view key) {
        const auto mark = key.find(will_mark);
        if (mark == std::string_view::npos || (mark > 0 && key[mark - 1] != '/')) return std::nullopt;
        return std::string(key.substr(0, mark)).append(key.substr(mark + will_mark.size()));
    }

    [[nodiscard]] bool set(std::string_view key, std::string_view value) {
        auto target = key_of_will(key);
        if (!target) {
            table_.set(key, value);
            return true;
        }
        remove_will(*target);
        wills_.emplace_back(*std::move(target), value);
        return wills_.size() <= most_wills;
    }

    bool remove(std::string_view key) {
        const auto target = key_of_will(key);
        return target ? remove_will(*target) : table_.remove(key);
    }

    bool remove_will(std::string_view key) {
        return std::erase_if(wills_, [&](const auto& will) { return will.first == key; }) > 0;
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

    static constexpr std::size_t most_wills = 16;

    KeyTable& table_;
    RequestParser parser_;
    std::string replies_;
    std::optional<std::string> get_after_wait_;
    std::vector<std::pair<std::string, std::string>> wills_; ///< key to append to, value
    bool introduced_ = false;
};

} // namespace muster::inline v0_1::detail
