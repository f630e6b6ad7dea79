// SPDX-License-Identifier: Apache-2.0
// A small language model on a mesh: the linear layers are sharded along tp, the sequence along cp, the batch along dp.
//
//   embedding -> causal mix over the sequence -> + (RMS norm -> up -> SiLU -> down) -> head -> cross entropy
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "../backend.hpp"
#include "layers.hpp"

namespace train_3d {

using Mesh = muster::DeviceMesh<muster::dynamic, muster::dynamic, muster::dynamic, example::Backend>;
using Group = Mesh::Communicator;

/// Joins the values over the group. The arithmetic here is the host's: where the backend moves GPU memory, the values
/// go through some.
template <class T, class Op>
void all_reduce(Group& group, std::vector<T>& values, Op op) {
    example::Array<T> buffer(values);
    group.all_reduce(buffer, op);
    group.wait({});
    values = buffer.to_host();
}

/// What the rank at that distance in the group has; zeros where nobody is.
inline Values from_neighbour(Group& group, const Values& own, int distance) {
    const example::Array<float> part(own);
    example::Array<float> parts(Values(own.size() * static_cast<std::size_t>(group.size())));
    group.all_gather(part, parts);
    group.wait({});
    const int neighbour = group.rank() + distance;
    if (neighbour < 0 || neighbour >= group.size()) return Values(own.size());
    const Values all = parts.to_host();
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(own.size()) * neighbour;
    return {first, first + static_cast<std::ptrdiff_t>(own.size())};
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
          halo_((sizes.lags - 1) * muster::local_batch(mesh, sizes.batch) * sizes.width) {
        if (mesh.template shard<muster::Cp>(sizes.sequence, "sequence length") < sizes.lags - 1)
            throw std::invalid_argument("a part of the sequence is shorter than what the next one looks back at");
        const int part = mesh.template shard<muster::Tp>(sizes.hidden, "hidden size");
        const Range hidden{mesh.coordinate<muster::Tp>() * part, part, sizes.hidden};
        const auto whole = [](int size) { return Range{0, size, size}; };
        const Range width = whole(sizes.width);
        parameters = {initial("embedding", false, whole(sizes.vocabulary), width, 1, 0),
                      initial("mix", false, whole(sizes.lags), width, 0.5F, 0.5F),
                      initial("norm", false, whole(1), width, 0, 1),
                      initial("up", true, hidden, width, 0.5F, 0),
                      initial("down", true, width, hidden, 0.25F, 0),
                      initial("head", false, whole(sizes.vocabulary), width, 0.25F, 0)};
    }

    /// The mean loss over this rank's tokens; fills the gradients of that. For each position of this rank's part of the
    /// sequence there is one token of each sample of the local batch.
    /// Collective: along tp and along cp.
    double forward_backward(const std::vector<int>& tokens, const std::vector<int>& targets) {
        const std::size_t hidden = value(up).size() / width_, stride = static_cast<std::size_t>(halo_) / lags();
        // Context parallel: the first positions look back at the last ones of the rank before.
        const Values padded = with_halo(look_up(tokens));
        const Values mixed = causal_mix(padded, value(mix), width_, stride);
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
        const Values d_padded = causal_mix_backward(d_mixed, padded, value(mix), width_, stride, gradient(mix));
        look_up_backward(without_halo(d_padded), tokens);
        return loss;
    }

    std::array<Parameter, 6> parameters;

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
        Values values;
        for (int row = rows.first; row < rows.first + rows.count; ++row)
            for (int column = columns.first; column < columns.first + columns.count; ++column) {
                const std::uint64_t bits = random_bits(seed + static_cast<std::uint64_t>(row * columns.all + column));
                values.push_back(middle + spread * (static_cast<float>(bits >> 40) / 8388608.0F - 1)); // 2^23: -1 to 1
            }
        const Values zeros(values.size());
        return {name, sharded, values, zeros, zeros};
    }

    Values& value(Name name) { return parameters[name].value; }
    Values& gradient(Name name) { return parameters[name].gradient; }
    std::size_t lags() { return value(mix).size() / width_ - 1; }

    Values look_up(const std::vector<int>& tokens) {
        Values rows;
        for (const int token : tokens) {
            const float* const row = &value(embedding)[static_cast<std::size_t>(token) * width_];
            rows.insert(rows.end(), row, row + width_);
        }
        return rows;
    }

    void look_up_backward(const Values& d_rows, const std::vector<int>& tokens) {
        std::vector<double> sums(value(embedding).size());
        for (std::size_t i = 0; i < d_rows.size(); ++i)
            sums[static_cast<std::size_t>(tokens[i / width_]) * width_ + i % width_] += d_rows[i];
        for (std::size_t i = 0; i < sums.size(); ++i) gradient(embedding)[i] = static_cast<float>(sums[i]);
    }

    /// Puts the last positions of the rank before in front of this rank's.
    Values with_halo(const Values& rows) {
        Values padded = from_neighbour(mesh_->cp(), {rows.end() - halo_, rows.end()}, -1);
        padded.insert(padded.end(), rows.begin(), rows.end());
        return padded;
    }

    /// Gives the halo's gradients to the rank that they are about, and adds what the next one says of this rank's.
    Values without_halo(const Values& d_padded) {
        const Values d_tail = from_neighbour(mesh_->cp(), {d_padded.begin(), d_padded.begin() + halo_}, 1);
        Values d_rows(d_padded.begin() + halo_, d_padded.end());
        std::transform(d_tail.begin(), d_tail.end(), d_rows.end() - halo_, d_rows.end() - halo_, std::plus<>());
        return d_rows;
    }

    Mesh* mesh_;
    std::size_t width_;
    std::ptrdiff_t halo_; ///< values in the positions that a part of the sequence looks back at
};

} // namespace train_3d
