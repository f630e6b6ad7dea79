// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/core/text.hpp>
#include <muster/store/connect.hpp>
#include <muster/store/limits.hpp>
#include <muster/store/printable.hpp>
#include <muster/store/resolve.hpp>
#include <muster/store/stream.hpp>
#include <muster/store/wire.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace muster::inline v0_1::detail {

/// What an operation on a store is about, for error texts.
struct Act {
    std::string_view verb;
    std::string_view key = {};

    [[nodiscard]] std::string text() const {
        return key.empty() ? std::string(verb) : format("{} {}", {verb, printable(key)});
    }
};

/// The client's side of a c10d connection: requests out, replies in, in step. Whatever brings them out of step closes
/// it for good; every call throws Error with errc::closed from then on.
class Channel {
public:
    Channel(const std::string& host, std::uint16_t port, Deadline deadline)
        : host_(host),
          port_(port),
          where_(host_port(host, port)) {
        prove(deadline);
    }

    struct Unproven {};

    /// Saves the round trip of the handshake where the server is there already and can be trusted to be one: the first
    /// answer proves it. Where that fails, prove() finds out what is there. `connect_by` may be before the deadline.
    Channel(const std::string& host, std::uint16_t port, Deadline deadline, Unproven, Deadline connect_by)
        : host_(host),
          port_(port),
          where_(host_port(host, port)),
          stream_(connect_quickly(host, port, connect_by)),
          prove_by_(deadline) {
        if (stream_.is_open())
            greeting_ = RequestWriter(Opcode::validate).number(wire_magic).bytes();
        else
            prove(connect_by);
    }

    /// Whether nothing has come from the server yet: all that was told it may be lost.
    [[nodiscard]] bool unproven() const noexcept { return !proven_; }

    /// Whether it is a store that answers, now that a wait was cancelled.
    [[nodiscard]] bool proves_itself() { return proven_ || settle(Deadline::after(std::chrono::seconds(2))); }

    /// Connects anew, with the handshake, by the deadline of the constructor.
    /// Throws: Error of Stage::rendezvous, for nothing has been met yet.
    void prove() {
        try {
            prove(prove_by_);
        } catch (const Error& error) {
            throw Error(error.code(), Stage::rendezvous, std::string(error.text()));
        }
    }

    /// To be called before anything but an exchange: what is told in one can be told again, all else cannot.
    void prove_first() {
        if (!greeting_.empty()) prove();
    }

    [[nodiscard]] const std::string& address() const noexcept { return where_; }

    void require_alive() const {
        if (stream_.is_open()) return;
        throw Error(errc::closed, Stage::store,
                    death_.empty() ? "this store was moved from"
                                   : format("the store at {} cannot be used any more: {}", {where_, death_}));
    }

    /// Ready to send a request whose reply, if any, comes next.
    void require_ready(const Act& act, Deadline deadline) {
        require_alive();
        if (deadline.expired() || !settle(deadline))
            throw Error(errc::timeout, Stage::store,
                        format("the deadline had passed before {} at the store {}", {act.text(), where_}));
    }

    void send(const RequestWriter& request, const Act& act, Deadline deadline) {
        require_ready(act, deadline);
        transmit(request.bytes(), act, deadline);
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
            broken(act, format("it announced a value of {} bytes; the most is {}", {size, max_grown_value_bytes}));
        std::string value(static_cast<std::size_t>(size), '\0');
        receive(value.data(), value.size(), act, deadline);
        return value;
    }

    /// Sends requests without replies and then a WAIT, and waits for its answer; false, and the wait cancelled, at the
    /// deadline.
    [[nodiscard]] bool wait(std::string_view requests, const Act& act, Deadline deadline, bool then_value = false) {
        require_alive();
        if (deadline.expired() || !settle(deadline)) return false;
        transmit(requests, act, deadline);
        char answer = 0;
        Transfer transfer = stream_.await_input(deadline);
        if (transfer) transfer = stream_.receive(&answer, 1, deadline);
        if (transfer.end == Transfer::End::timeout) {
            transmit(RequestWriter(Opcode::cancel_wait).bytes(), act, deadline);
            owed_ = Owed::done_or_cancelled;
            owes_value_ = then_value;
            return false;
        }
        if (!transfer) lost(act, transfer);
        if (answer != wire_wait_done) unexpected(act, answer);
        proven_ = proven_ || !then_value; // a byte alone may be chance
        return true;
    }

    /// The same with a GET of the key behind the WAIT; its value, which may come until `late`, or nothing at the
    /// deadline.
    [[nodiscard]] std::optional<std::string> wait_and_get(std::string_view requests, const Act& act, Deadline deadline,
                                                          Deadline late) {
        if (!wait(requests, act, deadline, true)) return std::nullopt;
        std::string value = receive_value(act, late);
        if (value.empty()) broken(act, "it sent an empty value");
        proven_ = true;
        return value;
    }

    [[noreturn]] void unexpected(const Act& act, char answer) {
        broken(act, format("it answered {}", {printable(std::string_view(&answer, 1))}));
    }

    [[noreturn]] void broken(const Act& act, const std::string& seen) {
        die(errc::protocol, "do: see whether what listens there is muster's store or that of torch 2.2 or later", act,
            seen);
    }

private:
    void prove(Deadline deadline) {
        stream_ = connect_store(host_, port_, deadline, start_);
        greeting_.clear();
        death_.clear();
        owed_ = Owed::nothing;
        proven_ = true;
    }

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
            if (answer == wire_wait_cancelled) {
                proven_ = true;
                owed_ = Owed::nothing;
            } else if (answer == wire_wait_done && owed_ == Owed::done_or_cancelled) {
                owed_ = Owed::cancelled;
                if (owes_value_) (void)receive_value(act, deadline);
            } else {
                unexpected(act, answer);
            }
        }
        return true;
    }

    void transmit(std::string_view requests, const Act& act, Deadline deadline) {
        std::string greeted;
        if (!greeting_.empty()) requests = greeted = std::exchange(greeting_, {}).append(requests);
        if (const Transfer transfer = stream_.send(requests, deadline); !transfer) lost(act, transfer);
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
        death_ = format("{}: {}", {act.text(), seen});
        throw Error(code, Stage::store,
                    format("lost the store at {} while {}\n  seen: {}\n  {}", {where_, act.text(), seen, advice}));
    }

    Deadline::Clock::time_point start_ = Deadline::Clock::now();
    std::string host_;
    std::uint16_t port_;
    std::string where_;
    Stream stream_;
    std::string greeting_; ///< to be sent with the first request
    bool proven_ = false;  ///< that it is a store
    Deadline prove_by_;
    std::string death_; ///< why it is closed
    Owed owed_ = Owed::nothing;
    bool owes_value_ = false; ///< behind a wait that was done all the same
};

} // namespace muster::inline v0_1::detail
