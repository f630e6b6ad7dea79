// SPDX-License-Identifier: Apache-2.0
#include <muster/launch/batch.hpp>
#include <muster/launch/detect.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <unistd.h>

#include <fstream>
#include <string>

#include "environments.hpp"

using Catch::Matchers::ContainsSubstring;
using muster::detect_launch;
using muster::Endpoint;
using muster::Environment;
using muster::Launch;
using muster_test::refusal;
using muster_test::with;

namespace {

Environment pals() {
    return {{"PALS_RANKID", "5"}, {"PALS_LOCAL_RANKID", "1"}, {"PALS_LOCAL_SIZE", "4"},
            {"PALS_NODEID", "1"}, {"PALS_APID", "a1b2"},      {"PMI_RANK", "5"},
            {"PMI_SIZE", "8"},    {"PMI_LOCAL_RANK", "1"},    {"PMI_LOCAL_SIZE", "4"}};
}

Environment flux() {
    return {{"FLUX_TASK_RANK", "3"},  {"FLUX_JOB_SIZE", "4"}, {"FLUX_TASK_LOCAL_ID", "3"}, {"FLUX_JOB_NNODES", "1"},
            {"FLUX_JOB_ID", "f4VxM"}, {"PMI_RANK", "3"},      {"PMI_SIZE", "4"},           {"PMI_FD", "999999"}};
}

Environment jsrun() {
    return {{"JSM_NAMESPACE_RANK", "7"},
            {"JSM_NAMESPACE_SIZE", "12"},
            {"JSM_NAMESPACE_LOCAL_RANK", "1"},
            {"JSM_NAMESPACE_LOCAL_SIZE", "6"},
            {"LSB_JOBID", "4711"},
            {"LSB_MCPU_HOSTS", "batch5 1 node01 42 node02 42 "}};
}

/// A file that is gone when the test ends.
class File {
public:
    explicit File(const std::string& text) : path_("/tmp/muster-rankfile-" + std::to_string(::getpid())) {
        std::ofstream(path_, std::ios::binary) << text;
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { ::unlink(path_.c_str()); }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

} // namespace

TEST_CASE("PALS has names of its own, and PMI's size") {
    const auto text = refusal(pals());
    CHECK_THAT(text, ContainsSubstring("MASTER_ADDR is not set"));
    CHECK_THAT(text, ContainsSubstring("mpiexec --env MASTER_ADDR="));
    const Launch launch = detect_launch(with(pals(), "MASTER_ADDR", "x1000"));
    CHECK(launch.launcher == "PALS");
    CHECK(launch.rank == 5);
    CHECK(launch.world_size == 8);
    CHECK(launch.local_rank == 1);
    CHECK(launch.local_size == 4);
    CHECK(launch.node_index == 1);
    CHECK(launch.job == "a1b2");
    CHECK(launch.from.endpoint == "MASTER_ADDR, PALS_APID");
    CHECK_THAT(refusal(with(pals(), "PMI_SIZE", "")), ContainsSubstring("PMI_SIZE is not set"));
    CHECK_THAT(refusal(with(pals(), "PALS_RANKID", "")), ContainsSubstring("PALS_RANKID is not set"));
    CHECK_THAT(refusal(with(pals(), "PALS_LOCAL_RANKID", "4")),
               ContainsSubstring("PALS_LOCAL_RANKID=4 is out of range"));
}

TEST_CASE("ALPS tells no world size") {
    const Environment alps{
        {"ALPS_APP_PE", "2"}, {"ALPS_APP_ID", "99"}, {"PMI_LOCAL_RANK", "0"}, {"PMI_LOCAL_SIZE", "2"}};
    CHECK_THAT(refusal(alps), ContainsSubstring("ALPS tells the number of processes in no variable"));
    const Launch launch = detect_launch(with(alps, {{"WORLD_SIZE", "4"}, {"MASTER_ADDR", "nid01"}}));
    CHECK(launch.launcher == "ALPS");
    CHECK(launch.rank == 2);
    CHECK(launch.local_rank == 0);
    CHECK(launch.local_size == 2);
    CHECK(launch.endpoint->host == "nid01");
}

TEST_CASE("Flux on one node and on several") {
    const Launch launch = detect_launch(flux());
    CHECK(launch.launcher == "Flux");
    CHECK(launch.rank == 3);
    CHECK(launch.world_size == 4);
    CHECK(launch.local_rank == 3);
    CHECK(launch.local_size == 4);
    CHECK(launch.node_count == 1);
    CHECK(launch.endpoint->host == "127.0.0.1");
    CHECK(launch.from.endpoint == "one host by FLUX_JOB_NNODES, FLUX_JOB_ID");

    const Environment several = with(flux(), {{"FLUX_JOB_NNODES", "2"}, {"FLUX_TASK_LOCAL_ID", "1"}});
    const auto text = refusal(several);
    CHECK_THAT(text, ContainsSubstring("MASTER_ADDR is not set"));
    CHECK_THAT(text, ContainsSubstring("flux run --env=MASTER_ADDR="));
    const Launch told = detect_launch(with(several, "MASTER_ADDR", "node0"));
    CHECK(told.endpoint->host == "node0");
    CHECK_FALSE(told.local_size);
    CHECK_THAT(refusal(with(flux(), "FLUX_JOB_SIZE", "")), ContainsSubstring("FLUX_JOB_SIZE is not set"));
    // A shell of a Flux instance that is no task of a job.
    CHECK(
        detect_launch({{"FLUX_JOB_ID", "f4VxM"}, {"FLUX_JOB_SIZE", "4"}, {"FLUX_URI", "local:///tmp/x"}}).world_size ==
        1);
}

TEST_CASE("jsrun's rank 0 is on the first host after the launch node") {
    const Launch launch = detect_launch(jsrun());
    CHECK(launch.launcher == "jsrun");
    CHECK(launch.rank == 7);
    CHECK(launch.world_size == 12);
    CHECK(launch.local_size == 6);
    CHECK(launch.job == "4711");
    CHECK(launch.endpoint->host == "node01");
    CHECK(launch.from.endpoint == "LSB_MCPU_HOSTS, LSB_JOBID");

    SECTION("by the rank file first") {
        const File file("batch5\nnode11\nnode11\nnode12\n");
        const Launch by_file = detect_launch(with(jsrun(), "LSB_DJOB_RANKFILE", file.path()));
        CHECK(by_file.endpoint->host == "node11");
        CHECK(by_file.from.endpoint == "LSB_DJOB_RANKFILE, LSB_JOBID");
    }
    SECTION("a file that cannot be read, or has no second line, is none") {
        CHECK(detect_launch(with(jsrun(), "LSB_DJOB_RANKFILE", "/nowhere/at/all")).endpoint->host == "node01");
        const File file(GENERATE("", "\n", "batch5", "batch5\n", "batch5\n\nnode11\n", "batch5\n node11\n"));
        CHECK(detect_launch(with(jsrun(), "LSB_DJOB_RANKFILE", file.path())).endpoint->host == "node01");
    }
    SECTION("a name that does not end is none") {
        const File file("batch5\n" + std::string(10000, 'x'));
        CHECK(detect_launch(with(jsrun(), "LSB_DJOB_RANKFILE", file.path())).endpoint->host == "node01");
        const File last("batch5\nnode11");
        CHECK(detect_launch(with(jsrun(), "LSB_DJOB_RANKFILE", last.path())).endpoint->host == "node11");
    }
    SECTION("nothing tells") {
        const auto text = refusal(with(jsrun(), "LSB_MCPU_HOSTS", GENERATE("", "batch5 1", "batch5")));
        CHECK_THAT(text, ContainsSubstring("MASTER_ADDR is not set"));
        CHECK_THAT(text, ContainsSubstring("jsrun -E MASTER_ADDR="));
    }
    SECTION("the elements of an array share the job's id") {
        CHECK(detect_launch(with(jsrun(), "LSB_JOBINDEX", "1")).endpoint->port !=
              detect_launch(with(jsrun(), "LSB_JOBINDEX", "2")).endpoint->port);
    }
    SECTION("half-set") {
        CHECK_THAT(refusal(with(jsrun(), "JSM_NAMESPACE_SIZE", "")),
                   ContainsSubstring("JSM_NAMESPACE_SIZE is not set"));
        CHECK_THAT(refusal(with(jsrun(), "JSM_NAMESPACE_RANK", "12")),
                   ContainsSubstring("JSM_NAMESPACE_RANK=12 is out"));
    }
}
