// SPDX-License-Identifier: Apache-2.0
#pragma once

// The compile-time part of muster alone: needs the standard library and nothing else.

// IWYU pragma: begin_exports
#include <muster/core/error.hpp>
#include <muster/core/version.hpp>
#include <muster/topology/axis.hpp>
#include <muster/topology/topology.hpp>
// IWYU pragma: end_exports
