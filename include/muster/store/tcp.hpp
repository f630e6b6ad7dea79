// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/batches.hpp>
#include <muster/store/concept.hpp>
#include <muster/store/connect.hpp>
#include <muster/store/limits.hpp>
#include <muster/store/printable.hpp>
#include <muster/store/resolve.hpp>
#include <muster/store/stream.hpp>
#include <muster/store/wire.hpp>

#include <fmt/format.h>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// A client of a TcpStoreServer or of the TCPStore of torch 2.5 and later (which torchrun serves).
///
/// `set`, `append` and `multi_set` have no reply. The server handles the requests of one connection in order, so they
/// are seen by what this store asks next, and by others at some time after the call; they return before it.
///
/// A deadline that passes while keys are missing leaves the store usable. One that passes in the middle of a message
/// does not, nor does a lost connection: replies carry no number, so a stream out of step would give wrong answers.
/// The store is dead from then on and every operation throws Error with errc::closed.
class TcpStore {
public:
    /// Connects; tries again while the host cannot be resolved, refuses or resets. `host` is a name, an IPv4 address
    /// or an IPv6 address with or without brackets; all addresses of a name are tried.
    /// Blocks: at most to the deadline.
    /// Throws: Error with errc::connection at the deadline, errc::protocol when something else listens there.
    TcpStore(const std::string& host, std::uint16_t port, Deadline deadline)
        : where_(detail::host_port(host, port)),
          stream_(detail::connect_store(host, port, deadline)) {}

    TcpStore(TcpStore&&) noexcept = default;
    TcpStore& operator=(TcpStore&&) noexcept = default;

    /// "host:port", as asked for.
    [[nodiscard]] const std::string& address() const noexcept { return where_; }

    void set(std::string_view key, std::string_view value, Deadline deadline) {
        detail::require_key(key);
        detail::require_value(key, value);
        send(Request(Opcode::set).key(key).value(value), {"setting", key}, deadline);
    }

    [[nodiscard]] std::string get(std::string_view key, Deadline deadline) {
        detail::require_key(key);
        const std::string one(key);
        std::string value;
        do {
            require_present(std::span(&one, 1), deadline);
            const Act act{"getting", key};
            send(Request(Opcode::get).key(key), act, deadline);
            value = receive_value(act, deadline);
        } while (value.empty()); // removed since it was seen
        return value;
    }

    [[nodiscard]] bool wait(std::span<const std::string> keys, Deadline deadline) {
        detail::require_keys(keys);
        require_alive();
        return in_batches(keys, [&](std::span<const std::string> batch) { return wait_batch(batch, deadline); });
    }

    [[nodiscard]] bool check(std::span<const std::string> keys, Deadline deadline) {
        detail::require_keys(keys);
        require_ready("checking", deadline);
        return in_batches(keys, [&](std::span<const std::string> batch) {
            const Act act{"checking", batch[0]};
            send(with_keys(Opcode::check, batch), act, deadline);
            const char answer = receive_byte(act, deadline);
            if (answer != detail::wire_ready && answer != detail::wire_not_ready) unexpected(act, answer);
            return answer == detail::wire_ready;
        });
    }

    /// A server closes the connection when the value is not a decimal number.
    std::int64_t add(std::string_view key, std::int64_t n, Deadline deadline) {
        detail::require_key(key);
        const Act act{"adding to the number at", key};
        send(Request(Opcode::add).key(key).number(n), act, deadline);
        return receive_int<std::int64_t>(act, deadline);
    }

    std::string compare_set(std::string_view key, std::string_view expected, std::string_view want, Deadline deadline) {
        detail::require_key(key);
        detail::require_value(key, want);
        if (expected.size() > max_value_bytes) detail::require_value(key, expected);
        const Act act{"comparing and setting", key};
        send(Request(Opcode::compare_set).key(key).value(expected).value(want), act, deadline);
        return receive_value(act, deadline);
    }

    void append(std::string_view key, std::string_view value, Deadline deadline) {
        detail::require_key(key);
        detail::require_value(key, value);
        send(Request(Opcode::append).key(key).value(value), {"appending to", key}, deadline);
    }

    [[nodiscard]] std::vector<std::string> multi_get(std::span<const std::string> keys, Deadline deadline) {
        detail::require_keys(keys);
        require_ready("getting", deadline);
        require_present(keys, deadline);
        std::vector<std::string> values;
        values.reserve(keys.size());
        in_batches(keys, [&](std::span<const std::string> batch) {
            const Act act{"getting", batch[0]};
            send(with_keys(Opcode::multi_get, batch), act, deadline);
            for (std::size_t i = 0; i < batch.size(); ++i) values.push_back(receive_value(act, deadline));
            return true;
        });
        for (std::size_t i = 0; i < values.size(); ++i)
            if (values[i].empty()) values[i] = get(keys[i], deadline); // removed since it was seen
        return values;
    }

    void multi_set(std::span<const std::string> keys, std::span<const std::string> values, Deadline deadline) {
        detail::require_pairs(keys, values);
        require_ready("setting", deadline);
        const auto size = [&](std::size_t i) { return keys[i].size() + values[i].size() + overhead; };
        detail::in_batches(keys.size(), size, [&](std::size_t first, std::size_t count) {
            Request request(Opcode::multi_set);
            request.count(count);
            for (std::size_t i = first; i < first + count; ++i) request.key(keys[i]).value(values[i]);
            send(request, {"setting", keys[first]}, deadline);
            return true;
        });
    }

    bool remove(std::string_view key, Deadline deadline) {
        detail::require_key(key);
        const Act act{"removing", key};
        send(Request(Opcode::delete_key).key(key), act, deadline);
        return receive_int<std::int64_t>(act, deadline) > 0;
    }

    [[nodiscard]] std::int64_t num_keys(Deadline deadline) {
        const Act act{"counting the keys", {}};
        send(Request(Opcode::num_keys), act, deadline);
        const auto n = receive_int<std::int64_t>(act, deadline);
        if (n < 0) broken(act, fmt::format("it counted {}", n));
        return n;
    }

private:
    using Opcode = detail::Opcode;
    using Request = detail::RequestWriter;

    /// What an operation is about, for error texts.
    struct Act {
        std::string_view verb;
        std::string_view key;

        [[nodiscard]] std::string text() const {
            return key.empty() ? std::string(verb) : fmt::format("{} {}", verb, detail::printable(key));
        }
    };

    /// Bytes of a key on the wire besides its own.
    static constexpr std::size_t overhead = 24;

    template <class Visit>
    static bool in_batches(std::span<const std::string> keys, const Visit& visit) {
        return detail::in_batches(
            keys.size(), [&](std::size_t i) { return keys[i].size() + overhead; },
            [&](std::size_t first, std::size_t count) { return visit(keys.subspan(first, count)); });
    }

    static Request with_keys(Opcode code, std::span<const std::string> keys) {
        Request request(code);
        request.count(keys.size());
        for (const std::string& key : keys) request.key(key);
        return request;
    }

    void require_present(std::span<const std::string> keys, Deadline deadline) {
        const auto start = Deadline::Clock::now();
        if (wait(keys, deadline)) return;
        const std::chrono::duration<double> waited = Deadline::Clock::now() - start;
        throw Error(errc::timeout, Stage::store,
                    fmt::format("timed out after {:.1f} s waiting at the store {} for {}", waited.count(), where_,
                                detail::printable(keys)));
    }

    bool wait_batch(std::span<const std::string> keys, Deadline deadline) {
        if (deadline.expired() || !settle(deadline)) return false;
        const Act act{"waiting for", keys[0]};
        transmit(with_keys(Opcode::wait, keys), act, deadline);
        char answer = 0;
        const detail::Transfer transfer = stream_.receive(&answer, 1, deadline);
        if (transfer.end == detail::Transfer::End::timeout) {
            transmit(Request(Opcode::cancel_wait), act, deadline);
            cancelling_ = true;
            return false;
        }
        if (!transfer) lost(act, transfer);
        if (answer != detail::wire_wait_done) unexpected(act, answer);
        return true;
    }

    /// Takes the answers of a wait that was cancelled: that it is cancelled, perhaps that it was done before. They are
    /// not waited for when the wait times out, so that it ends on time. False when they do not come by the deadline;
    /// nothing is lost then.
    bool settle(Deadline deadline) {
        const Act act{"cancelling a wait", {}};
        while (cancelling_) {
            char answer = 0;
            const detail::Transfer transfer = stream_.receive(&answer, 1, deadline);
            if (transfer.end == detail::Transfer::End::timeout) return false;
            if (!transfer) lost(act, transfer);
            if (answer == detail::wire_wait_cancelled)
                cancelling_ = false;
            else if (answer != detail::wire_wait_done)
                unexpected(act, answer);
        }
        return true;
    }

    void require_alive() const {
        if (stream_.is_open()) return;
        throw Error(errc::closed, Stage::store,
                    death_.empty() ? "this store was moved from"
                                   : fmt::format("the store at {} cannot be used any more: {}", where_, death_));
    }

    /// Ready to send a request whose reply, if any, comes next.
    void require_ready(std::string_view verb, Deadline deadline) {
        require_alive();
        if (deadline.expired() || !settle(deadline))
            throw Error(errc::timeout, Stage::store,
                        fmt::format("the deadline had passed before {} at the store {}", verb, where_));
    }

    void send(const Request& request, const Act& act, Deadline deadline) {
        require_ready(act.verb, deadline);
        transmit(request, act, deadline);
    }

    void transmit(const Request& request, const Act& act, Deadline deadline) {
        if (const detail::Transfer transfer = stream_.send(request.bytes(), deadline); !transfer) lost(act, transfer);
    }

    void receive(char* to, std::size_t size, const Act& act, Deadline deadline) {
        if (const detail::Transfer transfer = stream_.receive(to, size, deadline); !transfer) lost(act, transfer);
    }

    char receive_byte(const Act& act, Deadline deadline) {
        char byte = 0;
        receive(&byte, 1, act, deadline);
        return byte;
    }

    template <std::integral Int>
    Int receive_int(const Act& act, Deadline deadline) {
        char bytes[sizeof(Int)];
        receive(bytes, sizeof bytes, act, deadline);
        return detail::get_int<Int>(bytes);
    }

    std::string receive_value(const Act& act, Deadline deadline) {
        const auto size = receive_int<std::uint64_t>(act, deadline);
        if (size > max_grown_value_bytes)
            broken(act, fmt::format("it announced a value of {} bytes; the most is {}", size, max_grown_value_bytes));
        std::string value(static_cast<std::size_t>(size), '\0');
        receive(value.data(), value.size(), act, deadline);
        return value;
    }

    [[noreturn]] void lost(const Act& act, const detail::Transfer& transfer) {
        const bool timeout = transfer.end == detail::Transfer::End::timeout;
        die(timeout ? errc::timeout : errc::connection,
            timeout ? "do: see whether the process that serves it is stopped or overloaded, or give it more time"
                    : "do: see why the process that serves it (rank 0, or the launcher) ended or refused the request",
            act, to_string(transfer));
    }

    [[noreturn]] void unexpected(const Act& act, char answer) {
        broken(act, fmt::format("it answered {}", detail::printable(std::string_view(&answer, 1))));
    }

    [[noreturn]] void broken(const Act& act, const std::string& seen) {
        die(errc::protocol, "do: see whether what listens there is muster's store or that of torch 2.5 or later", act,
            seen);
    }

    [[noreturn]] void die(errc code, std::string_view advice, const Act& act, const std::string& seen) {
        stream_.close();
        death_ = fmt::format("{}: {}", act.text(), seen);
        throw Error(code, Stage::store,
                    fmt::format("lost the store at {} while {}\n  seen: {}\n  {}", where_, act.text(), seen, advice));
    }

    std::string where_;
    detail::Stream stream_;
    std::string death_;       ///< why it is closed
    bool cancelling_ = false; ///< a cancelled wait has answers to come
};

static_assert(Store<TcpStore>);

} // namespace muster::inline v0_1
