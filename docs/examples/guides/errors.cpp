// SPDX-License-Identifier: Apache-2.0
// Provokes every kind of error, most of them in processes as a launcher starts them, checks what each rank gets, and
// prints the texts, which stand in docs/errors.md. Hosts, processes and ports have the names that they have there.
#include <muster/gloo.hpp>
#include <muster/launch/pin.hpp>
#include <muster/store/prefix.hpp>
#include <muster/store/tcp.hpp>
#include <muster/store/tcp_server.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using muster::Environment;
using muster::errc;
using muster::Error;

/// Whether the job may fare better when it is started again as it is. What is wrong with the program, or with the way
/// it was started, stays wrong.
bool may_pass(errc code) {
    switch (code) {
        case errc::timeout:
        case errc::missing_ranks:
        case errc::connection:
        case errc::device:
        case errc::backend:
        case errc::remote: return true; // of any kind on the other rank: its text is quoted, its code is not
        case errc::invalid_argument:
        case errc::invalid_launch:
        case errc::world_mismatch:
        case errc::duplicate_rank:
        case errc::disagreement:
        case errc::protocol:
        case errc::closed: return false;
    }
    return false;
}

/// For the end of main(): says why, once for the whole job, and gives the exit code.
int exit_code_of(const Error& error) {
    if (!error.shared()) fmt::print(stderr, "{}\n", error.what()); // a shared text has been logged once already
    muster::write_error_file(error);                               // for torchrun's summary; elsewhere nothing
    return may_pass(error.code()) ? 1 : 2;
}

void require(bool right, std::string_view what) {
    if (!right) throw std::runtime_error(fmt::format("errors: {}", what));
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
    return text;
}

/// How a rank ended, as its process reports it.
struct End {
    bool failed = false;
    errc code = errc::closed;
    bool shared = false;
    std::vector<int> about; ///< Error::ranks()
    std::string text;       ///< Error::what()
    int exit_code = -1;     ///< -1: killed

    [[nodiscard]] static std::string report(const Error& error) {
        return fmt::format("{} {:d} {} {}\n{}", static_cast<int>(error.code()), error.shared(), error.ranks().size(),
                           fmt::join(error.ranks(), " "), error.what());
    }

    [[nodiscard]] static End from(const std::string& report) {
        End end;
        std::istringstream words(report);
        int code = 0;
        std::size_t count = 0;
        end.failed = static_cast<bool>(words >> code >> end.shared >> count);
        if (!end.failed) return end;
        end.code = static_cast<errc>(code);
        end.about.resize(count);
        for (int& rank : end.about) words >> rank;
        end.text = report.substr(report.find('\n') + 1);
        return end;
    }
};

/// From a child to its parent.
struct Pipe {
    std::array<int, 2> ends{};

    Pipe() { require(::pipe(ends.data()) == 0, "no pipe"); }

    void write(std::string_view text) const {
        require(::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()), "a pipe broke");
    }

    /// All that children wrote, once they have ended. Pre: this process has closed its end for writing.
    [[nodiscard]] std::string read() const {
        std::string all;
        std::array<char, 4096> part{};
        for (ssize_t got = 0; (got = ::read(ends[0], part.data(), part.size())) > 0;)
            all.append(part.data(), static_cast<std::size_t>(got));
        ::close(ends[0]);
        return all;
    }
};

/// A port that nobody has, above those that the system gives out by itself: the ranks open some of these, too.
std::uint16_t free_port() {
    static auto next = static_cast<unsigned>(::getpid());
    for (int attempt = 0; attempt < 100; ++attempt) {
        const auto port = static_cast<std::uint16_t>(61440 + next++ % 4096);
        try {
            const muster::TcpStoreServer probe("127.0.0.1", port);
            return port;
        } catch (const Error&) {
            continue; // somebody has it
        }
    }
    throw std::runtime_error("errors: no port is free");
}

/// The store at which the ranks meet, where the roll call has its keys.
muster::PrefixStore<muster::TcpStore> store_at(std::uint16_t port, muster::Deadline deadline) {
    return {muster::TcpStore("127.0.0.1", port, deadline), "muster/guide"};
}

/// Processes of one job, all on this host, with the variables that torchrun sets. They are gone when it ends.
class Job {
public:
    explicit Job(int world_size, std::optional<std::uint16_t> port = {})
        : world_size_(world_size),
          port_(port ? *port : free_port()) {}
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;
    ~Job() {
        for (std::size_t index = 0; index < processes_.size(); ++index) kill(index);
        for (const Process& each : processes_)
            if (!each.end) ::waitpid(each.id, nullptr, 0);
    }

    /// Starts the process of a rank, which runs body(environment).
    template <class Body>
    void start(int rank, const Body& body) {
        const Pipe report;
        const pid_t id = ::fork();
        require(id >= 0, "no process");
        if (id == 0) ::_exit(run(rank, body, report));
        ::close(report.ends[1]);
        processes_.push_back({id, report, {}});
    }

    template <class Body>
    void start_all(const Body& body) {
        for (int rank = 0; rank < world_size_; ++rank) start(rank, body);
    }

    /// As the kernel ends a process when it needs the memory. The index is that of the order of the starts.
    void kill(std::size_t index) const {
        if (!processes_[index].end) ::kill(processes_[index].id, SIGKILL);
    }

    /// The same when all others have ended.
    void kill_last(std::size_t index) {
        for (std::size_t other = 0; other < processes_.size(); ++other)
            if (other != index) (void)end_of(other);
        kill(index);
    }

    /// Waits until rank 0's store has a key, of the roll call or `stays`.
    void await(std::string_view key) const {
        const auto soon = muster::Deadline::after(20s);
        (void)store_at(port_, soon).get(key, soon);
    }

    /// Waits for a process.
    [[nodiscard]] const End& end_of(std::size_t index) {
        Process& process = processes_[index];
        if (process.end) return *process.end;
        End end = End::from(readable(process.report.read()));
        int status = 0;
        require(::waitpid(process.id, &status, 0) == process.id, "a process is lost");
        if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
        return process.end.emplace(std::move(end));
    }

    /// Waits for all: those that ended by themselves.
    [[nodiscard]] std::vector<End> ends() {
        std::vector<End> all;
        for (std::size_t index = 0; index < processes_.size(); ++index)
            if (end_of(index).exit_code >= 0) all.push_back(end_of(index));
        ::close(errors_.ends[1]);
        said_ = readable(errors_.read());
        return all;
    }

    /// What all wrote to standard error. Pre: ends() was called.
    [[nodiscard]] const std::string& said() const noexcept { return said_; }

private:
    struct Process {
        pid_t id = -1;
        Pipe report;
        std::optional<End> end;
    };

    [[nodiscard]] Environment environment(int rank) const {
        const std::string size = std::to_string(world_size_);
        return {{"RANK", std::to_string(rank)},  {"WORLD_SIZE", size},         {"LOCAL_RANK", std::to_string(rank)},
                {"LOCAL_WORLD_SIZE", size},      {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", std::to_string(port_)},
                {"TORCHELASTIC_RUN_ID", "guide"}};
    }

    /// In the child; what it does not foresee ends the child.
    template <class Body>
    [[nodiscard]] int run(int rank, const Body& body, const Pipe& report) const noexcept {
        ::alarm(60); // no test hangs
        ::dup2(errors_.ends[1], STDERR_FILENO);
        try {
            body(environment(rank));
            return 0;
        } catch (const Error& error) {
            report.write(End::report(error));
            return exit_code_of(error);
        } catch (const std::exception& error) {
            fmt::print(stderr, "{}\n", error.what());
            return 3;
        }
    }

    /// As processes 4121, 4122 and so on, in the order of their start, of a host gpu01 would say it.
    [[nodiscard]] std::string readable(std::string text) const {
        std::array<char, 256> host{};
        require(::gethostname(host.data(), host.size() - 1) == 0, "no host name");
        int number = 4121;
        for (const Process& each : processes_)
            text = replaced(std::move(text), fmt::format("{}:{}", host.data(), each.id),
                            fmt::format("gpu01:{}", number++));
        text = replaced(std::move(text), fmt::format("on host {}", host.data()), "on host gpu01");
        return replaced(std::move(text), fmt::format("127.0.0.1:{}", port_), "127.0.0.1:29500");
    }

    int world_size_;
    std::uint16_t port_;
    Pipe errors_;
    std::vector<Process> processes_;
    std::string said_;
};

void show(errc expected, errc code, std::string_view text) {
    require(code == expected, fmt::format("{} instead of {}: {}", to_string(code), to_string(expected), text));
    fmt::print("== {}\n{}\n\n", to_string(code), text);
}

/// An error of one rank alone.
void show(errc expected, const End& end) {
    require(end.failed && !end.shared, fmt::format("no error of one rank alone: {}", end.text));
    require(end.exit_code == (may_pass(expected) ? 1 : 2), fmt::format("exit code {}", end.exit_code));
    show(expected, end.code, end.text);
}

/// The one error of all ranks that were not killed: the same text, and said once.
void show_shared(errc expected, Job& job, const std::vector<int>& about) {
    const auto ends = job.ends();
    require(!ends.empty(), "nobody is left");
    const std::string& text = ends.front().text;
    for (const End& end : ends)
        require(end.failed && end.shared && end.about == about && end.text == text,
                fmt::format("not one error for all: {}\n{}", end.text, job.said()));
    require(job.said() == text + '\n', fmt::format("not said once: {}", job.said()));
    show(expected, ends.front().code, text);
}

template <int TP, int DP, class Backend = muster::Gloo>
using Mesh = muster::DeviceMesh<TP, DP, 1, Backend>;

muster::Options within(std::chrono::milliseconds timeout) {
    muster::Options options;
    options.timeout = timeout;
    return options;
}

/// What a rank does: forms a mesh and leaves it again.
template <class M>
auto form(std::chrono::milliseconds timeout = 20s) {
    return [timeout](const Environment& environment) {
        const M mesh(muster::EnvRendezvous{.environment = environment}, within(timeout));
    };
}

/// What a rank does: forms a mesh, if it can, says so in the store, and stays until it is killed.
template <class M>
void stay(const Environment& environment) {
    const M mesh(muster::EnvRendezvous{.environment = environment}, within(20s));
    const auto soon = muster::Deadline::after(20s);
    store_at(mesh.launch().endpoint.value().port, soon).set("stays", "yes", soon);
    ::pause();
}

/// A backend that does not come back from connecting: before it has begun, or when the world is connected.
template <bool Begins>
struct Stuck : muster::Gloo {
    using Gloo::Gloo;
    Communicator connect(muster::AnyStore& store, const muster::Session& session, muster::Deadline deadline) {
        std::optional<Communicator> world;
        if (Begins) world = Gloo::connect(store, session, deadline);
        for (;;) ::pause();
    }
};

/// A backend that takes one of four GPUs, by the rule by which the NCCL backend does.
struct NumberedGpu : muster::Gloo {
    NumberedGpu(const muster::Launch& launch, const muster::Options& options)
        : Gloo(launch, options),
          choice(muster::detail::choose_device(launch, options.device, 4)) {}
    [[nodiscard]] std::string exclusive() const {
        return fmt::format("GPU-8f3c1a22-5b0e-9d41-6a77-03c2f1e8b95{}", choice.ordinal);
    }
    [[nodiscard]] std::string device_source() const { return choice.from + ", CUDA_VISIBLE_DEVICES not set"; }

    muster::detail::DeviceChoice choice;
};

/// The error that a call throws.
template <class Call>
Error error_of(const Call& call) {
    try {
        call();
    } catch (const Error& error) {
        return error;
    }
    throw std::runtime_error("errors: no error came");
}

void show_invalid_argument() {
    Job sizes(2);
    sizes.start_all([](const Environment& environment) {
        Mesh<1, 2> mesh(muster::EnvRendezvous{.environment = environment}, within(20s));
        const std::vector<float> mine(2);
        std::vector<float> all(3);
        mesh.dp().all_gather(mine, all);
    });
    show(errc::invalid_argument, sizes.ends()[0]);

    Job extents(4);
    extents.start_all([](const Environment& environment) {
        const Mesh<2, 2> mesh(muster::Extents{.tp = 4}, muster::EnvRendezvous{.environment = environment}, within(20s));
    });
    show_shared(errc::invalid_argument, extents, {0, 1, 2, 3});
}

/// Task 1 of srun -n 4 on one node.
Environment task_of_srun() {
    return {{"SLURM_JOB_ID", "4711"},         {"SLURM_STEP_ID", "0"},        {"SLURM_PROCID", "1"},
            {"SLURM_LOCALID", "1"},           {"SLURM_NODEID", "0"},         {"SLURM_STEP_NUM_TASKS", "4"},
            {"SLURM_STEP_NODELIST", "gpu01"}, {"SLURM_STEP_NUM_NODES", "1"}, {"SLURM_STEP_TASKS_PER_NODE", "4"}};
}

void show_invalid_launch() {
    const auto refused = [](const Environment& environment) {
        const Error error = error_of([&] { (void)muster::detect_launch(environment); });
        require(!error.shared(), "the others cannot know");
        show(errc::invalid_launch, error.code(), error.what());
    };
    refused({{"RANK", "3"}, {"MASTER_ADDR", "gpu01"}, {"MASTER_PORT", "29500"}});
    refused({{"RANK", "3x"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "gpu01"}, {"MASTER_PORT", "29500"}});
    refused({{"SLURM_JOB_ID", "4711"}, {"SLURM_JOB_NAME", "train"}, {"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}});

    Environment exported = task_of_srun(); // by a script that does so before srun
    exported.set("RANK", "0");
    refused(exported);

    Environment two = task_of_srun();
    for (const auto* each : {"OMPI_COMM_WORLD_SIZE", "PRTE_LAUNCHED"}) two.set(each, "1");
    two.set("OMPI_COMM_WORLD_RANK", "0");
    two.set("MASTER_PORT", "29500");
    refused(two);

    refused({{"OMPI_COMM_WORLD_RANK", "5"}, // of Open MPI 5 on two hosts
             {"OMPI_COMM_WORLD_SIZE", "8"},
             {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
             {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
             {"PRTE_LAUNCHED", "1"},
             {"PMIX_NAMESPACE", "prterun-gpu01-4242@1"}});
}

void show_world_mismatch() {
    Job product(6);
    product.start_all([](Environment environment) {
        environment.set("DP_SIZE", "2");
        form<Mesh<2, muster::dynamic>>()(environment);
    });
    show_shared(errc::world_mismatch, product, {0, 1, 2, 3, 4, 5});

    Job remainder(4);
    remainder.start_all(form<Mesh<3, muster::dynamic>>());
    show_shared(errc::world_mismatch, remainder, {0, 1, 2, 3});
}

void show_timeout() {
    Job job(2);
    job.start_all([](const Environment& environment) {
        Mesh<1, 2> mesh(muster::EnvRendezvous{.environment = environment}, within(20s));
        if (mesh.rank() == 1) ::pause(); // does something else meanwhile
        std::vector<float> gradients(1024);
        mesh.dp().set_timeout(1s);
        mesh.dp().all_reduce(gradients, muster::avg);
    });
    job.kill_last(1);
    show(errc::timeout, job.ends()[0]);

    const muster::TcpStoreServer server("127.0.0.1", 0);
    muster::TcpStore store("127.0.0.1", server.port(), muster::Deadline::after(20s));
    const Error error = error_of([&] { (void)store.get("my/key", muster::Deadline::after(500ms)); });
    show(errc::timeout, error.code(), replaced(error.what(), store.address(), "127.0.0.1:29500"));
}

void show_missing_ranks() {
    Job late(4);
    for (const int rank : {0, 1, 2}) late.start(rank, form<Mesh<2, 2>>(2s));
    show_shared(errc::missing_ranks, late, {3});

    Job headless(4);
    for (const int rank : {1, 2, 3}) headless.start(rank, form<Mesh<2, 2>>(2s));
    const auto ends = headless.ends();
    for (const End& end : ends) require(end.about == std::vector{0}, end.text);
    show(errc::missing_ranks, ends[0]);

    Job stuck(4);
    stuck.start_all([](const Environment& environment) {
        if (environment.get("RANK") == "2") stay<Mesh<1, 4, Stuck<true>>>(environment);
        form<Mesh<1, 4>>(2s)(environment);
    });
    stuck.kill_last(2);
    show_shared(errc::missing_ranks, stuck, {2});
}

void show_duplicate_rank() {
    Job doubled(4);
    for (const int rank : {0, 1, 2}) doubled.start(rank, form<Mesh<2, 2>>());
    doubled.await("hello/2");
    doubled.start(2, form<Mesh<2, 2>>());
    show_shared(errc::duplicate_rank, doubled, {2});

    Job formed(2);
    formed.start_all(stay<Mesh<1, 2>>);
    formed.await("formed");
    formed.start(1, form<Mesh<1, 2>>());
    show(errc::duplicate_rank, formed.end_of(2));
}

void show_disagreement() {
    Job sizes(4);
    for (const int rank : {0, 1}) sizes.start(rank, form<Mesh<1, muster::dynamic>>());
    sizes.start(2, [](Environment environment) {
        environment.set("WORLD_SIZE", "3");
        environment.set("LOCAL_WORLD_SIZE", "3");
        form<Mesh<1, muster::dynamic>>()(environment);
    });
    sizes.start(3, form<Mesh<1, muster::dynamic>>());
    show_shared(errc::disagreement, sizes, {2});

    Job meshes(4);
    for (const int rank : {0, 1}) meshes.start(rank, form<Mesh<2, 2>>());
    meshes.start(2, form<Mesh<4, 1>>());
    meshes.start(3, form<Mesh<2, 2>>());
    show_shared(errc::disagreement, meshes, {2});
}

/// Another program that listens on this host, and says the same to everybody.
class Stranger {
public:
    Stranger() {
        const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const name = reinterpret_cast<sockaddr*>(&address);
        require(::bind(listener, name, size) == 0 && ::listen(listener, 8) == 0 &&
                    ::getsockname(listener, name, &size) == 0,
                "nobody can listen");
        port_ = ntohs(address.sin_port);
        id_ = ::fork();
        require(id_ >= 0, "no process");
        if (id_ == 0) talk(listener);
        ::close(listener);
    }
    Stranger(const Stranger&) = delete;
    Stranger& operator=(const Stranger&) = delete;
    ~Stranger() {
        ::kill(id_, SIGKILL);
        ::waitpid(id_, nullptr, 0);
    }

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

private:
    [[noreturn]] static void talk(int listener) {
        constexpr std::string_view words = "HTTP/1.1 400 Bad Request\r\n\r\n";
        ::alarm(60);
        for (;;) {
            const int client = ::accept(listener, nullptr, nullptr);
            (void)!::write(client, words.data(), words.size());
            ::shutdown(client, SHUT_WR);
        }
    }

    std::uint16_t port_ = 0;
    pid_t id_ = -1;
};

void show_connection_and_protocol() {
    const Stranger stranger;
    Job taken(2, stranger.port());
    taken.start_all(form<Mesh<1, 2>>());
    const auto ends = taken.ends();
    show(errc::connection, ends[0]);
    show(errc::protocol, ends[1]);

    Job folder(2);
    folder.start_all([](const Environment& environment) {
        const muster::FileRendezvous meet{.path = "/shared/nowhere/meet", .environment = environment};
        const Mesh<1, 2> mesh(meet, within(20s));
    });
    show(errc::connection, folder.ends()[0]);
}

void show_remote() {
    Job job(4);
    for (const int rank : {0, 1}) job.start(rank, form<Mesh<2, muster::dynamic>>());
    job.start(2, form<Mesh<3, muster::dynamic>>());
    job.start(3, form<Mesh<2, muster::dynamic>>());
    show_shared(errc::remote, job, {2});
}

void show_device() {
    Job job(4);
    job.start_all([](const Environment& environment) {
        auto options = within(20s);
        if (environment.get("RANK") == "2") options.device = 1;
        const Mesh<2, 2, NumberedGpu> mesh(muster::EnvRendezvous{.environment = environment}, options);
    });
    show_shared(errc::device, job, {1, 2});

    const muster::Launch launch = muster::detect_launch({{"RANK", "3"},
                                                         {"WORLD_SIZE", "4"},
                                                         {"LOCAL_RANK", "3"},
                                                         {"MASTER_ADDR", "gpu01"},
                                                         {"MASTER_PORT", "29500"},
                                                         {"CUDA_VISIBLE_DEVICES", "0,1"}});
    const Error error = error_of([&] { (void)muster::detail::choose_device(launch, {}, 2); });
    show(errc::device, error.code(), error.what());
}

void show_backend() {
    Job job(1);
    job.start(0, [](const Environment&) {
        const int next = ::dup(STDERR_FILENO);
        ::close(next);
        rlimit files{};
        require(::getrlimit(RLIMIT_NOFILE, &files) == 0, "no limit of files");
        files.rlim_cur = static_cast<rlim_t>(next) + 1; // one more, and no further
        require(::setrlimit(RLIMIT_NOFILE, &files) == 0, "the limit of files stays");
        const muster::GlooDevice gloo({.interface = "lo"});
    });
    show(errc::backend, job.ends()[0]);
}

void show_closed() {
    Job job(2);
    job.start_all([](const Environment& environment) {
        Mesh<1, 2> mesh(muster::EnvRendezvous{.environment = environment}, within(20s));
        mesh.close(muster::Deadline::after(20s));
        mesh.dp().barrier();
    });
    show(errc::closed, job.ends()[0]);
}

/// Rank 2 is killed on the way: the others end at once.
void kill_rank_2() {
    Job early(4);
    for (const int rank : {0, 1, 2}) early.start(rank, form<Mesh<2, 2>>());
    early.await("hello/2");
    early.kill(2);
    show_shared(errc::missing_ranks, early, {2});

    Job connecting(4);
    connecting.start_all([](const Environment& environment) {
        if (environment.get("RANK") == "2") stay<Mesh<2, 2, Stuck<false>>>(environment);
        form<Mesh<2, 2>>()(environment);
    });
    connecting.await("formed");
    connecting.kill(2);
    show_shared(errc::missing_ranks, connecting, {2});

    Job training(4);
    training.start_all([](const Environment& environment) {
        if (environment.get("RANK") == "2") stay<Mesh<1, 4>>(environment);
        Mesh<1, 4> mesh(muster::EnvRendezvous{.environment = environment}, within(20s));
        std::vector<float> gradients(1024);
        mesh.world().recv(gradients, 2);
    });
    training.await("stays");
    training.kill(2);
    for (const End& end : training.ends()) require(end.about == std::vector{2}, end.text);
    show(errc::connection, training.end_of(0));
}

/// Rank 0 is killed on the way, and the store goes with it: every other rank says for itself what it lost.
void kill_rank_0() {
    Job early(4);
    for (const int rank : {0, 1, 2}) early.start(rank, form<Mesh<2, 2>>());
    for (const auto* each : {"hello/1", "hello/2"}) early.await(each);
    // Until they have heard from the store: who has not, looks for another. They ask again in pauses, which leave no
    // trace.
    std::this_thread::sleep_for(1s);
    early.kill(0);
    show(errc::connection, early.end_of(1));
}

/// What torchrun's summary is made of.
void check_error_file() {
    const std::filesystem::path path = std::filesystem::temp_directory_path() / fmt::format("errors-{}", ::getpid());
    const Error error(errc::timeout, muster::Stage::mesh, "too late");
    require(!muster::write_error_file(error, {}), "an error file that nobody asked for");
    require(muster::write_error_file(error, {{"TORCHELASTIC_ERROR_FILE", path.string()}}), "no error file");
    std::string text;
    {
        std::ifstream file(path);
        text.assign(std::istreambuf_iterator<char>(file), {});
    }
    std::filesystem::remove(path);
    require(text.starts_with(R"({"message": {"message": "muster: too late")"), text);
}

} // namespace

int main() try {
    show_invalid_argument();
    show_invalid_launch();
    show_world_mismatch();
    show_timeout();
    show_missing_ranks();
    show_duplicate_rank();
    show_disagreement();
    show_connection_and_protocol();
    show_remote();
    show_device();
    show_backend();
    show_closed();
    kill_rank_2();
    kill_rank_0();
    check_error_file();
    return 0;
} catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
}
