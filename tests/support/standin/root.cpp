// SPDX-License-Identifier: Apache-2.0
// Where the ranks of a new communicator check in. As the real one it reads one rank after the other, ignores who does
// not know the magic number, and leaves without a word when the ranks do not fit together.
#include <cstring>
#include <random>
#include <set>
#include <thread>
#include <utility>

#include "bootstrap.hpp"
#include "check_in.hpp"

namespace standin {
namespace {

struct Guest {
    Fd fd;
    CheckIn said;
};

/// False when the root ends without an answer.
bool gather(const Fd& listener, std::uint64_t magic, const Cancel& never, std::vector<Guest>& guests) {
    std::set<int> ranks;
    do {
        Guest guest{accept_socket(listener, never), {}};
        try {
            receive_all(guest.fd, &guest.said.magic, sizeof(guest.said.magic), never);
        } catch (const Failure&) {
            continue;
        }
        if (guest.said.magic != magic) continue;
        auto* rest = reinterpret_cast<char*>(&guest.said) + sizeof(guest.said.magic);
        receive_all(guest.fd, rest, sizeof(CheckIn) - sizeof(guest.said.magic), never);
        const auto& said = guest.said;
        if (said.type != CheckIn::right_type) return false;
        guests.push_back(std::move(guest));
        if (guests.front().said.size != guests.back().said.size) {
            set_last_error("Bootstrap Root : mismatch in rank count from procs " +
                           std::to_string(guests.front().said.size) + " : " + std::to_string(guests.back().said.size));
            return false;
        }
        if (!ranks.insert(guests.back().said.rank).second) {
            set_last_error("Bootstrap Root : rank " + std::to_string(guests.back().said.rank) +
                           " has already checked in");
            return false;
        }
    } while (guests.empty() || guests.size() < static_cast<std::size_t>(guests.front().said.size));
    return true;
}

void serve(Fd listener, std::uint64_t magic) {
    const Cancel never;
    std::vector<Guest> guests;
    try {
        if (gather(listener, magic, never, guests)) {
            listener.reset();
            std::vector<Seat> seats(guests.size());
            for (const auto& guest : guests) seats.at(static_cast<std::size_t>(guest.said.rank)) = guest.said.seat;
            for (const auto& guest : guests) send_all(guest.fd, seats.data(), seats.size() * sizeof(Seat), never);
            return;
        }
    } catch (const Failure& failure) {
        set_last_error(failure.text);
    }
    // Who checked in waits for ever: its connection stays open.
    static auto& waiting = *new std::pair<std::mutex, std::vector<Guest>>;
    const std::lock_guard lock(waiting.first);
    for (auto& guest : guests) waiting.second.push_back(std::move(guest));
}

} // namespace

ncclUniqueId make_root() {
    std::random_device random;
    const auto magic = (std::uint64_t{random()} << 32u) | random();
    auto [listener, address] = listen_socket();
    ncclUniqueId id{};
    std::memcpy(id.internal, &magic, sizeof(magic));
    std::memcpy(id.internal + sizeof(magic), &address, sizeof(address));
    std::thread([fd = std::move(listener), magic]() mutable { serve(std::move(fd), magic); }).detach();
    return id;
}

} // namespace standin
