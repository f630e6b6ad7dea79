// SPDX-License-Identifier: Apache-2.0
// Which backend an example is built for, and an array in the memory that this backend moves: one source for both.
#pragma once

#ifdef EXAMPLE_GLOO
#include <muster/gloo.hpp>
#else
#include <muster/muster.hpp>

#include <cuda_runtime_api.h>
#endif

#include <cstddef>
#include <stdexcept>
#include <utility>
#include <vector>

namespace example {

#ifdef EXAMPLE_GLOO

using Backend = muster::Gloo;

/// Host memory.
template <class T>
class Array {
public:
    explicit Array(std::vector<T> values) : values_(std::move(values)) {}

    [[nodiscard]] static Array zeros(std::size_t size) { return Array(std::vector<T>(size)); }

    Array(Array&&) noexcept = default;
    Array& operator=(Array&&) noexcept = default;

    [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
    [[nodiscard]] T* data() noexcept { return values_.data(); }
    [[nodiscard]] const T* data() const noexcept { return values_.data(); }
    [[nodiscard]] T* begin() noexcept { return values_.data(); }
    [[nodiscard]] T* end() noexcept { return values_.data() + values_.size(); }
    [[nodiscard]] const T* begin() const noexcept { return values_.data(); }
    [[nodiscard]] const T* end() const noexcept { return values_.data() + values_.size(); }

    /// The values as the host sees them. Pre: nothing is pending.
    [[nodiscard]] std::vector<T> to_host() const { return values_; }

private:
    std::vector<T> values_;
};

#else

using Backend = muster::Nccl;

inline void check(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

/// Memory of the current GPU.
template <class T>
class Array {
public:
    explicit Array(const std::vector<T>& values) : Array() {
        allocate(values.size());
        check(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice));
    }

    [[nodiscard]] static Array zeros(std::size_t size) {
        Array array;
        array.allocate(size);
        check(cudaMemset(array.data_, 0, array.bytes()));
        return array;
    }

    Array(Array&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Array& operator=(Array&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Array() { (void)cudaFree(data_); }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] T* data() noexcept { return data_; }
    [[nodiscard]] const T* data() const noexcept { return data_; }
    [[nodiscard]] T* begin() noexcept { return data_; }
    [[nodiscard]] T* end() noexcept { return data_ + size_; }
    [[nodiscard]] const T* begin() const noexcept { return data_; }
    [[nodiscard]] const T* end() const noexcept { return data_ + size_; }

    /// The values as the host sees them. Pre: nothing is pending.
    [[nodiscard]] std::vector<T> to_host() const {
        std::vector<T> values(size_);
        check(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost));
        return values;
    }

private:
    Array() = default;
    void allocate(std::size_t size) {
        check(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T)));
        size_ = size;
    }
    [[nodiscard]] std::size_t bytes() const noexcept { return size_ * sizeof(T); }

    T* data_ = nullptr;
    std::size_t size_ = 0;
};

#endif

} // namespace example
