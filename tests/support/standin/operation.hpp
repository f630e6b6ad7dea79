// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nccl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arithmetic.hpp"
#include "communicator.hpp"
#include "stream.hpp"

namespace standin {

enum class Call : std::uint32_t {
    none,
    all_reduce,
    reduce,
    broadcast,
    all_gather,
    reduce_scatter,
    all_to_all,
    gather,
    scatter,
    send,
    recv
};

const char* name_of(Call call);

/// One operation as it was called.
struct Operation {
    Comm comm;
    std::shared_ptr<Stream> stream;
    Call call = Call::none;
    const void* send = nullptr;
    void* recv = nullptr;
    std::size_t count = 0;
    ncclDataType_t type = ncclFloat32;
    Reduction op = Reduction::sum;
    UserOp user;
    int root = 0; // or the peer
    Action action;

    bool is_pair() const { return call == Call::send || call == Call::recv; }
    std::size_t bytes() const { return count * size_of(type); }
};

/// What the ranks must agree on, in words.
std::string describe(const Header& header);
Header header_of(const Operation& operation);

/// Queues the operations, all of one communicator, on their streams as one launch.
void launch(std::vector<Operation> operations);

} // namespace standin
