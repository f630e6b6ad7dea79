// SPDX-License-Identifier: Apache-2.0
#include "bootstrap.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <tuple>
#include <utility>

#include "check_in.hpp"
#include "device.hpp"
#include "rules.hpp"

namespace standin {
namespace {

std::uint64_t hash(const void* data, std::size_t size, std::uint64_t value = 0xcbf29ce484222325u) {
    for (std::size_t i = 0; i < size; ++i) {
        value = (value ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3u;
    }
    return value;
}

/// What NCCL takes for the host: the name that the user gives it, or that of the machine and of its start.
std::uint64_t host_hash() {
    std::string text;
    if (const char* id = std::getenv("NCCL_HOSTID"); id != nullptr) {
        text = id;
    } else {
        char name[256] = {};
        (void)::gethostname(name, sizeof(name) - 1);
        std::ifstream boot("/proc/sys/kernel/random/boot_id");
        std::getline(boot, text);
        text += name;
    }
    return hash(text.data(), text.size());
}

bool duplicates_allowed(const ncclComm& comm) {
    const char* enabled = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
    const auto& now = script();
    return now.find("duplicates", comm.world_rank) != nullptr ||
           (enabled != nullptr && std::strcmp(enabled, "1") == 0 &&
            now.number("version", comm.world_rank, NCCL_VERSION_CODE) >= 23003);
}

void check_duplicates(const ncclComm& comm, const std::vector<Seat>& seats, int rank) {
    if (duplicates_allowed(comm)) return;
    const auto& mine = seats[static_cast<std::size_t>(rank)];
    for (std::size_t other = 0; other < seats.size(); ++other) {
        if (static_cast<int>(other) == rank || seats[other].host != mine.host || seats[other].bus != mine.bus) continue;
        throw Failure{ncclInvalidUsage, "Duplicate GPU detected : rank " + std::to_string(rank) + " and rank " +
                                            std::to_string(other) + " both on CUDA device " + std::to_string(mine.bus)};
    }
}

/// Connects to the lower ranks and waits for the higher ones; strangers are turned away.
std::vector<Fd> connect_all(const Fd& listener, std::uint64_t comm, const std::vector<Seat>& seats, int rank,
                            const Cancel& cancel) {
    struct Hello {
        std::uint64_t comm;
        std::int64_t rank;
    };
    std::vector<Fd> fds(seats.size());
    for (int peer = 0; peer < rank; ++peer) {
        auto& fd = fds[static_cast<std::size_t>(peer)];
        fd = connect_socket(seats[static_cast<std::size_t>(peer)].address, cancel);
        const Hello hello{comm, rank};
        send_all(fd, &hello, sizeof(hello), cancel);
    }
    for (auto left = fds.size() - static_cast<std::size_t>(rank) - 1; left > 0;) {
        auto fd = accept_socket(listener, cancel);
        Hello hello{};
        try {
            receive_all(fd, &hello, sizeof(hello), cancel);
        } catch (const Failure&) {
            cancel.check();
            continue;
        }
        if (hello.comm != comm || hello.rank <= rank || hello.rank >= static_cast<int>(fds.size())) continue;
        fds[static_cast<std::size_t>(hello.rank)] = std::move(fd);
        --left;
    }
    return fds;
}

void give_mesh(ncclComm& comm, int rank, std::vector<Fd> fds) {
    comm.rank = rank;
    comm.size = static_cast<int>(fds.size());
    const auto lost = [weak = comm.weak_from_this()](int peer) {
        const auto self = weak.lock();
        if (!self || self->finalized || !self->alive) return;
        set_last_error("connection closed by remote peer, rank " + std::to_string(peer));
        int none = ncclSuccess; // the first error stays
        self->remote.compare_exchange_strong(none, ncclRemoteError, std::memory_order_acq_rel);
    };
    comm.mesh = std::make_shared<Mesh>(rank, std::move(fds), lost);
    comm.mesh->start();
    comm.ready.store(true, std::memory_order_release);
}

/// The seats of all ranks of the parent that take part; the others have none.
std::vector<Seat> exchange_seats(ncclComm& parent, const Seat& mine, const ChildRequest& request) {
    auto& mesh = *parent.mesh;
    const auto takes_part = [&](int rank) {
        return std::find(request.excluded.begin(), request.excluded.end(), rank) == request.excluded.end();
    };
    Header header;
    header.communicator = parent.hash;
    header.kind = Kind::control;
    header.call = request.call;
    header.number = request.number;
    const auto* bytes = reinterpret_cast<const char*>(&mine);
    std::vector<Seat> seats(static_cast<std::size_t>(mesh.size()));
    for (int peer = 0; peer < mesh.size(); ++peer) {
        if (takes_part(peer)) mesh.send(peer, {header, {bytes, bytes + sizeof(Seat)}});
    }
    for (int peer = 0; peer < mesh.size(); ++peer) {
        if (!takes_part(peer)) continue;
        auto lock = mesh.lock();
        auto& inbox = mesh.inbox(peer, Kind::control);
        const bool there = mesh.wait(
            lock, [&] { return !inbox.empty() || mesh.is_lost(peer) || (peer != mesh.rank() && mesh.said_bye(peer)); });
        if (!there) throw Failure{ncclInternalError, "the communicator was aborted"};
        if (inbox.empty())
            throw Failure{ncclRemoteError, "connection closed by remote peer, rank " + std::to_string(peer)};
        const auto message = std::move(inbox.front());
        inbox.pop_front();
        if (message.header.call != request.call || message.header.number != request.number) {
            lock.unlock();
            broken_rule("ranks " + std::to_string(mesh.rank()) + " and " + std::to_string(peer) +
                        " make other children of one communicator at a time");
            throw Failure{ncclInternalError, "the ranks make other children"};
        }
        std::memcpy(&seats[static_cast<std::size_t>(peer)], message.data.data(), sizeof(Seat));
    }
    auto lock = mesh.lock(); // an abort right after this rank's success is not the others' failure
    (void)mesh.wait(lock, [&] { return mesh.all_sent(); });
    return seats;
}

} // namespace

std::uint64_t hash_of(std::span<const ncclUniqueId> ids) { return hash(ids.data(), ids.size_bytes()); }

void join_by_root(ncclComm& comm, const ncclUniqueId& id, int size, int rank) {
    auto [listener, address] = listen_socket();
    CheckIn said;
    std::memcpy(&said.magic, id.internal, sizeof(said.magic));
    said.length = sizeof(CheckIn);
    said.rank = rank;
    said.size = size;
    said.seat.address = address;
    said.seat.host = host_hash();
    said.seat.bus = static_cast<std::uint64_t>(bus_of(comm.device));
    sockaddr_in root{};
    std::memcpy(&root, id.internal + sizeof(said.magic), sizeof(root));
    const auto fd = connect_socket(root, comm.cancel);
    send_all(fd, &said, sizeof(said), comm.cancel);
    std::vector<Seat> seats(static_cast<std::size_t>(size));
    receive_all(fd, seats.data(), seats.size() * sizeof(Seat), comm.cancel);
    auto fds = connect_all(listener, comm.hash, seats, rank, comm.cancel);
    check_duplicates(comm, seats, rank);
    give_mesh(comm, rank, std::move(fds));
}

void join_by_parent(ncclComm& parent, ncclComm* child, const ChildRequest& request) {
    Fd listener;
    Seat mine;
    mine.color = request.color;
    mine.key = request.key;
    if (child != nullptr) std::tie(listener, mine.address) = listen_socket();
    const auto all = exchange_seats(parent, mine, request);
    if (child == nullptr) return;
    std::vector<std::pair<std::int64_t, int>> members; // key, rank of the parent
    for (int rank = 0; rank < parent.size; ++rank) {
        const bool excluded =
            std::find(request.excluded.begin(), request.excluded.end(), rank) != request.excluded.end();
        const auto& seat = all[static_cast<std::size_t>(rank)];
        if (!excluded && seat.color == request.color) members.emplace_back(seat.key, rank);
    }
    std::sort(members.begin(), members.end());
    std::vector<Seat> seats;
    int own = -1;
    for (const auto& [key, rank] : members) {
        if (rank == parent.rank) own = static_cast<int>(seats.size());
        seats.push_back(all[static_cast<std::size_t>(rank)]);
    }
    const std::uint64_t of[3] = {parent.hash, request.number, static_cast<std::uint64_t>(request.color)};
    child->hash = hash(of, sizeof(of));
    give_mesh(*child, own, connect_all(listener, child->hash, seats, own, parent.cancel));
}

} // namespace standin
