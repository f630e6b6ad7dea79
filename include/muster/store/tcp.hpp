// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/store/batches.hpp>
#include <muster/store/channel.hpp>
#include <muster/store/concept.hpp>
#include <muster/store/exchange.hpp>
#include <muster/store/limits.hpp>
#include <muster/store/printable.hpp>
#include <muster/store/wire.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace muster::inline v0_1 {

/// What serves a store: muster's own TcpStoreServer, which takes a question together with the wait before it, or
/// anything that speaks c10d.
enum class StoreServer { any, muster };

/// A client of a TcpStoreServer or of the TCPStore of torch 2.2 and later (which torchrun serves).
///
/// `set`, `append` and `multi_set` have no reply. The server handles the requests of one connection in order, so they
/// are seen by what this store asks next, and by others at some time after the call; they return before it. One that
/// the server refuses shows at a later operation.
///
/// A deadline that passes while keys are missing leaves the store usable. One that passes in the middle of a message
/// does not, nor does a lost connection: replies carry no number, so a stream out of step would give wrong answers.
/// The store is dead from then on and every operation throws Error with errc::closed.
class TcpStore {
public:
    /// Connects; tries again while the host cannot be resolved, refuses or resets. `host` is a name, an IPv4 address
    /// or an IPv6 address with or without brackets; all addresses of a name are tried.
    /// Blocks: at most to the deadline, and to `connect_by` where that is sooner: after it a server that was reached
    /// may still take to the deadline to show that it is one. Throws: Error with errc::connection at the deadline,
    /// errc::protocol when something else listens there. Pre: what serves there is what `server` says.
    TcpStore(const std::string& host, std::uint16_t port, Deadline deadline, StoreServer server = StoreServer::any,
             Deadline connect_by = Deadline::never())
        : channel_(server == StoreServer::muster ? detail::Channel(host, port, deadline, detail::Channel::Unproven(),
                                                                   std::min(deadline, connect_by))
                                                 : detail::Channel(host, port, std::min(deadline, connect_by))),
          server_(server) {}

    TcpStore(TcpStore&&) noexcept = default;
    TcpStore& operator=(TcpStore&&) noexcept = default;

    /// "host:port", as asked for.
    [[nodiscard]] const std::string& address() const noexcept { return channel_.address(); }

    void set(std::string_view key, std::string_view value, Deadline deadline) {
        detail::require_key(key);
        detail::require_value(key, value);
        channel().send(Request(Opcode::set).key(key).value(value), {"setting", key}, deadline);
    }

    [[nodiscard]] std::string get(std::string_view key, Deadline deadline) {
        detail::require_key(key);
        const std::string one(key);
        std::string value;
        do {
            require_present(std::span(&one, 1), deadline);
            const Act act{"getting", key};
            channel().send(Request(Opcode::get).key(key), act, deadline);
            value = channel().receive_value(act, deadline);
        } while (value.empty()); // removed since it was seen
        return value;
    }

    [[nodiscard]] bool wait(std::span<const std::string> keys, Deadline deadline) {
        detail::require_keys(keys);
        channel().require_alive();
        return in_batches(keys, [&](std::span<const std::string> batch) {
            return channel().wait(with_keys(Opcode::wait, batch).bytes(), {"waiting for", batch[0]}, deadline);
        });
    }

    [[nodiscard]] bool check(std::span<const std::string> keys, Deadline deadline) {
        detail::require_keys(keys);
        channel().require_ready({"checking"}, deadline);
        return in_batches(keys, [&](std::span<const std::string> batch) {
            const Act act{"checking", batch[0]};
            channel().send(with_keys(Opcode::check, batch), act, deadline);
            const auto answer = channel().receive<char>(act, deadline);
            if (answer != detail::wire_ready && answer != detail::wire_not_ready) channel().unexpected(act, answer);
            return answer == detail::wire_ready;
        });
    }

    /// A server closes the connection when the value is not a decimal number.
    std::int64_t add(std::string_view key, std::int64_t n, Deadline deadline) {
        detail::require_key(key);
        const Act act{"adding to the number at", key};
        channel().send(Request(Opcode::add).key(key).number(n), act, deadline);
        return channel().receive<std::int64_t>(act, deadline);
    }

    /// torch's older server (use_libuv=False) does not tell those who wait for a key that this creates.
    std::string compare_set(std::string_view key, std::string_view expected, std::string_view want, Deadline deadline) {
        detail::require_key(key);
        detail::require_value_size(key, expected);
        detail::require_value(key, want);
        const Act act{"comparing and setting", key};
        channel().send(Request(Opcode::compare_set).key(key).value(expected).value(want), act, deadline);
        return channel().receive_value(act, deadline);
    }

    void append(std::string_view key, std::string_view value, Deadline deadline) {
        detail::require_key(key);
        detail::require_value(key, value);
        channel().send(Request(Opcode::append).key(key).value(value), {"appending to", key}, deadline);
    }

    [[nodiscard]] std::vector<std::string> multi_get(std::span<const std::string> keys, Deadline deadline) {
        detail::require_keys(keys);
        channel().require_ready({"getting"}, deadline);
        require_present(keys, deadline);
        std::vector<std::string> values;
        values.reserve(keys.size());
        in_batches(keys, [&](std::span<const std::string> batch) {
            const Act act{"getting", batch[0]};
            channel().send(with_keys(Opcode::multi_get, batch), act, deadline);
            for (std::size_t i = 0; i < batch.size(); ++i) values.push_back(channel().receive_value(act, deadline));
            return true;
        });
        for (std::size_t i = 0; i < values.size(); ++i)
            if (values[i].empty()) values[i] = get(keys[i], deadline); // removed since it was seen
        return values;
    }

    void multi_set(std::span<const std::string> keys, std::span<const std::string> values, Deadline deadline) {
        detail::require_pairs(keys, values);
        channel().require_ready({"setting"}, deadline);
        const auto size = [&](std::size_t i) { return keys[i].size() + values[i].size() + overhead; };
        detail::in_batches(keys.size(), size, [&](std::size_t first, std::size_t count) {
            Request request(Opcode::multi_set);
            request.count(count);
            for (std::size_t i = first; i < first + count; ++i) request.key(keys[i]).value(values[i]);
            channel().send(request, {"setting", keys[first]}, deadline);
            return true;
        });
    }

    bool remove(std::string_view key, Deadline deadline) {
        detail::require_key(key);
        const Act act{"removing", key};
        channel().send(Request(Opcode::delete_key).key(key), act, deadline);
        return channel().receive<std::int64_t>(act, deadline) > 0;
    }

    /// See detail::exchange.
    [[nodiscard]] std::optional<std::string> exchange(const detail::Notes& notes, const std::string& key,
                                                      Deadline deadline) {
        detail::require_key(key);
        detail::require_pairs(notes.append_keys, notes.append_values);
        detail::require_pairs(notes.set_keys, notes.set_values);
        Request message;
        message.reserve(notes.bytes() + 2 * (key.size() + overhead) +
                        overhead * (notes.append_keys.size() + notes.set_keys.size()));
        for (std::size_t i = 0; i < notes.append_keys.size(); ++i)
            message.next(Opcode::append).key(notes.append_keys[i]).value(notes.append_values[i]);
        for (std::size_t i = 0; i < notes.set_keys.size(); ++i)
            message.next(Opcode::set).key(notes.set_keys[i]).value(notes.set_values[i]);
        message.next(Opcode::wait).count(1).key(key);
        if (server_ == StoreServer::muster) message.next(Opcode::get).key(key);
        const Deadline late = detail::telling_deadline(notes, deadline);
        try {
            auto value = ask(message.bytes(), key, deadline, late);
            if (value || channel_.proves_itself()) return value;
        } catch (const Error&) {
            if (!channel_.unproven()) throw;
        }
        // What was told is lost with a server that never answered; connecting in full says what is there.
        channel_.prove();
        return ask(message.bytes(), key, deadline, late);
    }

    [[nodiscard]] std::int64_t num_keys(Deadline deadline) {
        const Act act{"counting the keys"};
        channel().send(Request(Opcode::num_keys), act, deadline);
        const auto n = channel().receive<std::int64_t>(act, deadline);
        if (n < 0) channel().broken(act, detail::format("it counted {}", {n}));
        return n;
    }

private:
    using Act = detail::Act;
    using Opcode = detail::Opcode;
    using Request = detail::RequestWriter;

    /// Bytes of a key and a value on the wire besides their own, about.
    static constexpr std::size_t overhead = 24;

    detail::Channel& channel() {
        channel_.prove_first();
        return channel_;
    }

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

    /// `late`: for all that does not wait for others.
    [[nodiscard]] std::optional<std::string> ask(const std::string& message, const std::string& key, Deadline deadline,
                                                 Deadline late) {
        const Act act{"waiting for the other ranks"};
        channel_.require_ready(act, late);
        // The notes are told even where there is no time to wait any more.
        deadline = std::max(deadline, Deadline::after(std::chrono::milliseconds(1)));
        if (server_ == StoreServer::muster) return channel_.wait_and_get(message, act, deadline, late);
        if (!channel_.wait(message, act, deadline)) return std::nullopt;
        return get(key, late);
    }

    void require_present(std::span<const std::string> keys, Deadline deadline) {
        const auto start = Deadline::Clock::now();
        if (wait(keys, deadline)) return;
        throw Error(
            errc::timeout, Stage::store,
            detail::format("timed out after {} waiting at the store {} for {}",
                           {detail::seconds_text(Deadline::Clock::now() - start), address(), detail::printable(keys)}));
    }

    detail::Channel channel_;
    StoreServer server_;
};

static_assert(Store<TcpStore>);

} // namespace muster::inline v0_1
