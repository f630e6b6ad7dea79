// SPDX-License-Identifier: Apache-2.0
// The layers' arithmetic, forward and backward: plain loops that know nothing of other ranks. Rows of values stand one
// after the other.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace train_3d {

using Values = std::vector<float>;

/// A sum of products in double: what a mesh cuts into parts comes to the same float, but for the last bit.
inline float dot(const float* a, std::size_t step_a, const float* b, std::size_t step_b, std::size_t count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += static_cast<double>(a[i * step_a]) * b[i * step_b];
    return static_cast<float>(sum);
}

inline void add(Values& to, const Values& more) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += more[i];
}

/// y = x * weight^T, where weight has a row of `inputs` for each output.
inline Values linear(const Values& x, const Values& weight, std::size_t inputs) {
    const std::size_t rows = x.size() / inputs, outputs = weight.size() / inputs;
    Values y(rows * outputs);
    for (std::size_t n = 0; n < rows; ++n)
        for (std::size_t o = 0; o < outputs; ++o)
            y[n * outputs + o] = dot(&x[n * inputs], 1, &weight[o * inputs], 1, inputs);
    return y;
}

/// Gives the gradient of x, and writes the weight's.
inline Values linear_backward(const Values& dy, const Values& x, const Values& weight, std::size_t inputs, Values& dw) {
    const std::size_t rows = x.size() / inputs, outputs = weight.size() / inputs;
    for (std::size_t o = 0; o < outputs; ++o)
        for (std::size_t i = 0; i < inputs; ++i) dw[o * inputs + i] = dot(&dy[o], outputs, &x[i], inputs, rows);
    Values dx(x.size());
    for (std::size_t n = 0; n < rows; ++n)
        for (std::size_t i = 0; i < inputs; ++i)
            dx[n * inputs + i] = dot(&dy[n * outputs], 1, &weight[i], inputs, outputs);
    return dx;
}

inline float inverse_rms(const float* row, std::size_t width) {
    return 1 / std::sqrt(dot(row, 1, row, 1, width) / static_cast<float>(width) + 1e-6F);
}

/// Each row divided by its root mean square, times the gain.
inline Values rms_norm(const Values& x, const Values& gain) {
    const std::size_t width = gain.size();
    Values y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * inverse_rms(&x[i - i % width], width) * gain[i % width];
    return y;
}

inline Values rms_norm_backward(const Values& dy, const Values& x, const Values& gain, Values& dgain) {
    const std::size_t width = gain.size(), rows = x.size() / width;
    Values dx(x.size()), normed(x.size()), scaled(width);
    for (std::size_t n = 0; n < rows; ++n) {
        const std::size_t first = n * width;
        const float scale = inverse_rms(&x[first], width);
        for (std::size_t i = 0; i < width; ++i) {
            normed[first + i] = x[first + i] * scale;
            scaled[i] = dy[first + i] * gain[i];
        }
        const float mean = dot(scaled.data(), 1, &normed[first], 1, width) / static_cast<float>(width);
        for (std::size_t i = 0; i < width; ++i) dx[first + i] = scale * (scaled[i] - normed[first + i] * mean);
    }
    for (std::size_t i = 0; i < width; ++i) dgain[i] = dot(&dy[i], width, &normed[i], width, rows);
    return dx;
}

/// y[t] = sum over k of weight[k] * x[t - k], column by column; x begins with the positions that the first ones look
/// back at. A position has `stride` values: a row of `width` for each sample.
inline Values causal_mix(const Values& x, const Values& weight, std::size_t width, std::size_t stride) {
    const std::size_t lags = weight.size() / width, halo = (lags - 1) * stride;
    Values y(x.size() - halo);
    for (std::size_t i = 0; i < y.size(); ++i)
        for (std::size_t k = 0; k < lags; ++k) y[i] += weight[k * width + i % width] * x[i + halo - k * stride];
    return y;
}

inline Values causal_mix_backward(const Values& dy, const Values& x, const Values& weight, std::size_t width,
                                  std::size_t stride, Values& dweight) {
    const std::size_t lags = weight.size() / width, halo = (lags - 1) * stride;
    Values dx(x.size());
    for (std::size_t k = 0; k < lags; ++k) {
        for (std::size_t i = 0; i < dy.size(); ++i) dx[i + halo - k * stride] += weight[k * width + i % width] * dy[i];
        for (std::size_t c = 0; c < width; ++c)
            dweight[k * width + c] = dot(&dy[c], width, &x[halo - k * stride + c], width, dy.size() / width);
    }
    return dx;
}

inline Values silu(const Values& x) {
    Values y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] / (1 + std::exp(-x[i]));
    return y;
}

inline Values silu_backward(const Values& dy, const Values& x) {
    Values dx(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        const float sigmoid = 1 / (1 + std::exp(-x[i]));
        dx[i] = dy[i] * sigmoid * (1 + x[i] * (1 - sigmoid));
    }
    return dx;
}

/// Mean loss over the rows of logits; they become their own gradient.
inline double cross_entropy(Values& logits, const std::vector<int>& targets) {
    const std::size_t classes = logits.size() / targets.size();
    double loss = 0;
    for (std::size_t n = 0; n < targets.size(); ++n) {
        float* const row = &logits[n * classes];
        const auto target = static_cast<std::size_t>(targets[n]);
        double sum = 0;
        for (std::size_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(row[c]));
        loss += std::log(sum) - row[target];
        for (std::size_t c = 0; c < classes; ++c)
            row[c] = static_cast<float>((std::exp(static_cast<double>(row[c])) / sum - (c == target ? 1 : 0)) /
                                        static_cast<double>(targets.size()));
    }
    return loss / static_cast<double>(targets.size());
}

} // namespace train_3d
