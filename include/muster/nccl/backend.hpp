// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/comm/options.hpp>
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/launch.hpp>
#include <muster/nccl/communicator.hpp>
#include <muster/nccl/config.hpp>
#include <muster/nccl/device.hpp>
#include <muster/nccl/initialize.hpp>
#include <muster/nccl/limits.hpp>
#include <muster/nccl/preflight.hpp>
#include <muster/nccl/state.hpp>
#include <muster/nccl/unique_id.hpp>
#include <muster/nccl/variables.hpp>
#include <muster/nccl/version.hpp>
#include <muster/roll_call/session.hpp>
#include <muster/roll_call/watch.hpp>
#include <muster/store/any_store.hpp>

#include <nccl.h>

#include <cstddef>
#include <cstdlib>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1 {

/// The backend for GPUs: buffers are GPU memory, NCCL moves them. One GPU a rank, current on the thread that makes the
/// mesh.
///
/// NCCL is never waited for without a limit: every communicator is non-blocking, polled to init's deadline, and aborted
/// on any failure. The unique ids travel with the roll call, which has seen every rank by then.
class Nccl {
public:
    static constexpr std::string_view name = "nccl";
    using Communicator = NcclCommunicator;

    /// Compares NCCL's library with its header, refuses NCCL_COMM_BLOCKING, takes this rank's GPU, and on the ranks
    /// that have one to make, makes a unique id.
    /// Throws: Error(errc::backend, invalid_launch or device).
    Nccl(const Launch& launch, const Options& options)
        : rank_(launch.rank),
          world_size_(launch.world_size),
          local_rank_(launch.local_rank),
          local_size_(launch.local_size.value_or(launch.world_size)),
          options_(options) {
        detail::require_nccl_library(library_, NCCL_VERSION_CODE, detail::nccl_library_path(), rank_);
        const auto files = detail::nccl_files(launch.environment);
        variables_ = detail::common_nccl_variables(launch.environment, files, options.nccl.may_differ);
        detail::refuse_blocking(detail::find_nccl_variable(launch.environment, "NCCL_COMM_BLOCKING", files), rank_);
        device_ = detail::pin_device(launch, options.device);
        mask_ = launch.environment.get("CUDA_VISIBLE_DEVICES").value_or("not set");
        if (world_size_ == 1) return;
        if (!options.interface.empty()) choose_interface(launch.environment);
        detail::visit_configs(options.nccl, [&](std::string_view, const NcclConfig& config) {
            (void)detail::native_config(config, {}, library_); // says what is wrong with it
        });
        if (rank_ == 0) // the others have the same
            for (const auto& text : detail::overridden_settings(options.nccl, launch.environment, files)) warn(text);
        const bool fixed_id = detail::find_nccl_variable(launch.environment, "NCCL_COMM_ID", files).has_value();
        roots_ = detail::nccl_roots(world_size_, library_, fixed_id, options.nccl.ranks_per_root);
        const int root = detail::root_of_rank(rank_, world_size_, roots_);
        if (detail::rank_of_root(root, world_size_, roots_) == rank_) root_ = detail::NcclRoot::make(rank_);
    }

    /// "cuda:2,0000:41:00.0,GPU-8f3c...": the ordinal, the PCI bus id and the UUID.
    [[nodiscard]] std::string device() const {
        return detail::format("cuda:{},{},{}", {device_.ordinal, device_.pci_bus_id, device_.uuid});
    }

    /// What no two ranks may share: the GPU's UUID.
    [[nodiscard]] std::string exclusive() const {
        return options_.nccl.allow_shared_device ? std::string() : device_.uuid;
    }

    /// Which variables chose the GPU, for the text about two ranks on one.
    [[nodiscard]] std::string device_source() const {
        return detail::format("{}, CUDA_VISIBLE_DEVICES {}", {device_.chosen_from, mask_});
    }

    [[nodiscard]] std::map<std::string, std::string> must_equal() const {
        auto facts = variables_;
        facts["the version of NCCL"] = detail::nccl_version_text(library_);
        facts["the settings in Options::nccl"] = detail::settings_text(options_.nccl);
        facts["the number of NCCL's roots (NcclOptions::ranks_per_root, NCCL_COMM_ID)"] = std::to_string(roots_);
        return facts;
    }

    [[nodiscard]] std::string payload() const { return root_ ? root_->encode() : std::string(); }

    /// The world's communicator.
    /// Collective: over the world. Blocks: until NCCL has connected all ranks or one has failed, at most to the
    /// deadline.
    /// Throws: Error; what NCCL began is aborted with this object.
    [[nodiscard]] Communicator connect(AnyStore& store, const Session& session, Deadline deadline) {
        if (world_size_ == 1) return alone();
        std::vector<int> makers;
        makers.reserve(static_cast<std::size_t>(roots_));
        for (int root = 0; root < roots_; ++root) makers.push_back(detail::rank_of_root(root, world_size_, roots_));
        std::vector<detail::NcclRootInfo> roots;
        std::vector<detail::NcclId> ids;
        const std::vector<std::string> payloads = detail::payloads(session);
        for (const int maker : makers) {
            roots.push_back(detail::NcclRootInfo::decode(payloads[static_cast<std::size_t>(maker)], maker));
            ids.push_back(roots.back().id);
        }
        const int mine = detail::root_of_rank(rank_, world_size_, roots_);
        const std::string doubts =
            look_around(makers[static_cast<std::size_t>(mine)], roots[static_cast<std::size_t>(mine)], deadline);

        const NcclConfig& config = options_.nccl.world;
        world_ =
            std::make_shared<detail::NcclState>(group_of_ranks("world"), limits(), detail::nccl_names(config, "world"));
        world_->set_watch(detail::OutcomeCheck(store, session, deadline));
        try {
            detail::initialize_nccl(*world_, ids, config, deadline);
        } catch (const Error& error) {
            if (doubts.empty() || error.shared()) throw;
            throw Error(error.code(), error.stage(), detail::format("{}\n  before that: {}", {error.text(), doubts}),
                        {error.rank(), error.ranks(), false});
        }
        world_->set_watch(nullptr);
        root_.reset(); // all have met: nobody tries the probe any more
        return Communicator(std::exchange(world_, nullptr));
    }

    /// A group of this rank alone, which owns no communicator.
    [[nodiscard]] Communicator alone() const {
        return Communicator(std::make_shared<detail::NcclState>(
            detail::NcclGroupOfRanks{{rank_}, 0, device_.ordinal, "alone"}, limits(), nullptr));
    }

    /// Whether groups of the same ranks can share a communicator: `made` has the settings that `group` asks for, or
    /// `group` asks for none.
    [[nodiscard]] bool shares(std::string_view made, std::string_view group) const {
        const NcclConfig wanted = options_.nccl.axis(group);
        return wanted == NcclConfig{} || wanted == (made == "world" ? options_.nccl.world : options_.nccl.axis(made));
    }

    /// The communicator of one group, whose ranks are known; `place` is this rank's among them.
    /// Collective: over the world.
    [[nodiscard]] Communicator split(Communicator& world, std::string_view group, int place,
                                     std::vector<int> ranks) const {
        const int color = ranks.front(); // the group's lowest rank: no two groups share it
        return world.split(color, place, std::move(ranks), std::string(group), options_.nccl.axis(group));
    }

private:
    [[nodiscard]] detail::NcclGroupOfRanks group_of_ranks(std::string label) const {
        std::vector<int> ranks(static_cast<std::size_t>(world_size_));
        std::iota(ranks.begin(), ranks.end(), 0);
        return {std::move(ranks), rank_, device_.ordinal, std::move(label)};
    }

    [[nodiscard]] NcclLimits limits() const {
        NcclLimits limits;
        limits.timeout = options_.timeout;
        limits.abort_timeout = options_.nccl.abort_timeout;
        limits.abort_on_error = options_.nccl.abort_on_error;
        limits.log = options_.log;
        return limits;
    }

    /// NCCL takes its interface from the environment alone, and reads it once in the life of a process.
    void choose_interface(const Environment& environment) const {
        const auto set = environment.get("NCCL_SOCKET_IFNAME");
        const std::string exact = "=" + options_.interface;
        if (set && *set != options_.interface && *set != exact)
            return warn(
                detail::format("NCCL_SOCKET_IFNAME={} beats Options::interface ({})", {*set, options_.interface}));
        // NOLINTNEXTLINE(concurrency-mt-unsafe): asked for, and before NCCL starts its threads
        if (!set) (void)::setenv("NCCL_SOCKET_IFNAME", exact.c_str(), 0);
    }

    void warn(std::string_view text) const {
        if (options_.log) options_.log(detail::format("muster: rank {}: warning: {}", {rank_, text}));
    }

    /// Warns of what is likely to stop NCCL; what it finds about the address is given back for the error text.
    [[nodiscard]] std::string look_around(int maker, const detail::NcclRootInfo& root, Deadline deadline) const {
        if (local_rank_.value_or(0) == 0) // one rank a host
            for (const auto& text : detail::host_warnings(detail::measure_host(), local_size_, world_size_)) warn(text);
        if (root.port == 0 || root_) return {};
        const std::string problem = detail::why_unreachable(root.host, root.port, deadline);
        if (problem.empty()) return {};
        std::string text = detail::unreachable_text(maker, root.host, problem);
        warn(text);
        return text;
    }

    int rank_;
    int world_size_;
    std::optional<int> local_rank_;
    int local_size_;
    Options options_;
    int library_ = detail::nccl_library_version();
    NcclDevice device_;
    std::string mask_;
    std::map<std::string, std::string> variables_; ///< NCCL's own, which all ranks must have alike
    int roots_ = 1;
    std::optional<detail::NcclRoot> root_;
    std::shared_ptr<detail::NcclState> world_; ///< while it connects
};

} // namespace muster::inline v0_1
