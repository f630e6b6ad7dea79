// SPDX-License-Identifier: Apache-2.0
// What the programs here share: the command line, GPU memory, one clock for all processes, and the line of figures.
#pragma once

#include <muster/muster.hpp>

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdio>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gpu {

using Mesh = muster::DeviceMesh<muster::dynamic, muster::dynamic, muster::dynamic>;

/// Seconds of the monotonic clock: the same for all processes of this machine, and in Python's time.monotonic().
[[nodiscard]] inline double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline void check(cudaError_t error, std::string_view call) {
    if (error != cudaSuccess)
        throw std::runtime_error(fmt::format("{}: {} ({})", call, cudaGetErrorName(error), cudaGetErrorString(error)));
}

inline void require(bool condition, std::string_view what) {
    if (!condition) throw std::runtime_error(std::string(what));
}

/// Options as "--name value" or "--name" alone, which counts as 1.
class Arguments {
public:
    Arguments(int argc, char** argv) {
        for (int i = 1; i < argc; ++i) {
            const std::string name = argv[i];
            const bool has_value = i + 1 < argc && std::string_view(argv[i + 1]).substr(0, 2) != "--";
            values_[name] = has_value ? argv[++i] : "1";
        }
    }

    [[nodiscard]] bool has(std::string_view name) const { return values_.contains(name); }
    [[nodiscard]] std::string text(std::string_view name, std::string otherwise = {}) const {
        const auto found = values_.find(name);
        return found == values_.end() ? std::move(otherwise) : found->second;
    }
    [[nodiscard]] int number(std::string_view name, int otherwise) const {
        return has(name) ? std::stoi(text(name)) : otherwise;
    }

    [[nodiscard]] muster::Extents extents() const {
        return {.tp = number("--tp", 1), .dp = number("--dp", 1), .cp = number("--cp", 1)};
    }

private:
    std::map<std::string, std::string, std::less<>> values_;
};

/// Options of a mesh whose ranks all use the one GPU.
[[nodiscard]] inline muster::Options shared_gpu(std::chrono::milliseconds timeout) {
    muster::Options options;
    options.timeout = timeout;
    options.nccl.allow_shared_device = true;
    return options;
}

class Stream {
public:
    Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    ~Stream() { (void)cudaStreamDestroy(stream_); }
    operator cudaStream_t() const noexcept { return stream_; } // NOLINT(google-explicit-constructor)

private:
    cudaStream_t stream_ = nullptr;
};

/// Memory of the current GPU.
template <class T>
class Array {
public:
    explicit Array(std::size_t size) : size_(size) {
        check(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T)), "cudaMalloc");
    }
    explicit Array(const std::vector<T>& values) : Array(values.size()) { upload(values); }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array() { (void)cudaFree(data_); }

    [[nodiscard]] T* begin() const noexcept { return data_; }
    [[nodiscard]] T* end() const noexcept { return data_ + size_; }
    [[nodiscard]] std::span<T> span() const noexcept { return {data_, size_}; }

    void upload(const std::vector<T>& values) {
        check(cudaMemcpy(data_, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
        // Memory that is not pinned may still be on its way, and only the null stream waits for it.
        check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
    }

    /// Pre: nothing that writes is pending.
    [[nodiscard]] std::vector<T> download() const {
        std::vector<T> values(size_);
        check(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
        return values;
    }

private:
    T* data_ = nullptr;
    std::size_t size_;
};

/// One line of JSON for the script that started this process.
class Figures {
public:
    template <class Number>
    requires(std::integral<Number> || std::floating_point<Number>) void add(std::string_view name, Number value) {
        add_json(name, fmt::format("{}", value));
    }
    void add(std::string_view name, const std::string& value) { add_json(name, indented(value)); }
    void add_json(std::string_view name, std::string_view value) {
        text_ += fmt::format("{}{}: {}", text_.empty() ? "" : ", ", indented(name), value);
    }

    [[nodiscard]] std::string json() const { return '{' + text_ + '}'; }
    void print() const {
        std::fputs(fmt::format("result {}\n", json()).c_str(), stdout);
        std::fflush(stdout);
    }

    [[nodiscard]] static std::string indented(std::string_view text) {
        std::string result = "\"";
        for (const char c : text) {
            if (c == '"' || c == '\\')
                result += fmt::format("\\{}", c);
            else if (static_cast<unsigned char>(c) < 0x20)
                result += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
            else
                result += c;
        }
        return result + '"';
    }

private:
    std::string text_;
};

/// A word to the script, which waits for it.
inline void say(std::string_view word) {
    std::fputs(fmt::format("{}\n", word).c_str(), stdout);
    std::fflush(stdout);
}

/// Runs a program's body; errors end up in words on stderr and in the exit status.
template <class Body>
int run(Body body) {
    try {
        body();
        return 0;
    } catch (const muster::Error& error) {
        fmt::print(stderr, "{}\n[{}; {}]\n", error.what(), to_string(error.code()), to_string(error.stage()));
        return 3;
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 4;
    }
}

} // namespace gpu
