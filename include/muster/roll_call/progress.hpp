// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/deadline.hpp>
#include <muster/core/format.hpp>
#include <muster/core/log.hpp>
#include <muster/core/text.hpp>

#include <algorithm>
#include <chrono>
#include <vector>

namespace muster::inline v0_1::detail {

/// Says who is missing while rank 0 waits: after 3 seconds, then in pauses that double up to a minute.
class Progress {
public:
    void report(const std::vector<int>& missing, int world_size, Deadline deadline, const LogSink& log) {
        if (!log || missing.empty() || Deadline::Clock::now() < next_) return;
        log(format("muster: waiting for {} of {} ranks: {} ({} left)",
                   {missing.size(), world_size, rank_list(missing),
                    duration_text(std::chrono::ceil<std::chrono::seconds>(deadline.remaining()))}));
        pause_ = std::min<std::chrono::milliseconds>(2 * pause_, std::chrono::minutes(1));
        next_ = Deadline::Clock::now() + pause_;
    }

private:
    std::chrono::milliseconds pause_{3000};
    Deadline::Clock::time_point next_ = Deadline::Clock::now() + pause_;
};

} // namespace muster::inline v0_1::detail
