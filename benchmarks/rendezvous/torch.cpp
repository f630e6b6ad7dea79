// SPDX-License-Identifier: Apache-2.0
// torch RANKS   the same over torch's c10d::TCPStore and its libuv server. Prints the time.
//
// The quickest of the ways that its operations offer: every rank sets its message, rank 0 gets all of them at once and
// sets the answer, the others get it, and all meet at a barrier, the store's own where it has one. The ranks do not
// wait for each other on connecting (waitWorkers), which would cost rank 0 a pause of 10 ms.
//
// torch asks for the name of every peer's address, for its messages only. That can go to a name server, and takes 10 s
// where none answers; here the address stands for the name, so that no name server is measured.
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <c10/util/intrusive_ptr.h>
#include <dlfcn.h>
#include <netdb.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "world.hpp"

extern "C" int getnameinfo(const sockaddr* address, socklen_t size, char* host, socklen_t host_size, char* service,
                           socklen_t service_size, int flags) {
    static const auto real = reinterpret_cast<decltype(&getnameinfo)>(::dlsym(RTLD_NEXT, "getnameinfo"));
    return real(address, size, host, host_size, service, service_size, flags | NI_NUMERICHOST);
}

namespace {

using Bytes = std::vector<std::uint8_t>;
using Store = c10::intrusive_ptr<c10d::TCPStore>;

constexpr std::chrono::milliseconds timeout{60000};

template <class S>
void meet(S& store, int ranks) {
    if constexpr (requires { store.barrier("done", ranks, timeout); }) {
        store.barrier("done", ranks, timeout);
    } else {
        if (store.add("count", 1) == ranks) store.set("done", Bytes{1});
        store.wait({"done"}, timeout);
    }
}

std::string measure(int ranks) {
    c10d::TCPStoreOptions options;
    options.port = 0;
    options.isServer = true;
    options.waitWorkers = false;
    options.timeout = timeout;
    options.useLibUV = true;
    auto first = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
    if (!first->isLibUvBackend()) throw std::runtime_error("torch's store does not use libuv");
    options.port = first->getPort();
    options.isServer = false;
    std::vector<std::string> keys;
    for (int rank = 0; rank < ranks; ++rank) keys.push_back("message/" + std::to_string(rank));

    const auto times = rendezvous::run(ranks, [&](int rank, const rendezvous::Message& wanted) {
        Store store = rank == 0 ? first : c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
        const auto gift = rendezvous::gift_of(rank);
        store->set(keys[static_cast<std::size_t>(rank)], Bytes(gift.begin(), gift.end()));
        rendezvous::Message answer{};
        if (rank == 0) {
            for (const Bytes& message : store->multiGet(keys))
                rendezvous::take_in(answer, {reinterpret_cast<const char*>(message.data()), message.size()});
            store->set("answer", Bytes(answer.begin(), answer.end()));
        } else {
            rendezvous::take_in(answer, [&] {
                const Bytes bytes = store->get("answer");
                return std::string(bytes.begin(), bytes.end());
            }());
        }
        rendezvous::require_answer(answer, wanted);
        meet(*store, ranks);
        return store;
    });
    return times.text() + "}";
}

} // namespace

int main(int argc, char** argv) { return rendezvous::program(argc, argv, measure); }
