// SPDX-License-Identifier: Apache-2.0
// Forms a mesh by each rendezvous policy in turn, and keeps words of its own in a store.
#include <muster/gloo.hpp>
#include <muster/store/prefix.hpp>
#include <muster/store/tcp.hpp>
#include <muster/store/tcp_server.hpp>

#include <fmt/format.h>

#include <stdlib.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <future>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using namespace std::chrono_literals;
using Mesh = muster::DeviceMesh<2, muster::dynamic, 1, muster::Gloo>;

void require(bool right, std::string_view what) {
    if (!right) throw std::runtime_error(fmt::format("rendezvous: {}", what));
}

/// Adds up over the world, says how the ranks met, and closes the mesh.
void use(Mesh& mesh) {
    std::vector<int> sum{mesh.rank()};
    mesh.world().all_reduce(sum, muster::sum);
    require(sum[0] == mesh.world_size() * (mesh.world_size() - 1) / 2, "a wrong sum");
    if (mesh.rank() == 0) fmt::print("{} ranks by {}\n", mesh.world_size(), launcher_text(mesh.launch()));
    mesh.close(muster::Deadline::after(20s));
}

void by_the_launcher() {
    Mesh mesh; // with EnvRendezvous, as the launcher's variables say
    use(mesh);
}

void at_a_free_port() {
    Mesh mesh(muster::TcpRendezvous{.host = "127.0.0.1", .port = 0}); // rank and world size are the launcher's
    use(mesh);
}

void at_an_address(const std::string& host, std::uint16_t port, int rank, int world_size) {
    Mesh mesh(muster::TcpRendezvous{.host = host, .port = port, .rank = rank, .world_size = world_size});
    use(mesh);
}

void in_a_folder(const std::filesystem::path& shared) {
    Mesh mesh(muster::FileRendezvous{.path = shared, .job = "guide"}); // no address, no port
    use(mesh);
}

void as_threads() {
    const muster::LocalRendezvous local(4);
    std::vector<std::future<void>> ranks;
    for (int rank = 0; rank < local.world_size(); ++rank)
        ranks.push_back(std::async(std::launch::async, [&local, rank] {
            Mesh mesh(local.rank(rank));
            use(mesh);
        }));
    for (auto& rank : ranks) rank.get(); // throws what the rank threw
}

/// Rank 0's word for all, in the store at which the ranks met: it is there as long as rank 0 has the mesh.
std::string word_of_rank_0(const Mesh& mesh, std::string_view word) {
    const auto soon = muster::Deadline::after(20s);
    const auto& [host, port] = mesh.launch().endpoint.value();
    muster::PrefixStore store(muster::TcpStore(host, port, soon), "my-program"); // apart from muster's own keys
    if (mesh.rank() == 0) store.set("word", word, soon);
    return store.get("word", soon); // waits for it
}

/// A store without a mesh, for whatever a program likes.
std::int64_t visitors() {
    const auto soon = muster::Deadline::after(20s);
    const muster::TcpStoreServer server("127.0.0.1", 0); // any free port
    muster::TcpStore first("127.0.0.1", server.port(), soon);
    muster::TcpStore second("127.0.0.1", server.port(), soon);
    first.add("visitors", 1, soon);
    return second.add("visitors", 1, soon);
}

} // namespace

int main() try {
    const muster::Launch me = muster::detect_launch(muster::Environment::current());
    require(me.endpoint.has_value(), "start more than one process");

    // Runs of this program may stand side by side on a host: each has a folder of its own, and a port file there.
    const auto folder = std::filesystem::temp_directory_path() / fmt::format("muster-guide-{}", me.endpoint->port);
    std::filesystem::create_directories(folder);
    require(::setenv("XDG_RUNTIME_DIR", folder.c_str(), 1) == 0, "no folder of its own");

    if (me.rank == 0) as_threads();
    if (me.rank == 0) require(visitors() == 2, "somebody else is at the store");
    at_a_free_port();
    in_a_folder(folder / "shared");
    at_an_address(me.endpoint->host, me.endpoint->port, me.rank, me.world_size);
    {
        Mesh mesh;
        require(word_of_rank_0(mesh, "step 1200") == "step 1200", "another word");
        mesh.close(muster::Deadline::after(20s));
    }
    by_the_launcher();

    std::error_code kept; // a folder that stays is no failure
    if (me.rank == 0) std::filesystem::remove_all(folder, kept);
    return 0;
} catch (const muster::Error& error) {
    if (!error.shared()) fmt::print(stderr, "{}\n", error.what());
    return 1;
} catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
}
