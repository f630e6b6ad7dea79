// SPDX-License-Identifier: Apache-2.0
// A small language model on a mesh: the linear layers are sharded along tp, the sequence along cp, the batch along dp.
//
//   embedding -> causal mix over the sequence -> + (RMS norm -> up -> SiLU -> down) -> head -> cross entropy
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "../backend.hpp"
#include "layers.hpp"
#include "parallel.hpp"

namespace train_3d {

using Mesh = muster::DeviceMesh<muster::dynamic, muster::dynamic, muster::dynamic, example::Backend>;
using Group = Mesh::Communicator;

/// Joins the values over the group.
template <class T, class Op>
void all_reduce(Group& group, example::Array<T>& values, Op op) {
    group.all_reduce(values, op);
    group.wait({}); // what reads the result waits for no peer any more
}

/// What the rank at that distance in the group has, `own` being this one's; zeros where nobody is.
inline Values from_neighbour(Group& group, std::span<const float> own, int distance) {
    Values all = Values::zeros(own.size() * static_cast<std::size_t>(group.size())), result = Values::zeros(own.size());
    group.all_gather(own, all);
    group.wait({});
    const int neighbour = group.rank() + distance;
    if (neighbour < 0 || neighbour >= group.size()) return result;
    float* const to = result.data();
    const float* const from = all.data() + own.size() * static_cast<std::size_t>(neighbour);
    for_each_index(own.size(), [=] EXAMPLE_DEVICE(std::size_t i) { to[i] = from[i]; });
    return result;
}

/// Puts the last `halo` values of the rank before in front of this rank's rows.
inline Values with_halo(Group& group, const Values& rows, std::size_t halo) {
    const Values before = from_neighbour(group, std::span(rows).last(halo), -1);
    Values result = Values::zeros(halo + rows.size());
    float* const to = result.data();
    const float *const head = before.data(), *const rest = rows.data();
    for_each_index(result.size(), [=] EXAMPLE_DEVICE(std::size_t i) { to[i] = i < halo ? head[i] : rest[i - halo]; });
    return result;
}

/// Gives the halo's gradients to the rank that they are about, and adds what the next one says of this rank's.
inline Values without_halo(Group& group, const Values& d_padded, std::size_t halo) {
    const Values d_tail = from_neighbour(group, std::span(d_padded).first(halo), 1);
    Values result = Values::zeros(d_padded.size() - halo);
    const std::size_t tail = result.size() - halo;
    float* const to = result.data();
    const float *const own = d_padded.data() + halo, *const more = d_tail.data();
    for_each_index(result.size(),
                   [=] EXAMPLE_DEVICE(std::size_t i) { to[i] = own[i] + (i < tail ? 0 : more[i - tail]); });
    return result;
}

/// Evenly spread bits, the same on every machine (splitmix64).
inline std::uint64_t random_bits(std::uint64_t seed) {
    seed += 0x9e3779b97f4a7c15ULL;
    seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    seed = (seed ^ (seed >> 27)) * 0x94d049bb133111ebULL;
    return seed ^ (seed >> 31);
}

/// The whole model, and the whole batch of a step.
struct Sizes {
    int batch = 16, sequence = 16, vocabulary = 16, width = 16, hidden = 32, lags = 4;
};

struct Parameter {
    std::string_view name;
    bool sharded; ///< along tp: each rank of the tp group has a part; else each has all of it
    Values value, gradient, momentum;
};

class Model {
public:
    Model(Mesh& mesh, const Sizes& sizes)
        : mesh_(&mesh),
          width_(static_cast<std::size_t>(sizes.width)),
          stride_(static_cast<std::size_t>(muster::local_batch(mesh, sizes.batch) * sizes.width)),
          halo_(static_cast<std::size_t>(sizes.lags - 1) * stride_) {
        if (mesh.template shard<muster::Cp>(sizes.sequence, "sequence length") < sizes.lags - 1)
            throw std::invalid_argument("a part of the sequence is shorter than what the next one looks back at");
        const int part = mesh.template shard<muster::Tp>(sizes.hidden, "hidden size");
        const Range hidden{mesh.coordinate<muster::Tp>() * part, part, sizes.hidden};
        const auto whole = [](int size) { return Range{0, size, size}; };
        const Range width = whole(sizes.width);
        // In the order of their names below.
        parameters.push_back(initial("embedding", false, whole(sizes.vocabulary), width, 1, 0));
        parameters.push_back(initial("mix", false, whole(sizes.lags), width, 0.5F, 0.5F));
        parameters.push_back(initial("norm", false, whole(1), width, 0, 1));
        parameters.push_back(initial("up", true, hidden, width, 0.5F, 0));
        parameters.push_back(initial("down", true, width, hidden, 0.25F, 0));
        parameters.push_back(initial("head", false, whole(sizes.vocabulary), width, 0.25F, 0));
    }

    /// The mean loss over this rank's tokens; fills the gradients of that. For each position of this rank's part of the
    /// sequence there is one token of each sample of the local batch.
    /// Collective: along tp and along cp.
    double forward_backward(const example::Array<int>& tokens, const example::Array<int>& targets) {
        const std::size_t hidden = value(up).size() / width_;
        // Context parallel: the first positions look back at the last ones of the rank before.
        const Values padded = with_halo(mesh_->cp(), look_up(value(embedding), tokens, width_), halo_);
        const Values mixed = causal_mix(padded, value(mix), width_, stride_);
        const Values normed = rms_norm(mixed, value(norm));
        // Tensor parallel: up is column parallel and needs nothing of others; down is row parallel, a part of the sum.
        const Values raised = linear(normed, value(up), width_);
        const Values active = silu(raised);
        Values output = linear(active, value(down), hidden);
        all_reduce(mesh_->tp(), output, muster::sum);
        add(output, mixed);
        Values logits = linear(output, value(head), width_);
        const double loss = cross_entropy(logits, targets);

        const Values d_output = linear_backward(logits, output, value(head), width_, gradient(head));
        const Values d_active = linear_backward(d_output, active, value(down), hidden, gradient(down));
        const Values d_raised = silu_backward(d_active, raised);
        Values d_normed = linear_backward(d_raised, normed, value(up), width_, gradient(up));
        all_reduce(mesh_->tp(), d_normed, muster::sum); // every part of up has its say
        Values d_mixed = rms_norm_backward(d_normed, mixed, value(norm), gradient(norm));
        add(d_mixed, d_output);
        const Values d_padded = causal_mix_backward(d_mixed, padded, value(mix), width_, stride_, gradient(mix));
        look_up_backward(without_halo(mesh_->cp(), d_padded, halo_), tokens, width_, gradient(embedding));
        return loss;
    }

    std::vector<Parameter> parameters;

private:
    enum Name : std::size_t { embedding, mix, norm, up, down, head };

    /// This rank's part of a tensor's rows or columns.
    struct Range {
        int first, count, all;
    };

    /// Values by their place in the whole tensor: they do not depend on the mesh.
    static Parameter initial(std::string_view name, bool sharded, Range rows, Range columns, float spread,
                             float middle) {
        std::uint64_t seed = 1;
        for (const char c : name) seed = random_bits(seed + static_cast<unsigned char>(c));
        std::vector<float> values;
        for (int row = rows.first; row < rows.first + rows.count; ++row)
            for (int column = columns.first; column < columns.first + columns.count; ++column) {
                const std::uint64_t bits = random_bits(seed + static_cast<std::uint64_t>(row * columns.all + column));
                values.push_back(middle + spread * (static_cast<float>(bits >> 40) / 8388608.0F - 1)); // 2^23: -1 to 1
            }
        return {name, sharded, Values(values), Values::zeros(values.size()), Values::zeros(values.size())};
    }

    Values& value(Name name) { return parameters[name].value; }
    Values& gradient(Name name) { return parameters[name].gradient; }

    Mesh* mesh_;
    std::size_t width_;
    std::size_t stride_; ///< values of a position
    std::size_t halo_;   ///< those of the positions that a part of the sequence looks back at
};

} // namespace train_3d
