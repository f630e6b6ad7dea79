// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/connect.hpp>
#include <muster/store/limits.hpp>
#include <muster/store/printable.hpp>
#include <muster/store/resolve.hpp>
#include <muster/store/stream.hpp>
#include <muster/store/wire.hpp>

#include <fmt/format.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace muster::inline v0_1::detail {

/// What an operation on a store is about, for error texts.
struct Act {
    std::string_view verb;
    std::string_view key = {};

    [[nodiscard]] std::string text() const {
        return key.empty() ? std::string(verb) : fmt::format("{} {}", verb, printable(key));
    }
};

/// The client's side of a c10d connection: requests out, replies in, in step. Whatever brings them out of step closes
/// it for good; every call throws Error with errc::closed from then on.
class Channel {
public:
    Channel(const std::string& host, std::uint16_t port, Deadline deadline)
        : where_(host_port(host, port)),
          stream_(connect_store(host, port, deadline)) {}

    [[nodiscard]] const std::string& address() const noexcept { return where_; }

    void require_alive() const {
        if (stream_.is_open()) return;
        throw Error(errc::closed, Stage::store,
                    death_.empty() ? "this store was moved from"
                                   : fmt::format("the store at {} cannot be used any more: {}", where_, death_));
    }

    /// Ready to send a request whose reply, if any, comes next.
    void require_ready(const Act& act, Deadline deadline) {
        require_alive();
        if (deadline.expired() || !settle(deadline))
            throw Error(errc::timeout, Stage::store,
                        fmt::format("the deadline had passed before {} at the store {}", act.text(), where_));
    }

    void send(const RequestWriter& request, const Act& act, Deadline deadline) {
        require_ready(act, deadline);
        transmit(request, act, deadline);
    }

    template <std::integral Int>
    [[nodiscard]] Int receive(const Act& act, Deadline deadline) {
        char bytes[sizeof(Int)];
        receive(bytes, sizeof bytes, act, deadline);
        return get_int<Int>(bytes);
    }

    [[nodiscard]] std::string receive_value(const Act& act, Deadline deadline) {
        const auto size = receive<std::uint64_t>(act, deadline);
        if (size > max_grown_value_bytes)
            broken(act, fmt::format("it announced a value of {} bytes; the most is {}", size, max_grown_value_bytes));
        std::string value(static_cast<std::size_t>(size), '\0');
        receive(value.data(), value.size(), act, deadline);
        return value;
    }

    /// Sends a WAIT and waits for its answer; false, and the wait cancelled, at the deadline.
    [[nodiscard]] bool wait(const RequestWriter& request, const Act& act, Deadline deadline) {
        require_alive();
        if (deadline.expired() || !settle(deadline)) return false;
        transmit(request, act, deadline);
        char answer = 0;
        const Transfer transfer = stream_.receive(&answer, 1, deadline);
        if (transfer.end == Transfer::End::timeout) {
            transmit(RequestWriter(Opcode::cancel_wait), act, deadline);
            owed_ = Owed::done_or_cancelled;
            return false;
        }
        if (!transfer) lost(act, transfer);
        if (answer != wire_wait_done) unexpected(act, answer);
        return true;
    }

    [[noreturn]] void unexpected(const Act& act, char answer) {
        broken(act, fmt::format("it answered {}", printable(std::string_view(&answer, 1))));
    }

    [[noreturn]] void broken(const Act& act, const std::string& seen) {
        die(errc::protocol, "do: see whether what listens there is muster's store or that of torch 2.2 or later", act,
            seen);
    }

private:
    /// What is yet to come for a wait that was cancelled; perhaps it was done before.
    enum class Owed { nothing, cancelled, done_or_cancelled };

    /// Takes what is owed. That is not waited for when the wait times out, so that it ends on time. False when it does
    /// not come by the deadline; nothing is lost then.
    bool settle(Deadline deadline) {
        const Act act{"cancelling a wait"};
        while (owed_ != Owed::nothing) {
            char answer = 0;
            const Transfer transfer = stream_.receive(&answer, 1, deadline);
            if (transfer.end == Transfer::End::timeout) return false;
            if (!transfer) lost(act, transfer);
            if (answer == wire_wait_cancelled)
                owed_ = Owed::nothing;
            else if (answer == wire_wait_done && owed_ == Owed::done_or_cancelled)
                owed_ = Owed::cancelled;
            else
                unexpected(act, answer);
        }
        return true;
    }

    void transmit(const RequestWriter& request, const Act& act, Deadline deadline) {
        if (const Transfer transfer = stream_.send(request.bytes(), deadline); !transfer) lost(act, transfer);
    }

    void receive(char* to, std::size_t size, const Act& act, Deadline deadline) {
        if (const Transfer transfer = stream_.receive(to, size, deadline); !transfer) lost(act, transfer);
    }

    [[noreturn]] void lost(const Act& act, const Transfer& transfer) {
        const bool timeout = transfer.end == Transfer::End::timeout;
        die(timeout ? errc::timeout : errc::connection,
            timeout ? "do: see whether the process that serves it is stopped or overloaded, or give it more time"
                    : "do: see why the process that serves it (rank 0, or the launcher) ended or refused the request",
            act, to_string(transfer));
    }

    [[noreturn]] void die(errc code, std::string_view advice, const Act& act, const std::string& seen) {
        stream_.close();
        death_ = fmt::format("{}: {}", act.text(), seen);
        throw Error(code, Stage::store,
                    fmt::format("lost the store at {} while {}\n  seen: {}\n  {}", where_, act.text(), seen, advice));
    }

    std::string where_;
    Stream stream_;
    std::string death_; ///< why it is closed
    Owed owed_ = Owed::nothing;
};

} // namespace muster::inline v0_1::detail
