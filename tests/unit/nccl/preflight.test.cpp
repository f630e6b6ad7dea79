// SPDX-License-Identifier: Apache-2.0
#include <muster/nccl/preflight.hpp>
#include <muster/nccl/variables.hpp>
#include <muster/store/listen.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <netdb.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using muster::Deadline;
using muster::Environment;
using muster::errc;
using muster::Error;
using namespace muster::detail;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t mib = 1024 * 1024;

/// A folder of its own, which goes with it.
class Folder {
public:
    Folder() {
        auto name = (std::filesystem::temp_directory_path() / "muster-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder " + name);
        path_ = name;
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() {
        std::error_code ignored; // what stays does no harm
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] std::string file(const std::string& name, const std::string& text) const {
        std::ofstream(path_ / name, std::ios::binary) << text;
        return (path_ / name).string();
    }

private:
    std::filesystem::path path_;
};

/// The value that one file gives the variable A.
std::optional<std::string> value_in(const std::string& text) {
    const Folder folder;
    const auto found = find_nccl_variable({}, "A", {folder.file("nccl.conf", text)});
    return found ? std::optional(found->value) : std::nullopt;
}

std::string refusal_of_blocking(const std::optional<NcclVariable>& variable) {
    try {
        refuse_blocking(variable, 3);
        return {};
    } catch (const Error& error) {
        CHECK(error.code() == errc::invalid_launch);
        CHECK(error.stage() == muster::Stage::device);
        CHECK(error.rank() == 3);
        CHECK(error.ranks() == std::vector{3});
        return std::string(error.text());
    }
}

/// A host that has enough of everything.
HostRoom roomy() { return {std::uint64_t{64} * 1024 * mib, RLIM_INFINITY, RLIM_INFINITY, true}; }

std::vector<std::string> warnings(const HostRoom& room, int local_size, int world_size) {
    return host_warnings(room, local_size, world_size);
}

} // namespace

TEST_CASE("the environment comes first, then the files in their order") {
    const Folder folder;
    const std::vector<std::string> files{folder.file("first", "A=1\nB=2\n"), folder.file("second", "A=3\nC=4\n")};
    const auto find = [&](const Environment& environment, const char* name) {
        const auto found = find_nccl_variable(environment, name, files);
        return found ? found->value + " in " + found->from : "nothing";
    };
    CHECK(find({{"A", "0"}}, "A") == "0 in the environment");
    CHECK(find({{"B", "0"}}, "A") == "1 in " + files[0]);
    CHECK(find({}, "A") == "1 in " + files[0]);
    CHECK(find({}, "B") == "2 in " + files[0]);
    CHECK(find({}, "C") == "4 in " + files[1]);
    CHECK(find({}, "D") == "nothing");
}

TEST_CASE("a file that is not there says nothing, and the next counts") {
    const Folder folder;
    const auto there = folder.file("there", "A=1\n");
    const auto found = find_nccl_variable({}, "A", {there + ".not", there});
    REQUIRE(found);
    CHECK(found->from == there);
    CHECK_FALSE(find_nccl_variable({}, "A", {there + ".not"}));
    CHECK_FALSE(find_nccl_variable({}, "A", {}));
}

TEST_CASE("lines of a file, as NCCL reads them") {
    CHECK(value_in("A=1") == "1"); // no end of line
    CHECK(value_in("B=0\n\nA=1\nA=2\n") == "1");
    CHECK(value_in("A=x=y z\n") == "x=y z");
    CHECK(value_in("A=1\r\nB=2\r\n") == "1");
    CHECK(value_in("#A=1\n") == std::nullopt);
    CHECK(value_in("# A=1\nA=2\n") == "2");
    CHECK(value_in(" A=1\n") == std::nullopt); // the name is " A"
    CHECK(value_in("A =1\n") == std::nullopt);
    CHECK(value_in("AB=1\nBA=2\nA\n") == std::nullopt);
    CHECK(value_in("a=1\n") == std::nullopt);
    CHECK(value_in("A=\n") == "");
    CHECK(value_in("") == std::nullopt);
}

TEST_CASE("NCCL's files: its own variable's or the user's, then the host's") {
    CHECK(nccl_files({{"NCCL_CONF_FILE", "/a/file"}, {"HOME", "/home/me"}}) ==
          std::vector<std::string>{"/a/file", "/etc/nccl.conf"});
    const passwd* const user = ::getpwuid(::getuid()); // NOLINT(concurrency-mt-unsafe): one thread
    REQUIRE(user != nullptr);
    const std::string home = user->pw_dir;
    CHECK(nccl_files({{"HOME", home}}) == std::vector<std::string>{home + "/.nccl.conf", "/etc/nccl.conf"});
    CHECK(nccl_files({{"HOME", home}, {"NCCL_CONF_FILE", ""}}).front() == home + "/.nccl.conf");
}

TEST_CASE("variables of NCCL that the ranks must have alike") {
    const Folder folder;
    const std::vector<std::string> files{
        folder.file("user.conf", "# site\nNCCL_ALGO=Tree\nNCCL_PROTO=LL\r\nNCCL_IB_HCA=mlx5_0\nother=1\n"),
        folder.file("host.conf", "NCCL_PROTO=Simple\nNCCL_P2P_LEVEL=SYS\nNCCL_CROSS_NIC=1\n"), "/no/such/file"};
    const Environment environment{{"NCCL_ALGO", "Ring"},          {"NCCL_DEBUG", "INFO"}, {"NCCL_CROSS_NIC", ""},
                                  {"NCCL_SOCKET_IFNAME", "eth0"}, {"NCCLX", "1"},         {"PATH", "/bin"}};
    using Variables = std::map<std::string, std::string>;
    CHECK(common_nccl_variables(environment, files, {}) ==
          Variables{{"NCCL_ALGO", "Ring"}, {"NCCL_PROTO", "LL"}, {"NCCL_P2P_LEVEL", "SYS"}});
    CHECK(common_nccl_variables(environment, files, {"NCCL_ALGO", "NCCL_P2P_LEVEL"}) ==
          Variables{{"NCCL_PROTO", "LL"}});
}

TEST_CASE("NCCL_COMM_BLOCKING=1 is refused, with where it stands") {
    CHECK(refusal_of_blocking(NcclVariable{"1", "/etc/nccl.conf"}) ==
          "NCCL_COMM_BLOCKING=1 makes NCCL wait without a limit, whatever a program asks for\n  seen: in "
          "/etc/nccl.conf\n  do: unset it");
    // NCCL reads the number as C does.
    for (const char* value : {"1", "01", "0x1", " 1", "1 # no", "+1"})
        CHECK_FALSE(refusal_of_blocking(NcclVariable{value, "the environment"}).empty());
}

TEST_CASE("what does not make NCCL block is not refused") {
    CHECK(refusal_of_blocking(std::nullopt).empty());
    for (const char* value : {"0", "", "yes", "2", "-1", "10", "0x0"})
        CHECK(refusal_of_blocking(NcclVariable{value, "the environment"}).empty());
}

TEST_CASE("a host with enough of everything brings no warning") {
    CHECK(warnings(roomy(), 8, 16384).empty());
    // Not told is not too little.
    HostRoom untold = roomy();
    untold.shm_free.reset();
    CHECK(warnings(untold, 8, 8).empty());
}

TEST_CASE("little shared memory is warned of where ranks share a host") {
    HostRoom room = roomy();
    room.shm_free = 64 * mib; // a container's default
    REQUIRE(warnings(room, 2, 2).size() == 1);
    CHECK(warnings(room, 2, 2)[0] ==
          "/dev/shm has 64 MiB free, and 2 ranks of this host may need 128 MiB: give a container more "
          "(--shm-size=1g, --ipc=host)");
    CHECK(warnings(room, 1, 8).empty());
    room.shm_free = 256 * mib - 1;
    REQUIRE(warnings(room, 8, 8).size() == 1);
    CHECK_THAT(warnings(room, 8, 8)[0], ContainsSubstring("has 255 MiB free, and 8 ranks of this host may need 256"));
    room.shm_free = 256 * mib;
    CHECK(warnings(room, 8, 8).empty());
}

TEST_CASE("few open files are warned of for the world's size") {
    HostRoom room = roomy();
    room.files = 1024;
    CHECK(warnings(room, 1, 48).empty());
    REQUIRE(warnings(room, 1, 49).size() == 1);
    CHECK(warnings(room, 1, 49)[0] ==
          "the limit of open files is 1024, and a world of 49 ranks may need 1040: raise it (ulimit -n 1040)");
}

TEST_CASE("little locked memory is warned of where there is InfiniBand") {
    HostRoom room = roomy();
    room.locked = std::uint64_t{8} * 1024 * 1024;
    REQUIRE(warnings(room, 1, 1).size() == 1);
    CHECK(warnings(room, 1, 1)[0] ==
          "the limit of locked memory is 8192 KiB, and InfiniBand needs more: raise it (ulimit -l unlimited)");
    room.infiniband = false;
    CHECK(warnings(room, 1, 1).empty());
    room.infiniband = true;
    room.locked = 64 * mib;
    CHECK(warnings(room, 1, 1).empty());
}

TEST_CASE("all that is too little is told") { CHECK(warnings({0, 0, 0, true}, 2, 2).size() == 3); }

TEST_CASE("the host is measured as this process is limited") {
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit lower = before;
    lower.rlim_cur = before.rlim_cur - 1;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &lower) == 0);
    const HostRoom room = measure_host();
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(room.files == lower.rlim_cur);
    rlimit locked{};
    REQUIRE(::getrlimit(RLIMIT_MEMLOCK, &locked) == 0);
    CHECK(room.locked == locked.rlim_cur);
    CHECK(room.shm_free.has_value() == std::filesystem::exists("/dev/shm"));
}

TEST_CASE("an address where somebody listens can be reached") {
    const std::string host = GENERATE("127.0.0.1", "::1");
    Listener listener;
    try {
        listener = listen_on(host, 0);
    } catch (const Error&) {
        SKIP("this host has no address " << host);
    }
    CHECK(why_unreachable(host, listener.port, Deadline::after(10s)).empty());
    listener.fd.reset();
    CHECK(why_unreachable(host, listener.port, Deadline::after(10s)) == "Connection refused");
}

TEST_CASE("a host that is no address is not looked up") {
    const auto start = Deadline::Clock::now();
    CHECK_FALSE(why_unreachable("localhost", 1, Deadline::after(10s)).empty());
    CHECK_FALSE(why_unreachable("not.a.number.invalid", 1, Deadline::after(10s)).empty());
    CHECK_FALSE(why_unreachable("", 0, Deadline::after(10s)).empty());
    CHECK(Deadline::Clock::now() - start < 1s);
}

TEST_CASE("an address that swallows everything is given up soon") {
    // Full: the kernel drops what comes then.
    const Listener listener = listen_on("127.0.0.1", 0);
    REQUIRE(::listen(listener.fd.get(), 0) == 0);
    std::vector<Fd> guests;
    std::string problem;
    const Resolution address = look_up("127.0.0.1", listener.port, AI_NUMERICHOST);
    while (problem.empty()) {
        REQUIRE(guests.size() < 16);
        guests.push_back(connect_socket(address.addresses.at(0), Deadline::after(100ms), problem));
    }
    const auto start = Deadline::Clock::now();
    CHECK_FALSE(why_unreachable("127.0.0.1", listener.port, Deadline::after(100ms)).empty());
    CHECK(Deadline::Clock::now() - start < 2s);
}

TEST_CASE("the warning names the address, whose it is, and why it cannot be reached") {
    CHECK(unreachable_text(4, "172.17.0.1", "No route to host") ==
          "NCCL will meet at 172.17.0.1, the address of the interface that it chose on rank 4, and this rank cannot "
          "reach that address (No route to host): name the right interface in NCCL_SOCKET_IFNAME, and let the "
          "firewall pass all ports between the hosts");
}
