// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/store/dialogue.hpp>
#include <muster/store/fd.hpp>
#include <muster/store/table.hpp>

#include <sys/socket.h>
#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace muster::inline v0_1::detail {

/// A client of the server: its socket, which does not block, and its dialogue.
class Peer : public Dialogue {
public:
    Peer(Fd socket, KeyTable& table) : Dialogue(table), socket_(std::move(socket)) {}

    [[nodiscard]] int fd() const noexcept { return socket_.get(); }

    /// Handles what has arrived, as far as it fits into `buffer`. False when the connection is to be closed.
    [[nodiscard]] bool receive(std::span<char> buffer) {
        const ssize_t n = ::recv(fd(), buffer.data(), buffer.size(), 0);
        if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        return n > 0 && feed({buffer.data(), static_cast<std::size_t>(n)});
    }

    /// Sends the replies that there is room for. False when the connection is to be closed.
    [[nodiscard]] bool flush() noexcept {
        std::string& bytes = replies();
        while (sent_ < bytes.size()) {
            const ssize_t n = ::send(fd(), bytes.data() + sent_, bytes.size() - sent_, MSG_NOSIGNAL);
            if (n >= 0)
                sent_ += static_cast<std::size_t>(n);
            else if (errno == EAGAIN || errno == EWOULDBLOCK)
                return true;
            else if (errno != EINTR)
                return false;
        }
        sent_ = 0;
        bytes.clear();
        constexpr std::size_t keep = std::size_t{64} * 1024;
        if (bytes.capacity() > keep) bytes.shrink_to_fit();
        return true;
    }

    /// Whether replies wait for room.
    [[nodiscard]] bool unsent() noexcept { return !replies().empty(); }

private:
    Fd socket_;
    std::size_t sent_ = 0; ///< of replies()
};

} // namespace muster::inline v0_1::detail
