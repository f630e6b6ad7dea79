// SPDX-License-Identifier: Apache-2.0
// CASE BOOL: muster: the elements of an NCCL communicator's buffers are integers
// CASE LONG_DOUBLE: muster: the elements of an NCCL communicator's buffers are integers
// CASE REDUCES_16_BITS: muster: NCCL does not reduce this element type
// CASE REDUCES_BYTES: muster: NCCL does not reduce this element type
// CASE FACTOR_OF_ANOTHER_TYPE: muster: the operation must be sum, prod, min, max, avg or premul_sum(factor)
// CASE NO_OPERATION: muster: the operation must be sum, prod, min, max, avg or premul_sum(factor)
// CASE TWO_ELEMENT_TYPES: muster: both buffers of an operation must have the same element type
// CASE OTHER_EXTENT: muster: both buffers must have the same number of elements
// CASE NO_MULTIPLE: muster: the larger buffer must hold the smaller one once for every rank of the group
// CASE CONST_OUT: MutableBuffer
// CASE CONST_IN_PLACE: MutableBuffer
// CASE OUT_THAT_ENDS_TOO_SOON: MutableBuffer
// CASE HANDLE_IS_A_NUMBER: from_native_handle
#include <muster/nccl/communicator.hpp>

#include <nccl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

using muster::NcclCommunicator;

#ifdef BOOL
inline void broadcast_flags(NcclCommunicator& comm, std::span<bool> flags) { comm.broadcast(flags, 0); }
#else
inline void broadcast_flags(NcclCommunicator& comm, std::span<std::uint8_t> flags) { comm.broadcast(flags, 0); }
#endif

#ifdef LONG_DOUBLE
inline void all_reduce_floats(NcclCommunicator& comm, std::span<long double> x) { comm.all_reduce(x, muster::sum); }
#else
inline void all_reduce_floats(NcclCommunicator& comm, std::span<double> x) { comm.all_reduce(x, muster::sum); }
#endif

#ifdef REDUCES_16_BITS
inline void reduce_short(NcclCommunicator& comm, std::span<std::int16_t> x) { comm.reduce(x, muster::max, 0); }
#else
inline void reduce_short(NcclCommunicator& comm, std::span<std::int32_t> x) { comm.reduce(x, muster::max, 0); }
inline void move_short(NcclCommunicator& comm, std::span<std::int16_t> x) { comm.broadcast(x, 0); }
#endif

#ifdef REDUCES_BYTES
inline void reduce_bytes(NcclCommunicator& comm, std::span<std::byte> x) { comm.all_reduce(x, muster::sum); }
#else
inline void reduce_bytes(NcclCommunicator& comm, std::span<std::uint8_t> x) { comm.all_reduce(x, muster::sum); }
inline void move_bytes(NcclCommunicator& comm, std::span<std::byte> x) { comm.broadcast(x, 0); }
#endif

#ifdef FACTOR_OF_ANOTHER_TYPE
inline void scale(NcclCommunicator& comm, std::span<float> x) { comm.all_reduce(x, muster::premul_sum(0.5)); }
#else
inline void scale(NcclCommunicator& comm, std::span<float> x) { comm.all_reduce(x, muster::premul_sum(0.5F)); }
#endif

#ifdef NO_OPERATION
inline void reduce_with_nothing(NcclCommunicator& comm, std::span<float> x) { comm.all_reduce(x, 0); }
#else
inline void reduce_with_nothing(NcclCommunicator& comm, std::span<float> x) { comm.all_reduce(x, muster::avg); }
#endif

#ifdef TWO_ELEMENT_TYPES
using Other = std::vector<double>;
#else
using Other = std::vector<float>;
#endif
inline void gather_other(NcclCommunicator& comm, std::span<const float> x, Other& all) { comm.all_gather(x, all); }

#ifdef OTHER_EXTENT
using Out = std::array<float, 3>;
#else
using Out = std::array<float, 2>;
#endif
inline void sum_of_two(NcclCommunicator& comm, std::array<float, 2>& in, Out& out) {
    comm.all_reduce(in, out, muster::sum);
}

#ifdef NO_MULTIPLE
using All = std::span<float, 5>;
#else
using All = std::span<float, 6>;
#endif
inline void gather_twos(NcclCommunicator& comm, std::span<const float, 2> in, All out) { comm.all_gather(in, out); }

#ifdef CONST_OUT
using Result = const std::vector<float>;
#else
using Result = std::vector<float>;
#endif
inline void sum_into(NcclCommunicator& comm, const std::vector<float>& in, Result& out) {
    comm.all_reduce(in, out, muster::sum);
}

#ifdef CONST_IN_PLACE
inline void receive_into(NcclCommunicator& comm, std::span<const float> x) { comm.recv(x, 1); }
#else
inline void receive_into(NcclCommunicator& comm, std::span<float> x) { comm.recv(x, 1); }
#endif

#ifdef OUT_THAT_ENDS_TOO_SOON
inline void gather_for_nobody(NcclCommunicator& comm, std::span<const float> x) {
    comm.all_gather(x, std::vector<float>(8));
}
#else
inline void gather_for_nobody(NcclCommunicator& comm, std::span<const float> x, std::vector<float>& all) {
    comm.all_gather(x, all);
}
#endif

#ifdef HANDLE_IS_A_NUMBER
inline auto view_of() { return NcclCommunicator::from_native_handle(0); }
#else
inline auto view_of(ncclComm_t handle) { return NcclCommunicator::from_native_handle(handle); }
#endif
