// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The library with the Gloo backend, for machines without a GPU: needs neither CUDA nor NCCL.

// IWYU pragma: begin_exports
#include <muster/comm/options.hpp>
#include <muster/comm/reduction.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/version.hpp>
#include <muster/gloo/backend.hpp>
#include <muster/gloo/communicator.hpp>
#include <muster/launch/detect.hpp>
#include <muster/mesh/device_mesh.hpp>
#include <muster/mesh/dry_run.hpp>
#include <muster/mesh/sized_operations.hpp>
#include <muster/rendezvous/env.hpp>
#include <muster/rendezvous/file.hpp>
#include <muster/rendezvous/local.hpp>
#include <muster/rendezvous/serve.hpp>
#include <muster/rendezvous/tcp.hpp>
#include <muster/report/describe.hpp>
#include <muster/report/diagram.hpp>
#include <muster/report/diagram_svg.hpp>
#include <muster/report/error_file.hpp>
#include <muster/topology.hpp>
#include <muster/training/all_reduce.hpp>
#include <muster/training/checkpoint.hpp>
#include <muster/training/local_batch.hpp>
#include <muster/training/replicas.hpp>
#include <muster/training/sampler.hpp>
// IWYU pragma: end_exports
