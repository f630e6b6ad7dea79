// SPDX-License-Identifier: Apache-2.0
// What a stream does for one launch: every rank tells every other what it was called with, and the data.
#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

#include "failure.hpp"
#include "operation.hpp"
#include "rules.hpp"

namespace standin {
namespace {

/// The launch is dropped: its communicator was aborted or revoked.
struct Dropped {};

/// The launch stays on its stream until it is dropped.
struct Stuck {};

const char* at(const void* data, std::size_t offset) { return static_cast<const char*>(data) + offset; }
char* at(void* data, std::size_t offset) { return static_cast<char*>(data) + offset; }

class Launch {
public:
    explicit Launch(std::vector<Operation> operations)
        : comm_(operations.front().comm),
          mesh_(*comm_->mesh),
          operations_(std::move(operations)) {
        // Sends and receives first: they wait for nobody who is in a collective of the same launch.
        const auto pair = [](const Operation& operation) { return operation.is_pair(); };
        if (operations_.size() > 1) std::stable_partition(operations_.begin(), operations_.end(), pair);
        pairs_ = static_cast<std::size_t>(std::count_if(operations_.begin(), operations_.end(), pair));
        for (const auto& operation : operations_) stuck_ = stuck_ || operation.action.what == Do::async;
        const auto lock = mesh_.lock();
        ticket_ = comm_->launched++;
        began_ = comm_->collectives;
        comm_->collectives += operations_.size() - pairs_;
    }

    void run() {
        auto lock = mesh_.lock();
        if (!mesh_.wait(lock, [&] { return dropped() || comm_->executed >= ticket_; })) return;
        if (!dropped()) {
            comm_->executing = true;
            lock.unlock();
            bool ends = true;
            try {
                if (stuck_) throw Stuck{};
                run_pairs();
                for (const auto& operation : std::span(operations_).subspan(pairs_)) {
                    run_collective(operation);
                    ++began_;
                }
            } catch (const Dropped&) {
            } catch (const Stuck&) {
                ends = false;
            }
            lock.lock();
            comm_->executing = false;
            mesh_.notify();
            if (!ends) (void)mesh_.wait(lock, [&] { return dropped(); });
        }
        comm_->executed = std::max(comm_->executed, ticket_ + 1);
        mesh_.notify();
    }

private:
    bool dropped() const { return comm_->operations_cut || ticket_ < comm_->cut_below; }

    /// The peer is in a collective that this rank has not begun while it waits for a send or its receipt, or the other
    /// way round. What a peer sends comes in order: such two will never meet.
    const Message* conflict(int peer, Kind kind) {
        const auto other = kind == Kind::collective ? Kind::pair : Kind::collective;
        const auto& inbox = mesh_.inbox(peer, other);
        if (inbox.empty()) return nullptr;
        const auto& header = inbox.front().header;
        return (other == Kind::pair ? header.collectives : header.number) == began_ ? &inbox.front() : nullptr;
    }

    bool may_come(int peer, Kind kind) { return conflict(peer, kind) == nullptr && !mesh_.said_bye(peer); }

    Message take(int peer, Kind kind, const Operation& mine) {
        auto lock = mesh_.lock();
        auto& inbox = mesh_.inbox(peer, kind);
        const bool there = mesh_.wait(
            lock, [&] { return dropped() || !inbox.empty() || (peer != mesh_.rank() && !may_come(peer, kind)); });
        if (!there || dropped()) throw Dropped{};
        if (inbox.empty()) {
            const auto* other = conflict(peer, kind);
            const auto header = other != nullptr ? other->header : Header{};
            lock.unlock();
            disagree(mine, peer, header);
        }
        auto message = std::move(inbox.front());
        inbox.pop_front();
        return message;
    }

    [[noreturn]] void disagree(const Operation& mine, int peer, const Header& theirs) {
        const auto text = "ranks disagree on operation " + std::to_string(began_) + " of one communicator: rank " +
                          std::to_string(mesh_.rank()) + " called " + describe(header_of(mine)) + ", rank " +
                          std::to_string(peer) + " called " + describe(theirs);
        comm_->remote = ncclInternalError;
        broken_rule(text);
        throw Stuck{};
    }

    Header header(const Operation& operation, Kind kind) const {
        auto made = header_of(operation);
        made.communicator = comm_->hash;
        made.kind = kind;
        made.number = began_;
        made.collectives = began_;
        return made;
    }

    void run_pairs() {
        const auto pairs = std::span(operations_).first(pairs_);
        for (const auto& mine : pairs) {
            if (mine.call != Call::send) continue;
            const auto* data = static_cast<const char*>(mine.send);
            mesh_.send(mine.root, {header(mine, Kind::pair), {data, data + mine.bytes()}});
        }
        for (const auto& mine : pairs) {
            if (mine.call != Call::recv) continue;
            const auto message = take(mine.root, Kind::pair, mine);
            const auto& theirs = message.header;
            if (theirs.count != mine.count || theirs.type != static_cast<int>(mine.type) ||
                theirs.collectives != began_) {
                disagree(mine, mine.root, theirs);
            }
            if (!message.data.empty()) std::memcpy(mine.recv, message.data.data(), message.data.size());
            mesh_.send(mine.root, {header(mine, Kind::receipt), {}});
        }
        for (const auto& mine : pairs) {
            if (mine.call == Call::send) (void)take(mine.root, Kind::receipt, mine);
        }
    }

    /// What this rank has for the peer, itself included.
    std::vector<char> part_for(const Operation& mine, int peer) const {
        const auto me = mesh_.rank();
        const auto bytes = mine.bytes();
        std::size_t offset = 0;
        bool has = true;
        switch (mine.call) {
            case Call::reduce:
            case Call::gather: has = peer == mine.root; break;
            case Call::broadcast: has = me == mine.root; break;
            case Call::scatter: has = me == mine.root; [[fallthrough]];
            case Call::reduce_scatter:
            case Call::all_to_all: offset = static_cast<std::size_t>(peer) * bytes; break;
            default: break;
        }
        if (!has) return {};
        std::vector<char> part(at(mine.send, offset), at(mine.send, offset) + bytes);
        if (mine.op == Reduction::premultiplied) {
            auto scalar = mine.user.scalar;
            if (mine.user.device_scalar != nullptr) {
                std::memcpy(scalar.bytes.data(), mine.user.device_scalar, size_of(mine.type));
            }
            multiply(part.data(), scalar, mine.count, mine.type);
        }
        return part;
    }

    void run_collective(const Operation& mine) {
        const auto me = mesh_.rank();
        const auto size = static_cast<std::size_t>(mesh_.size());
        std::vector<std::vector<char>> parts(size);
        for (int peer = 0; peer < mesh_.size(); ++peer) {
            auto part = part_for(mine, peer);
            if (peer == me)
                parts[static_cast<std::size_t>(me)] = std::move(part);
            else
                mesh_.send(peer, {header(mine, Kind::collective), std::move(part)});
        }
        const auto own = header(mine, Kind::collective);
        for (int peer = 0; peer < mesh_.size(); ++peer) {
            if (peer == me) continue;
            auto message = take(peer, Kind::collective, mine);
            const auto& theirs = message.header;
            if (theirs.call != own.call || theirs.count != own.count || theirs.type != own.type ||
                theirs.op != own.op || theirs.root != own.root || theirs.number != own.number) {
                disagree(mine, peer, theirs);
            }
            parts[static_cast<std::size_t>(peer)] = std::move(message.data);
        }
        finish(mine, parts);
    }

    void finish(const Operation& mine, const std::vector<std::vector<char>>& parts) {
        const bool is_root = mesh_.rank() == mine.root;
        switch (mine.call) {
            case Call::reduce:
                if (!is_root) return;
                [[fallthrough]];
            case Call::all_reduce:
            case Call::reduce_scatter: {
                std::vector<const char*> data;
                for (const auto& part : parts) data.push_back(part.data());
                reduce(mine.recv, data.data(), mesh_.size(), mine.count, mine.type, mine.op);
                return;
            }
            case Call::broadcast:
            case Call::scatter: {
                const auto& part = parts[static_cast<std::size_t>(mine.root)];
                std::memcpy(mine.recv, part.data(), part.size());
                return;
            }
            case Call::gather:
                if (!is_root) return;
                [[fallthrough]];
            default:
                for (std::size_t peer = 0; peer < parts.size(); ++peer) {
                    std::memcpy(at(mine.recv, peer * mine.bytes()), parts[peer].data(), parts[peer].size());
                }
        }
    }

    Comm comm_;
    Mesh& mesh_;
    std::vector<Operation> operations_;
    std::size_t pairs_ = 0; // that many come first
    std::uint64_t ticket_ = 0;
    std::uint64_t began_ = 0; // collectives of the communicator before the one that runs
    bool stuck_ = false;
};

} // namespace

const char* name_of(Call call) {
    static constexpr std::array names = {"nothing more",  "ncclAllReduce",     "ncclReduce",   "ncclBroadcast",
                                         "ncclAllGather", "ncclReduceScatter", "ncclAlltoAll", "ncclGather",
                                         "ncclScatter",   "ncclSend",          "ncclRecv"};
    return names.at(static_cast<std::size_t>(call));
}

Header header_of(const Operation& operation) {
    Header header;
    header.call = static_cast<std::uint32_t>(operation.call);
    header.count = operation.count;
    header.type = operation.type;
    header.op = static_cast<std::int32_t>(operation.op);
    header.root = operation.root;
    return header;
}

std::string describe(const Header& header) {
    return std::string(name_of(static_cast<Call>(header.call))) + "(count " + std::to_string(header.count) + ", type " +
           std::to_string(header.type) + ", op " + std::to_string(header.op) + ", root or peer " +
           std::to_string(header.root) + ")";
}

void launch(std::vector<Operation> operations) {
    const auto stream = operations.front().stream;
    std::vector<std::shared_ptr<Stream>> others;
    for (const auto& operation : operations) {
        if (operation.stream != stream && std::find(others.begin(), others.end(), operation.stream) == others.end()) {
            others.push_back(operation.stream);
        }
    }
    // One launch: it begins after what is on all its streams, and they go on after it.
    for (const auto& other : others) {
        submit(*stream, [other, ticket = submit(*other, [] {})] { other->wait(ticket); });
    }
    const auto work = std::make_shared<Launch>(std::move(operations));
    const auto ticket = submit(*stream, [work] { work->run(); });
    for (const auto& other : others) {
        submit(*other, [stream, ticket] { stream->wait(ticket); });
    }
}

} // namespace standin
