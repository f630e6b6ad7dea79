// SPDX-License-Identifier: Apache-2.0
// The layers' arithmetic, forward and backward: plain loops that know nothing of other ranks. Rows of values stand one
// after the other; each index of a loop writes what is its own.
#pragma once

#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "parallel.hpp"

namespace train_3d {

/// A sum of products in double: what a mesh cuts into parts comes to the same float, but for the last bit.
EXAMPLE_DEVICE inline float dot(const float* a, std::size_t step_a, const float* b, std::size_t step_b,
                                std::size_t count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += static_cast<double>(a[i * step_a]) * b[i * step_b];
    return static_cast<float>(sum);
}

inline void add(Values& to, const Values& more) {
    float* const a = to.data();
    const float* const b = more.data();
    for_each_index(to.size(), [=] EXAMPLE_DEVICE(std::size_t i) { a[i] += b[i]; });
}

inline void scale(Values& values, float factor) {
    float* const v = values.data();
    for_each_index(values.size(), [=] EXAMPLE_DEVICE(std::size_t i) { v[i] *= factor; });
}

inline double sum_of_squares(const Values& values) {
    constexpr std::size_t parts = 64;
    auto sums = example::Array<double>::zeros(parts);
    double* const sum = sums.data();
    const float* const v = values.data();
    const std::size_t count = values.size();
    for_each_index(parts, [=] EXAMPLE_DEVICE(std::size_t part) {
        for (std::size_t i = part; i < count; i += parts) sum[part] += static_cast<double>(v[i]) * v[i];
    });
    const std::vector<double> all = sums.to_host();
    return std::accumulate(all.begin(), all.end(), 0.0);
}

/// y = x * weight^T, where weight has a row of `inputs` for each output.
inline Values linear(const Values& x, const Values& weight, std::size_t inputs) {
    const std::size_t rows = x.size() / inputs, outputs = weight.size() / inputs;
    Values result = Values::zeros(rows * outputs);
    float* const y = result.data();
    const float *const in = x.data(), *const w = weight.data();
    for_each_index(result.size(), [=] EXAMPLE_DEVICE(std::size_t i) {
        y[i] = dot(in + i / outputs * inputs, 1, w + i % outputs * inputs, 1, inputs);
    });
    return result;
}

/// Gives the gradient of x, and writes the weight's.
inline Values linear_backward(const Values& d_y, const Values& x, const Values& weight, std::size_t inputs,
                              Values& d_weight) {
    const std::size_t rows = x.size() / inputs, outputs = weight.size() / inputs;
    Values result = Values::zeros(x.size());
    float *const dx = result.data(), *const dw = d_weight.data();
    const float *const dy = d_y.data(), *const in = x.data(), *const w = weight.data();
    for_each_index(d_weight.size(), [=] EXAMPLE_DEVICE(std::size_t i) {
        dw[i] = dot(dy + i / inputs, outputs, in + i % inputs, inputs, rows);
    });
    for_each_index(result.size(), [=] EXAMPLE_DEVICE(std::size_t i) {
        dx[i] = dot(dy + i / inputs * outputs, 1, w + i % inputs, inputs, outputs);
    });
    return result;
}

EXAMPLE_DEVICE inline float inverse_rms(const float* row, std::size_t width) {
    return 1 / sqrtf(dot(row, 1, row, 1, width) / static_cast<float>(width) + 1e-6F);
}

/// Each row divided by its root mean square, times the gain.
inline Values rms_norm(const Values& x, const Values& gain) {
    const std::size_t width = gain.size();
    Values result = Values::zeros(x.size());
    float* const y = result.data();
    const float *const in = x.data(), *const g = gain.data();
    for_each_index(x.size(), [=] EXAMPLE_DEVICE(std::size_t i) {
        y[i] = in[i] * inverse_rms(in + (i - i % width), width) * g[i % width];
    });
    return result;
}

inline Values rms_norm_backward(const Values& d_y, const Values& x, const Values& gain, Values& d_gain) {
    const std::size_t width = gain.size(), rows = x.size() / width;
    Values result = Values::zeros(x.size()), normed = Values::zeros(x.size()), scaled = Values::zeros(x.size());
    float *const dx = result.data(), *const dg = d_gain.data(), *const n = normed.data(), *const s = scaled.data();
    const float *const dy = d_y.data(), *const in = x.data(), *const g = gain.data();
    for_each_index(rows, [=] EXAMPLE_DEVICE(std::size_t row) {
        const std::size_t first = row * width, end = first + width;
        const float scale = inverse_rms(in + first, width);
        for (std::size_t i = first; i < end; ++i) {
            n[i] = in[i] * scale;
            s[i] = dy[i] * g[i - first];
        }
        const float mean = dot(s + first, 1, n + first, 1, width) / static_cast<float>(width);
        for (std::size_t i = first; i < end; ++i) dx[i] = scale * (s[i] - n[i] * mean);
    });
    for_each_index(width, [=] EXAMPLE_DEVICE(std::size_t i) { dg[i] = dot(dy + i, width, n + i, width, rows); });
    return result;
}

/// y[t] = sum over k of weight[k] * x[t - k], column by column; x begins with the positions that the first ones look
/// back at. A position has `stride` values: a row of `width` for each sample.
inline Values causal_mix(const Values& x, const Values& weight, std::size_t width, std::size_t stride) {
    const std::size_t lags = weight.size() / width, halo = (lags - 1) * stride;
    Values result = Values::zeros(x.size() - halo);
    float* const y = result.data();
    const float *const in = x.data(), *const w = weight.data();
    for_each_index(result.size(), [=] EXAMPLE_DEVICE(std::size_t i) {
        for (std::size_t k = 0; k < lags; ++k) y[i] += w[k * width + i % width] * in[i + halo - k * stride];
    });
    return result;
}

inline Values causal_mix_backward(const Values& d_y, const Values& x, const Values& weight, std::size_t width,
                                  std::size_t stride, Values& d_weight) {
    const std::size_t lags = weight.size() / width, halo = (lags - 1) * stride, size = d_y.size();
    Values result = Values::zeros(x.size());
    float *const dx = result.data(), *const dw = d_weight.data();
    const float *const dy = d_y.data(), *const in = x.data(), *const w = weight.data();
    for_each_index(result.size(), [=] EXAMPLE_DEVICE(std::size_t i) {
        for (std::size_t k = 0; k < lags; ++k) {
            const std::size_t later = i + k * stride; // what looked back at this one
            if (later >= halo && later - halo < size) dx[i] += w[k * width + i % width] * dy[later - halo];
        }
    });
    for_each_index(d_weight.size(), [=] EXAMPLE_DEVICE(std::size_t i) {
        const std::size_t k = i / width, column = i % width;
        dw[i] = dot(dy + column, width, in + halo - k * stride + column, width, size / width);
    });
    return result;
}

inline Values silu(const Values& x) {
    Values result = Values::zeros(x.size());
    float* const y = result.data();
    const float* const in = x.data();
    for_each_index(x.size(), [=] EXAMPLE_DEVICE(std::size_t i) { y[i] = in[i] / (1 + expf(-in[i])); });
    return result;
}

inline Values silu_backward(const Values& d_y, const Values& x) {
    Values result = Values::zeros(x.size());
    float* const dx = result.data();
    const float *const dy = d_y.data(), *const in = x.data();
    for_each_index(x.size(), [=] EXAMPLE_DEVICE(std::size_t i) {
        const float sigmoid = 1 / (1 + expf(-in[i]));
        dx[i] = dy[i] * sigmoid * (1 + in[i] * (1 - sigmoid));
    });
    return result;
}

/// The row of the table for each token.
inline Values look_up(const Values& table, const example::Array<int>& tokens, std::size_t width) {
    Values result = Values::zeros(tokens.size() * width);
    float* const row = result.data();
    const float* const from = table.data();
    const int* const token = tokens.data();
    for_each_index(result.size(), [=] EXAMPLE_DEVICE(std::size_t i) {
        row[i] = from[static_cast<std::size_t>(token[i / width]) * width + i % width];
    });
    return result;
}

inline void look_up_backward(const Values& d_rows, const example::Array<int>& tokens, std::size_t width,
                             Values& d_table) {
    float* const to = d_table.data();
    const float* const d = d_rows.data();
    const int* const token = tokens.data();
    const std::size_t count = tokens.size();
    for_each_index(d_table.size(), [=] EXAMPLE_DEVICE(std::size_t i) {
        double sum = 0;
        for (std::size_t n = 0; n < count; ++n)
            if (static_cast<std::size_t>(token[n]) == i / width) sum += d[n * width + i % width];
        to[i] = static_cast<float>(sum);
    });
}

/// Mean loss over the rows of logits; they become their own gradient.
inline double cross_entropy(Values& logits, const example::Array<int>& targets) {
    const std::size_t rows = targets.size(), classes = logits.size() / rows;
    auto losses = example::Array<double>::zeros(rows);
    double* const loss = losses.data();
    float* const all = logits.data();
    const int* const target = targets.data();
    for_each_index(rows, [=] EXAMPLE_DEVICE(std::size_t n) {
        float* const row = all + n * classes;
        const auto right = static_cast<std::size_t>(target[n]);
        double sum = 0;
        for (std::size_t c = 0; c < classes; ++c) sum += exp(static_cast<double>(row[c]));
        loss[n] = log(sum) - row[right];
        for (std::size_t c = 0; c < classes; ++c)
            row[c] = static_cast<float>((exp(static_cast<double>(row[c])) / sum - (c == right ? 1 : 0)) /
                                        static_cast<double>(rows));
    });
    const std::vector<double> each = losses.to_host();
    return std::accumulate(each.begin(), each.end(), 0.0) / static_cast<double>(rows);
}

/// Gradient descent with momentum.
inline void descend(Values& values, Values& momenta, const Values& gradients, float rate, float keep) {
    float *const v = values.data(), *const m = momenta.data();
    const float* const g = gradients.data();
    for_each_index(values.size(), [=] EXAMPLE_DEVICE(std::size_t i) {
        m[i] = keep * m[i] + g[i];
        v[i] -= rate * m[i];
    });
}

} // namespace train_3d
