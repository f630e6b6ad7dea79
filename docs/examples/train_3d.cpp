// SPDX-License-Identifier: Apache-2.0
// Trains a small language model on a TP x DP x CP mesh: what a training program has to do between ranks.
//
//   train_3d [--tp N] [--dp N] [--cp N] [--steps N] [--plot FILE.svg] [--timeout SECONDS]
//            [--folder DIR] [--save STEP] [--resume STEP] [--ranks-share-gpu 1]
//
// TP and CP are 1 if neither an option nor TP_SIZE or CP_SIZE says otherwise, DP is what is left of the world. The
// losses do not depend on the mesh, but for rounding.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "backend.hpp"
#include "train_3d/checkpoint.hpp"
#include "train_3d/loss_plot.hpp"
#include "train_3d/model.hpp"

namespace train_3d {

constexpr Sizes sizes;
constexpr float learning_rate = 0.4F, momentum = 0.9F, max_norm = 0.5F;

struct Arguments {
    muster::Extents extents;
    muster::Options options;
    int steps = 20, save_at = 0, resume_from = 0;
    std::string folder = "checkpoints", plot;
};

int number(std::string_view name, std::string_view text) {
    int value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc() || end != text.data() + text.size() || value < 1)
        throw std::invalid_argument(fmt::format("{} needs a number of at least 1, not '{}'", name, text));
    return value;
}

Arguments parse(std::span<char*> words) {
    Arguments result;
    const muster::Environment environment = muster::Environment::current();
    if (!environment.has("TP_SIZE")) result.extents.tp = 1;
    if (!environment.has("CP_SIZE")) result.extents.cp = 1;
    for (std::size_t i = 1; i < words.size(); i += 2) {
        const std::string_view name(words[i]);
        const std::string_view text(i + 1 < words.size() ? words[i + 1] : "");
        if (name == "--folder")
            result.folder = text;
        else if (name == "--plot")
            result.plot = text;
        else if (name == "--tp")
            result.extents.tp = number(name, text);
        else if (name == "--dp")
            result.extents.dp = number(name, text);
        else if (name == "--cp")
            result.extents.cp = number(name, text);
        else if (name == "--steps")
            result.steps = number(name, text);
        else if (name == "--save")
            result.save_at = number(name, text);
        else if (name == "--resume")
            result.resume_from = number(name, text);
        else if (name == "--ranks-share-gpu") // for trying it out: NCCL needs more than this for it
            result.options.nccl.allow_shared_device = number(name, text) == 1;
        else if (name == "--timeout")
            result.options.timeout = std::chrono::seconds(number(name, text));
        else
            throw std::invalid_argument(fmt::format("unknown option {}; train_3d.cpp says which there are", name));
    }
    return result;
}

/// What this rank works on in one step: its samples along dp, of each its part along cp.
struct Batch {
    example::Array<int> tokens, targets;
};

/// Each token follows from the last but one: the mix over the sequence has something to find.
int token_at(int sample, int position) {
    int token = static_cast<int>(random_bits(static_cast<std::uint64_t>(2 * sample + position % 2)) % 16);
    for (int i = position % 2; i < position; i += 2) token = (5 * token + 7) % sizes.vocabulary;
    return token;
}

Batch load_batch(const Mesh& mesh, int step) {
    const muster::SamplerShard shard = muster::sampler_shard(mesh);
    const int part = mesh.shard<muster::Cp>(sizes.sequence, "sequence length");
    const int first = part * mesh.coordinate<muster::Cp>();
    std::vector<int> tokens, targets;
    for (int position = first; position < first + part; ++position)
        for (int i = shard.index; i < sizes.batch; i += shard.count) {
            tokens.push_back(token_at(step * sizes.batch + i, position));
            targets.push_back(token_at(step * sizes.batch + i, position + 1));
        }
    return {example::Array<int>(tokens), example::Array<int>(targets)};
}

/// The ranks that hold replicas of this rank's parameters and work on other tokens: dp x cp.
Group& replicas(const Mesh& mesh) { return mesh.flatten<muster::Dp, muster::Cp>(); }

/// Of what every rank holds over the world: two groups may sum in different orders, and replicas then drift apart.
void average_gradients(Mesh& mesh, Model& model) {
    std::vector<std::span<float>> sharded, replicated;
    for (Parameter& parameter : model.parameters)
        (parameter.sharded ? sharded : replicated).emplace_back(parameter.gradient);
    muster::all_reduce_coalesced(replicas(mesh), sharded, muster::avg);
    muster::all_reduce_coalesced(mesh.world(), replicated, muster::avg);
    replicas(mesh).wait({});
    mesh.world().wait({});
}

/// One number joined over a group.
template <class Op>
double all_reduce(Group& group, double value, Op op) {
    example::Array<double> one(std::vector<double>{value});
    all_reduce(group, one, op);
    return one.to_host().front();
}

/// Scales the gradients of the whole model down to a norm of `max_norm` at most; gives the norm before that.
double clip_gradients(Mesh& mesh, Model& model) {
    double sharded = 0, replicated = 0;
    for (const Parameter& parameter : model.parameters)
        (parameter.sharded ? sharded : replicated) += sum_of_squares(parameter.gradient);
    // All shards; what every rank has counts once.
    const double norm = std::sqrt(all_reduce(mesh.tp(), sharded, muster::sum) + replicated);
    for (Parameter& parameter : model.parameters)
        scale(parameter.gradient, static_cast<float>(std::min(1.0, max_norm / (norm + 1e-6))));
    return norm;
}

void update(Model& model) {
    for (Parameter& parameter : model.parameters)
        descend(parameter.value, parameter.momentum, parameter.gradient, learning_rate, momentum);
}

/// Throws, the same on every rank of a group, where ranks drifted apart or hold each other's shards.
void check_placement(Mesh& mesh, const Model& model) {
    for (const Parameter& parameter : model.parameters) {
        muster::require_replicated(replicas(mesh), parameter.value, parameter.name);
        if (parameter.sharded)
            muster::require_sharded(mesh.tp(), parameter.value, parameter.name);
        else
            muster::require_replicated(mesh.tp(), parameter.value, parameter.name);
    }
}

void run(std::span<char*> words) {
    const Arguments arguments = parse(words);
    Mesh mesh(arguments.extents, muster::EnvRendezvous{}, arguments.options);
    if (mesh.rank() == 0) fmt::print("{}\n", muster::shape_text(mesh.topology()));

    Model model(mesh, sizes);
    if (arguments.resume_from > 0) load(mesh, model, arguments.folder, arguments.resume_from);
    check_placement(mesh, model);

    std::vector<double> losses;
    for (int step = arguments.resume_from + 1; step <= arguments.steps; ++step) {
        const Batch batch = load_batch(mesh, step);
        const double local_loss = model.forward_backward(batch.tokens, batch.targets);
        average_gradients(mesh, model);
        const double norm = clip_gradients(mesh, model);
        update(model);
        losses.push_back(all_reduce(replicas(mesh), local_loss, muster::avg));
        if (mesh.rank() == 0) {
            fmt::print("step {:2} of {}: loss {:.8f}, gradient norm {:.6f}\n", step, arguments.steps, losses.back(),
                       norm);
            std::fflush(stdout); // seen at once, also through a launcher's pipe
        }
        if (step == arguments.save_at) save(mesh, model, arguments.folder, step);
    }

    check_placement(mesh, model);
    if (mesh.rank() == 0 && !arguments.plot.empty()) plot_losses(arguments.plot, losses, arguments.resume_from + 1);
    mesh.close(muster::Deadline::after(arguments.options.timeout));
}

} // namespace train_3d

int main(int argc, char** argv) {
    try {
        train_3d::run({argv, static_cast<std::size_t>(argc)});
        return 0;
    } catch (const muster::Error& error) {
        // A text that every rank throws has been logged once already.
        if (!error.shared()) fmt::print(stderr, "{}\n", error.what());
        muster::write_error_file(error);
    } catch (const std::exception& error) {
        fmt::print(stderr, "train_3d: {}\n", error.what());
    }
    return 1;
}
