// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/mesh/backend.hpp>
#include <muster/mesh/communicators.hpp>
#include <muster/mesh/group_shape.hpp>
#include <muster/topology.hpp>
#include <muster/topology/static_checks.hpp>
#include <muster/topology/subset.hpp>

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <vector>

namespace muster::inline v0_1 {

/// Whether a group may use the communicator of another group of the same ranks.
enum class Sharing {
    allowed,
    none, ///< one of its own, so that operations of both can overlap
};

template <class Topology, class Backend, class... Tags>
class SubMesh;

/// Of a Topology only.
template <class Topology, class Backend>
class MeshView;

/// The ranks of a mesh as one grid, with a communicator for each axis: what BasicDeviceMesh is, and what
/// BasicDeviceMesh::view makes of the same ranks in another grid.
///
/// The communicators are the mesh's: they end with it. A view stays valid when the mesh is moved.
template <AxisTag... Tags, int... Extent, Backend B>
class MeshView<Topology<Axis<Tags, Extent>...>, B> {
public:
    /// The grid, what moves the data, and what the axes' groups are.
    using Topology = muster::Topology<Axis<Tags, Extent>...>;
    using Backend = B;
    using Communicator = typename B::Communicator;

    /// Whether every extent is fixed by the type.
    static constexpr bool is_static = Topology::is_static;

    /// The axes' communicators are made, each by one split of the world, where none of the same ranks is there.
    /// Collective: over the world. Pre: the same topology on all ranks.
    MeshView(detail::Communicators<B>& all, const Topology& topology, int rank, Deadline deadline)
        : all_(&all),
          topology_(topology),
          rank_(rank),
          axes_{&all.get(detail::group_shape<Tags>(topology, rank), deadline)...} {}

    /// Number of ranks, when every extent is fixed by the type.
    [[nodiscard]] static consteval int static_size() requires is_static { return Topology::static_size(); }

    /// This rank, the number of ranks, and the grid in which they stand.
    [[nodiscard]] int rank() const noexcept { return rank_; }
    [[nodiscard]] int world_size() const noexcept { return topology_.size(); }
    [[nodiscard]] const Topology& topology() const noexcept { return topology_; }

    /// Where this rank stands, in axis order.
    [[nodiscard]] std::array<int, sizeof...(Tags)> coordinate() const { return topology_.coordinate(rank_); }

    /// Where this rank stands along one axis: its rank in that axis' communicator.
    template <AxisTag Tag>
    [[nodiscard]] int coordinate() const {
        return topology_.template coordinate<Tag>(rank_);
    }

    /// The communicator of the world. The reference holds until close() or abort().
    [[nodiscard]] Communicator& world() const noexcept { return all_->world(); }

    /// The communicator of this rank's group along the axis.
    template <AxisTag Tag>
    [[nodiscard]] Communicator& along() const noexcept {
        return *axes_[detail::AxisIndex<Tag, Axis<Tags, Extent>...>::value];
    }

    /// The same by the axis' name, of the axes that the topology has.
    [[nodiscard]] Communicator& tp() const noexcept requires(Topology::template has_axis<Tp>) { return along<Tp>(); }
    [[nodiscard]] Communicator& dp() const noexcept requires(Topology::template has_axis<Dp>) { return along<Dp>(); }
    [[nodiscard]] Communicator& cp() const noexcept requires(Topology::template has_axis<Cp>) { return along<Cp>(); }
    [[nodiscard]] Communicator& pp() const noexcept requires(Topology::template has_axis<Pp>) { return along<Pp>(); }
    [[nodiscard]] Communicator& ep() const noexcept requires(Topology::template has_axis<Ep>) { return along<Ep>(); }

    /// The communicator of this rank's group along several axes, adjacent or not, named in the topology's order. Made
    /// once: later calls give the same one. Its settings are those of NcclOptions::axes["dp+cp"], else of its first
    /// axis; its limits are the mesh's.
    /// Collective: over the world, the first time, unless there is a communicator to share. Blocks: at most the
    /// options' timeout. Throws: Error.
    template <AxisTag... Chosen>
    [[nodiscard]] Communicator& flatten(Sharing sharing = Sharing::allowed) const {
        require_axes<Chosen...>();
        return all_->get(detail::group_shape<Chosen...>(topology_, rank_), all_->deadline(), sharing == Sharing::none);
    }

    /// The grid of this rank's group along some of the axes, named in the topology's order.
    template <AxisTag... Chosen>
    [[nodiscard]] SubMesh<Topology, B, Chosen...> submesh() const {
        require_axes<Chosen...>();
        return SubMesh<Topology, B, Chosen...>(*this);
    }

    /// The peer for send and recv along the axis: the rank in along<Tag>() after this one, and the one before; the
    /// last one's next is the first.
    template <AxisTag Tag>
    [[nodiscard]] int next() const {
        return (coordinate<Tag>() + 1) % topology_.template extent<Tag>();
    }
    template <AxisTag Tag>
    [[nodiscard]] int previous() const {
        const int extent = topology_.template extent<Tag>();
        return (coordinate<Tag>() + extent - 1) % extent;
    }

    /// Whether this rank is at an end of the axis, where a pipeline does not go on.
    template <AxisTag Tag>
    [[nodiscard]] bool is_first() const {
        return topology_.template is_first<Tag>(rank_);
    }
    template <AxisTag Tag>
    [[nodiscard]] bool is_last() const {
        return topology_.template is_last<Tag>(rank_);
    }

    /// This rank's share of `number` along the axis. Throws: as Topology::shard.
    template <AxisTag Tag, std::integral Number>
    [[nodiscard]] Number shard(Number number, std::string_view what = {}) const {
        return topology_.template shard<Tag>(number, what);
    }

private:
    template <class... Chosen>
    static constexpr void require_axes() {
        static_assert(sizeof...(Chosen) > 0, "muster: name the axes, as in flatten<Dp, Cp>()");
        static_assert(detail::all_different<Chosen...>, "muster: a tag stands twice among the axes");
        static_assert((Topology::template has_axis<Chosen> && ...),
                      "muster: the topology has no axis with this tag; its axes are the arguments of Topology");
        if constexpr ((Topology::template has_axis<Chosen> && ...) && detail::all_different<Chosen...>)
            (void)detail::axes_out_of_order<
                detail::AxisList<Chosen...>,
                typename detail::TagsOf<typename detail::Filter<
                    detail::AxisList<>, detail::AxisList<Axis<Tags, Extent>...>, Chosen...>::type>::type>{};
    }

    detail::Communicators<B>* all_;
    Topology topology_;
    int rank_;
    std::array<Communicator*, sizeof...(Tags)> axes_;
};

/// Some axes of a mesh: the grid of the ranks that differ from this one along these axes only.
template <class Topology, class B, class... Tags>
class SubMesh {
public:
    using Communicator = typename B::Communicator; ///< of each axis, and of the whole grid

    /// As MeshView::submesh makes it.
    explicit SubMesh(const MeshView<Topology, B>& whole)
        : whole_(whole),
          topology_(sub_topology<Tags...>(whole.topology())) {}

    /// The grid of these axes alone.
    [[nodiscard]] const auto& topology() const noexcept { return topology_; }

    /// Number of ranks in the grid, and this one's place in it: its rank in group().
    [[nodiscard]] int size() const noexcept { return topology_.size(); }
    [[nodiscard]] int rank() const { return topology_.rank_of({whole_.template coordinate<Tags>()...}); }

    /// Global ranks, ascending; index = rank in the grid.
    [[nodiscard]] std::vector<int> ranks() const { return whole_.topology().template group<Tags...>(whole_.rank()); }

    /// Where this rank stands along one of its axes.
    template <AxisTag Tag>
    [[nodiscard]] int coordinate() const {
        require<Tag>();
        return whole_.template coordinate<Tag>();
    }

    /// The communicator of one of its axes.
    template <AxisTag Tag>
    [[nodiscard]] Communicator& along() const {
        require<Tag>();
        return whole_.template along<Tag>();
    }

    /// The communicator of the whole grid, as MeshView::flatten gives it.
    [[nodiscard]] Communicator& group() const { return whole_.template flatten<Tags...>(); }

private:
    template <class Tag>
    static constexpr void require() {
        static_assert(detail::times_among<Tag, Tags...> == 1, "muster: the sub-mesh has no axis with this tag");
    }

    MeshView<Topology, B> whole_;
    typename Topology::template subset<Tags...> topology_;
};

} // namespace muster::inline v0_1
