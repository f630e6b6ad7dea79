// SPDX-License-Identifier: Apache-2.0
// Forms a TP x DP x CP mesh, moves data along every axis and checks every number.
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "backend.hpp"

namespace {

using Mesh = muster::DeviceMesh<muster::dynamic, muster::dynamic, muster::dynamic, example::Backend>;

struct Arguments {
    muster::Extents extents;
    muster::Options options;
};

Arguments parse(std::span<char*> words) {
    Arguments result;
    for (std::size_t i = 1; i < words.size(); i += 2) {
        const std::string_view name(words[i]);
        const std::string_view text(i + 1 < words.size() ? words[i + 1] : "");
        int value = 0;
        const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (failure != std::errc() || end != text.data() + text.size())
            throw std::invalid_argument(fmt::format("{} needs a number, not '{}'", name, text));
        if (name == "--tp")
            result.extents.tp = value;
        else if (name == "--dp")
            result.extents.dp = value;
        else if (name == "--cp")
            result.extents.cp = value;
        else if (name == "--timeout")
            result.options.timeout = std::chrono::seconds(value);
        else
            throw std::invalid_argument(fmt::format("unknown option {}; known: --tp --dp --cp --timeout", name));
    }
    return result;
}

void expect(bool right, std::string_view operation, std::string_view group) {
    if (!right) throw std::runtime_error(fmt::format("{} along {} gave a wrong number", operation, group));
}

/// Moves data within one group and checks it against what the ranks of the group must give.
void check(Mesh::Communicator& group, int rank, std::string_view name) {
    const auto ranks = group.ranks();
    const auto lowest = static_cast<float>(ranks.front());
    const auto total = static_cast<float>(std::accumulate(ranks.begin(), ranks.end(), 0));

    const std::vector<float> own(1000, static_cast<float>(rank));
    example::Array<float> sums(own);
    group.all_reduce(sums, muster::sum);
    example::Array<int> mine({rank, -rank});
    example::Array<int> all(std::vector<int>(2 * ranks.size()));
    group.all_gather(mine, all);
    example::Array<float> copies(own);
    group.broadcast(copies, 0);

    group.wait({}); // a GPU computes on while the host goes on
    for (const float value : sums.to_host()) expect(value == total, "all_reduce", name);
    const std::vector<int> gathered = all.to_host();
    for (std::size_t i = 0; i < ranks.size(); ++i)
        expect(gathered[2 * i] == ranks[i] && gathered[2 * i + 1] == -ranks[i], "all_gather", name);
    for (const float value : copies.to_host()) expect(value == lowest, "broadcast", name);
}

int run(std::span<char*> words) {
    const auto [extents, options] = parse(words);
    Mesh mesh(extents, muster::EnvRendezvous{}, options);
    if (mesh.rank() == 0) fmt::print("{}", muster::describe(mesh));

    check(mesh.tp(), mesh.rank(), "tp");
    check(mesh.dp(), mesh.rank(), "dp");
    check(mesh.cp(), mesh.rank(), "cp");
    check(mesh.world(), mesh.rank(), "world");

    mesh.world().barrier();
    if (mesh.rank() == 0) fmt::print("world {} = {}: ok\n", mesh.world_size(), muster::shape_text(mesh.topology()));
    mesh.close(muster::Deadline::after(options.timeout));
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    try {
        return run({argv, static_cast<std::size_t>(argc)});
    } catch (const muster::Error& error) {
        // A text that every rank throws has been logged once already.
        if (!error.shared()) fmt::print(stderr, "{}\n", error.what());
        muster::write_error_file(error);
    } catch (const std::exception& error) {
        fmt::print(stderr, "quickstart: {}\n", error.what());
    }
    return 1;
}
