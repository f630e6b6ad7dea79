// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/topology.hpp>

namespace support {

/// A rank's place in a grid: what is left of a mesh without its connections.
template <class Grid>
struct Place {
    Grid grid;
    int rank;

    [[nodiscard]] const Grid& topology() const noexcept { return grid; }

    template <muster::AxisTag Tag>
    [[nodiscard]] int coordinate() const {
        return grid.template coordinate<Tag>(rank);
    }
};

template <class Grid>
Place(Grid, int) -> Place<Grid>;

} // namespace support
