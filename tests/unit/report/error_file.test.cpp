// SPDX-License-Identifier: Apache-2.0
#include <muster/core/error.hpp>
#include <muster/launch/environment.hpp>
#include <muster/report/error_file.hpp>

#include <catch2/catch_test_macros.hpp>

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

using namespace std::string_literals;
using muster::Environment;
using muster::errc;
using muster::Error;
using muster::Stage;
using muster::write_error_file;

namespace {

/// A folder of its own, gone in the end.
struct Folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("muster-error-file-" + std::to_string(::getpid()));
    Folder() { std::filesystem::create_directories(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { std::filesystem::remove_all(path); }
};

std::string content(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

const Error error(errc::missing_ranks, Stage::roll_call, "1 of 2 ranks did not arrive: \"1\"\n  do: look\\see");

} // namespace

TEST_CASE("what torchrun reads") {
    const std::chrono::system_clock::time_point time{std::chrono::milliseconds(1234567)};
    CHECK(muster::detail::error_file_text("text", time) ==
          R"({"message": {"message": "text", "extraInfo": {"timestamp": "1234"}}})");
    CHECK(muster::detail::json_escaped("a \"b\" \\ \n\t\x01\xC3\xA4"s) == R"(a \"b\" \\ \n\\x09\\x01\\xc3\\xa4)");
}

TEST_CASE("the file appears whole, and replaces what is there") {
    const Folder folder;
    const auto path = folder.path / "error.json";
    const Environment torchrun{{"TORCHELASTIC_ERROR_FILE", path.string()}};
    std::ofstream(path) << "something else that is longer than what takes its place" << std::string(1000, '.');
    REQUIRE(write_error_file(error, torchrun));
    const std::string text = content(path);
    CHECK(text.starts_with(
        R"({"message": {"message": "muster: 1 of 2 ranks did not arrive: \"1\"\n  do: look\\see", "extraInfo": )"));
    CHECK(text.ends_with("\"}}}"));
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 1);
}

TEST_CASE("no file, no report") {
    CHECK_FALSE(write_error_file(error, {}));
    CHECK_FALSE(write_error_file(error, {{"TORCHELASTIC_ERROR_FILE", ""}}));
    const Folder folder;
    CHECK_FALSE(write_error_file(error, {{"TORCHELASTIC_ERROR_FILE", (folder.path / "none" / "error.json").string()}}));
    CHECK_FALSE(write_error_file(error, {{"TORCHELASTIC_ERROR_FILE", folder.path.string()}}));
}
