// SPDX-License-Identifier: Apache-2.0
// Serves a store on loopback until it is ended; prints the port. Stands for a launcher's agent.
#include <muster/store/tcp_server.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <cstdio>

int main() {
    const muster::TcpStoreServer server("127.0.0.1", 0);
    fmt::print("{}\n", server.port());
    std::fflush(stdout);
    ::pause();
}
