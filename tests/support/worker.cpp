// SPDX-License-Identifier: Apache-2.0
// One rank of a fault test: forms a mesh, adds up over the world, says so. Can be told to fail or to die on the way.
//
//   worker [--timeout MS] [--tp N] [--dp N] [--cp N] [--device N] [--share] [--max-ctas N] [--file PATH [--job NAME]]
//          [--port N] [--FAULT]...
//   --again N             N more times, with a new mesh at the same place
//   --port N              meet at 127.0.0.1:N, not where the launcher says
//
// FAULT is one of
//   die-at-operation K    end without a word at the K-th store operation (from 1)
//   fail-device           throw when the device is taken, before the roll call
//   fail-connect          throw when the backend connects, after the roll call
//   die-connect           end without a word at that place
//   slow-connect MS       connect late
//   stall MS              connect, then do nothing for so long before the axes are made
//   die-after-commit      end without a word once the mesh is formed
//   die-after-operation   end without a word once an operation was called
//   linger MS             keep the mesh open for so long
// and MUSTER_FAULT_RANK, if set, limits it to that rank.
//
//   --kill-at RANK@PLACE,...   one for each attempt of torchrun: that rank ends by SIGKILL at one of
//     start, store, hello, verdict   before the store is reached, once it is, hello said, the verdict heard
//     connecting                     while the backend waits for the others, which come a second later
//     connected, commit, formed      the backend connected, before the word that commits, with the mesh formed
#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "../../docs/examples/backend.hpp"

namespace {

/// The options by name; what this process is to do to itself is among them.
std::map<std::string, long, std::less<>> arguments;

[[nodiscard]] std::string_view variable(const char* name) {
    const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): nobody sets variables here
    return value == nullptr ? std::string_view() : std::string_view(value);
}

[[nodiscard]] bool has(std::string_view name) {
    const std::string_view only = variable("MUSTER_FAULT_RANK"), rank = variable("RANK");
    return arguments.contains(name) && (only.empty() || rank.empty() || only == rank);
}

/// Whom --kill-at kills in this attempt, and where.
struct Kill {
    std::string_view rank;
    std::string_view place;

    /// The entry of `list` for this attempt, if there is one.
    static Kill of_this_attempt(std::string_view list) {
        const std::string_view count = variable("TORCHELASTIC_RESTART_COUNT");
        for (int skip = count.empty() ? 0 : std::stoi(std::string(count)); skip > 0 && !list.empty(); --skip)
            list.remove_prefix(std::min(list.find(','), list.size() - 1) + 1);
        const std::string_view entry = list.substr(0, list.find(','));
        const std::size_t at = entry.find('@');
        return at == std::string_view::npos ? Kill{} : Kill{entry.substr(0, at), entry.substr(at + 1)};
    }

    [[nodiscard]] bool is_me() const { return rank == variable("RANK"); }

    [[noreturn]] void now() const {
        fmt::print(stderr, "worker: rank {} is killed at {}\n", rank, place);
        std::fflush(stderr);
        (void)std::raise(SIGKILL);
        std::abort();
    }
    void if_at(std::string_view here) const {
        if (place == here && is_me()) now();
    }
} to_kill;

[[noreturn]] void die(std::string_view where) {
    fmt::print(stderr, "worker: dies at {}\n", where);
    std::fflush(stderr);
    ::_exit(13);
}

/// A store that ends the process at the K-th operation.
class MortalStore {
public:
    explicit MortalStore(muster::AnyStore store) : store_(std::move(store)) {}

    void set(std::string_view key, std::string_view value, muster::Deadline deadline) {
        live("set", key).set(key, value, deadline);
    }
    std::string get(std::string_view key, muster::Deadline deadline) { return live("get", key).get(key, deadline); }
    bool wait(std::span<const std::string> keys, muster::Deadline deadline) {
        return live("wait", keys.front()).wait(keys, deadline);
    }
    bool check(std::span<const std::string> keys, muster::Deadline deadline) {
        return live("check", keys.front()).check(keys, deadline);
    }
    std::int64_t add(std::string_view key, std::int64_t n, muster::Deadline deadline) {
        return live("add", key).add(key, n, deadline);
    }
    std::string compare_set(std::string_view key, std::string_view expected, std::string_view desired,
                            muster::Deadline deadline) {
        if (key.ends_with("/decision")) to_kill.if_at("commit");
        return live("compare_set", key).compare_set(key, expected, desired, deadline);
    }
    void append(std::string_view key, std::string_view value, muster::Deadline deadline) {
        live("append", key).append(key, value, deadline);
    }
    std::vector<std::string> multi_get(std::span<const std::string> keys, muster::Deadline deadline) {
        return live("multi_get", keys.front()).multi_get(keys, deadline);
    }
    void multi_set(std::span<const std::string> keys, std::span<const std::string> values, muster::Deadline deadline) {
        const auto any = [&](auto is) { return std::any_of(keys.begin(), keys.end(), is); };
        if (any([](const std::string& key) { return key.find("/done/") != std::string::npos; }))
            to_kill.if_at("commit");
        live("multi_set", keys.front()).multi_set(keys, values, deadline);
        if (any([](const std::string& key) { return key.starts_with("hello/"); })) to_kill.if_at("hello");
    }
    bool remove(std::string_view key, muster::Deadline deadline) { return live("remove", key).remove(key, deadline); }
    std::int64_t num_keys(muster::Deadline deadline) { return live("num_keys", "").num_keys(deadline); }

private:
    muster::AnyStore& live(std::string_view operation, std::string_view key) {
        if (has("--die-at-operation") && ++count_ == arguments["--die-at-operation"])
            die(fmt::format("store operation {}: {} {}", count_, operation, key));
        return store_;
    }

    muster::AnyStore store_;
    long count_ = 0;
};

template <class R>
struct MortalRendezvous {
    R inner;

    [[nodiscard]] muster::Launch launch() const {
        if (!arguments.contains("--port")) return inner.launch();
        return muster::TcpRendezvous{"127.0.0.1", static_cast<std::uint16_t>(arguments["--port"])}.launch();
    }
    [[nodiscard]] muster::Meeting connect(const muster::Launch& launch, muster::Deadline deadline) const {
        to_kill.if_at("start");
        muster::Meeting meeting = inner.connect(launch, deadline);
        to_kill.if_at("store");
        // Operation by operation only where that matters: the store does several in one message.
        if (has("--die-at-operation") || to_kill.is_me())
            meeting.store = muster::AnyStore(MortalStore(std::move(meeting.store)));
        return meeting;
    }
};

/// The backend, failing where it is told to.
class Faulty : public example::Backend {
    using Base = example::Backend;

public:
    Faulty(const muster::Launch& launch, const muster::Options& options) : Base(launch, options) {
        if (has("--fail-device")) throw std::runtime_error("the device burns");
    }

    Communicator connect(muster::AnyStore& store, const muster::Session& session, muster::Deadline deadline) {
        to_kill.if_at("verdict");
        if (to_kill.place == "connecting") await_death();
        if (has("--slow-connect")) std::this_thread::sleep_for(std::chrono::milliseconds(arguments["--slow-connect"]));
        if (has("--die-connect")) die("connect");
        if (has("--fail-connect")) throw std::runtime_error("the network burns");
        Communicator world = Base::connect(store, session, deadline);
        to_kill.if_at("connected");
        if (has("--stall")) std::this_thread::sleep_for(std::chrono::milliseconds(arguments["--stall"]));
        return world;
    }

private:
    /// The rank to kill goes on to connect and is killed meanwhile; the others let it wait.
    static void await_death() {
        using namespace std::chrono_literals;
        if (!to_kill.is_me()) return std::this_thread::sleep_for(1s);
        std::thread([] {
            std::this_thread::sleep_for(300ms);
            to_kill.now();
        }).detach();
    }
};

template <class R>
void run(R rendezvous) {
    const auto extent = [](std::string_view name) {
        return arguments.contains(name) ? std::optional(static_cast<int>(arguments.find(name)->second)) : std::nullopt;
    };
    muster::Options options;
    if (arguments.contains("--timeout")) options.timeout = std::chrono::milliseconds(arguments["--timeout"]);
    if (arguments.contains("--device")) options.device = static_cast<int>(arguments["--device"]);
    options.nccl.allow_shared_device = arguments.contains("--share");
    if (arguments.contains("--max-ctas")) options.nccl.tp.max_ctas = static_cast<int>(arguments["--max-ctas"]);
    options.nccl.abort_timeout = std::chrono::seconds(2);
    using Mesh = muster::DeviceMesh<muster::dynamic, muster::dynamic, muster::dynamic, Faulty>;
    Mesh mesh(muster::Extents{.tp = extent("--tp").value_or(1), .dp = extent("--dp"), .cp = extent("--cp").value_or(1)},
              MortalRendezvous<R>{std::move(rendezvous)}, options);
    to_kill.if_at("formed");
    if (has("--die-after-commit")) die("after commit");
    example::Array<int> value({mesh.rank()});
    mesh.world().all_reduce(value, muster::sum);
    if (has("--die-after-operation")) die("after an operation");
    mesh.world().wait({}, muster::Deadline::after(options.timeout));
    if (value.to_host()[0] != mesh.world_size() * (mesh.world_size() - 1) / 2) throw std::runtime_error("wrong sum");
    if (has("--linger")) std::this_thread::sleep_for(std::chrono::milliseconds(arguments["--linger"]));
    mesh.close(muster::Deadline::after(options.timeout));
    fmt::print("worker: rank {} of {}: ok\n", mesh.rank(), mesh.world_size());
}

} // namespace

int main(int argc, char** argv) {
    try {
        muster::FileRendezvous file;
        for (int i = 1; i < argc; ++i) {
            const std::string name = argv[i];
            if (name == "--kill-at" && i + 1 < argc) {
                to_kill = Kill::of_this_attempt(argv[++i]);
                continue;
            }
            if (i + 1 < argc && name == "--file") file.path = argv[++i];
            if (i + 1 < argc && name == "--job") file.job = argv[++i];
            if (name == "--file" || name == "--job") continue;
            const bool number = i + 1 < argc && std::string_view(argv[i + 1]).substr(0, 2) != "--";
            arguments[name] = number ? std::stol(argv[++i]) : 1;
        }
        for (long left = std::max(arguments["--again"], 0L); left >= 0; --left)
            file.path.empty() ? run(muster::EnvRendezvous{}) : run(file);
        return 0;
    } catch (const muster::Error& error) {
        fmt::print(stderr, "{}\n[{}; {}; about {}; shared {}]\n", error.what(), to_string(error.code()),
                   to_string(error.stage()), fmt::join(error.ranks(), " "), error.shared());
        muster::write_error_file(error);
        return 3;
    } catch (const std::exception& error) {
        fmt::print(stderr, "worker: {}\n", error.what());
        return 4;
    }
}
