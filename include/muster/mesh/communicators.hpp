// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/mesh/backend.hpp>
#include <muster/mesh/group_shape.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <list>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muster::inline v0_1::detail {

/// While it lives, an operation of the communicator may take what is left to the deadline, where operations wait.
template <class C>
class LimitedUntil {
public:
    LimitedUntil(C& communicator, Deadline deadline) : communicator_(communicator) {
        if constexpr (has_timeout) {
            before_ = communicator.timeout();
            set(std::max(deadline.remaining(), std::chrono::milliseconds(1)));
        }
    }
    LimitedUntil(const LimitedUntil&) = delete;
    LimitedUntil& operator=(const LimitedUntil&) = delete;
    ~LimitedUntil() {
        try {
            if constexpr (has_timeout) set(before_);
        } catch (const Error&) {
            return; // ended meanwhile
        }
    }

private:
    static constexpr bool has_timeout = requires(C c) { c.set_timeout(c.timeout()); };

    void set(std::chrono::milliseconds timeout) {
        if (communicator_.is_open()) communicator_.set_timeout(timeout);
    }

    C& communicator_;
    std::chrono::milliseconds before_{};
};

/// The communicators of a world: its own and those of groups, each made when it is first asked for. Groups of the same
/// ranks and settings share one.
template <Backend B>
class Communicators {
public:
    using Communicator = typename B::Communicator;

    /// `timeout`: of each operation, once the mesh is formed.
    Communicators(std::unique_ptr<B> backend, bool share, std::chrono::milliseconds timeout)
        : backend_(std::move(backend)),
          share_(share),
          timeout_(timeout) {}

    [[nodiscard]] B& backend() { return *backend_; }

    [[nodiscard]] Communicator& world() { return made_.front().communicator; }

    /// Pre: nothing is there.
    void set_world(GroupShape group, Communicator world) {
        made_.push_back({std::move(group), false, std::move(world)});
    }

    /// The communicator of a group. One split of the world makes the groups of all ranks.
    /// Collective: over the world, unless it was made before. Blocks: at most to the deadline.
    [[nodiscard]] Communicator& get(const GroupShape& group, Deadline deadline, bool own = false) {
        for (Made& each : made_)
            if (serves(each, group, own)) return each.communicator;
        if (closed_)
            throw Error(errc::closed, Stage::mesh, format("the group along {} on a mesh that is closed", {group.name}));
        if (group.ranks.size() == 1) return keep(group, own, backend_->alone());
        const LimitedUntil until(world(), deadline);
        Communicator& made = keep(group, own, split(group));
        if constexpr (requires { made.set_timeout(timeout_); })
            if (made.is_open()) made.set_timeout(timeout_); // it has its parent's
        return made;
    }

    /// For what is made after init.
    [[nodiscard]] Deadline deadline() const { return Deadline::after(timeout_); }

    /// Groups before the world. Throws the first error met; all are closed or aborted in any case.
    void close(Deadline deadline) {
        closed_ = true;
        std::exception_ptr first;
        for (auto each = made_.rbegin(); each != made_.rend(); ++each) {
            try {
                each->communicator.close(deadline);
            } catch (const Error&) {
                if (!first) first = std::current_exception();
                each->communicator.abort();
            }
        }
        if (first) std::rethrow_exception(first);
    }

    /// All at once where the backend can: an abort may wait for another communicator.
    void abort() noexcept {
        closed_ = true;
        if constexpr (requires(std::vector<Communicator*> all) { Communicator::abort_together(all); }) {
            try {
                std::vector<Communicator*> all;
                for (Made& each : made_) all.push_back(&each.communicator);
                return Communicator::abort_together(all);
            } catch (const std::bad_alloc&) {
                // One by one, then.
            }
        }
        for (Made& each : made_) each.communicator.abort();
    }

private:
    struct Made {
        GroupShape group;
        bool own; ///< of the axes that asked for one of their own
        Communicator communicator;
    };

    [[nodiscard]] bool serves(const Made& made, const GroupShape& group, bool own) const {
        if (made.group.steps != group.steps) return false;
        if (made.group.name == group.name && made.own == own) return true;
        if (group.ranks.size() == 1) return true;
        return share_ && !own && !made.own && same_settings(made.group.name, group.name);
    }

    [[nodiscard]] bool same_settings(std::string_view made, std::string_view group) const {
        if constexpr (requires { backend_->shares(made, group); }) return backend_->shares(made, group);
        return true;
    }

    [[nodiscard]] Communicator split(const GroupShape& group) {
        // The group's lowest rank as the colour: no two groups share it.
        if constexpr (requires { backend_->split(world(), group.name, group.place, group.ranks); })
            return backend_->split(world(), group.name, group.place, group.ranks);
        else
            return world().split(group.ranks.front(), group.place);
    }

    Communicator& keep(const GroupShape& group, bool own, Communicator communicator) {
        return made_.emplace_back(Made{group, own, std::move(communicator)}).communicator;
    }

    std::unique_ptr<B> backend_;
    bool share_;
    std::chrono::milliseconds timeout_;
    bool closed_ = false;
    std::list<Made> made_; ///< the world first; their addresses stay
};

} // namespace muster::inline v0_1::detail
