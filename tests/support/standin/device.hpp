// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace standin {

/// The calling thread's device, with no thought for driver and script.
int current_device();

/// The number of devices of the script, or why there is none.
cudaError_t device_count(int& count);

/// As cudaGetDevice asks, uncounted.
cudaError_t get_device(int& device);

/// What a device says of itself on its bus, and what NCCL tells devices apart by.
int bus_of(int device);

/// Keeps the error for cudaGetLastError, as each call of the runtime does.
cudaError_t keep(cudaError_t error);

} // namespace standin
