// SPDX-License-Identifier: Apache-2.0
#include "group.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include "failure.hpp"
#include "rules.hpp"

namespace standin {
namespace {

ncclResult_t result_of(const std::function<ncclResult_t()>& run) {
    try {
        return run();
    } catch (const Failure& failure) {
        return kept(failure);
    }
}

/// What the script has for the operation before it goes to its stream.
ncclResult_t prepare(const Operation& operation) {
    const auto& cancel = operation.comm->cancel;
    if (operation.action.what == Do::progress) cancel.sleep(operation.action.value);
    if (operation.action.what == Do::stay) cancel.sleep(-1);
    if (operation.action.what != Do::async) return ncclSuccess;
    set_last_error(std::string(name_of(operation.call)) + " fails by the script");
    return static_cast<ncclResult_t>(operation.action.value);
}

} // namespace

GroupJob::GroupJob(std::vector<Job> jobs, std::vector<Operation> operations)
    : jobs_(std::move(jobs)),
      operations_(std::move(operations)) {
    // As the real one: communicators of one group launch in an order that is the same on all ranks.
    std::stable_sort(operations_.begin(), operations_.end(),
                     [](const Operation& a, const Operation& b) { return a.comm->hash < b.comm->hash; });
}

ncclResult_t GroupJob::run() {
    auto result = run_jobs();
    for (auto begin = operations_.begin(); begin != operations_.end() && result == ncclSuccess;) {
        const auto end =
            std::find_if(begin, operations_.end(), [&](const Operation& one) { return one.comm != begin->comm; });
        result = result_of([&] {
            auto prepared = ncclSuccess;
            for (auto one = begin; one != end && prepared == ncclSuccess; ++one) prepared = prepare(*one);
            launch({std::make_move_iterator(begin), std::make_move_iterator(end)});
            return prepared;
        });
        begin = end;
    }
    return result;
}

bool GroupJob::at_once() const {
    const auto& now = script();
    return jobs_.empty() && std::all_of(operations_.begin(), operations_.end(), [&](const Operation& operation) {
               return now.launches_at_once[rank_slot(operation.comm->world_rank)] &&
                      operation.action.what == Do::nothing;
           });
}

ncclResult_t GroupJob::run_jobs() {
    if (jobs_.size() > 1) return run_beside();
    return jobs_.empty() ? ncclSuccess : result_of(jobs_.front().run);
}

/// Each job in a thread; the first failure ends the others.
ncclResult_t GroupJob::run_beside() {
    auto result = ncclSuccess;
    std::vector<std::thread> threads;
    for (const auto& job : jobs_) {
        threads.emplace_back([&] {
            const auto mine = result_of(job.run);
            if (mine == ncclSuccess) return;
            {
                const std::lock_guard lock(mutex_);
                if (result == ncclSuccess) result = mine;
            }
            cancel_jobs();
        });
    }
    for (auto& thread : threads) thread.join();
    return result;
}

void GroupJob::cancel_jobs() {
    for (const auto& job : jobs_) {
        if (job.cancel && !job.ends_comm) job.cancel();
    }
}

std::vector<Comm> GroupJob::comms() const {
    std::vector<Comm> all;
    for (const auto& job : jobs_) {
        if (!job.ends_comm) all.push_back(job.comm);
    }
    for (const auto& operation : operations_) all.push_back(operation.comm);
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
}

void GroupJob::start(const std::shared_ptr<GroupJob>& group) {
    std::thread([group, comms = group->comms()]() mutable {
        const auto result = group->run();
        for (const auto& comm : comms) comm->async.store(result, std::memory_order_release);
        comms.clear();
        const std::lock_guard lock(group->mutex_);
        group->jobs_.clear();
        group->operations_.clear();
        group->done_ = true;
        group->changed_.notify_all();
    }).detach();
}

void GroupJob::abort() {
    std::unique_lock lock(mutex_);
    if (!done_) cancel_jobs();
    changed_.wait(lock, [&] { return done_; });
}

void GroupJob::wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
}

Group& Group::mine() {
    thread_local Group group;
    return group;
}

Group::~Group() {
    if (depth_ > 0)
        broken_rule("a thread ended with a group still open, opened by rank " + std::to_string(caller_rank()));
}

ncclResult_t Group::failed(ncclResult_t error) {
    if (depth_ > 0 && error != ncclSuccess && error != ncclInProgress) error_ = error;
    return error;
}

ncclResult_t Group::add(Job job) {
    if (job.ends_comm)
        blocking_ = 1;
    else if (blocking_ == -1)
        blocking_ = job.comm->blocking ? 1 : 0;
    else if (blocking_ != (job.comm->blocking ? 1 : 0)) {
        const std::string text = "Blocking and nonblocking communicators are not allowed in the same group.";
        broken_rule(text);
        set_last_error(text);
        return ncclInvalidArgument;
    }
    jobs_.push_back(std::move(job));
    return ncclSuccess;
}

void Group::add(Operation operation) {
    const int blocking = operation.comm->blocking ? 1 : 0;
    if (blocking_ != -1 && blocking_ != blocking) {
        broken_rule("Blocking and nonblocking communicators are not allowed in the same group.");
    }
    blocking_ = blocking;
    operations_.push_back(std::move(operation));
}

void Group::reset() {
    blocking_ = -1;
    error_ = ncclSuccess;
    jobs_.clear();
    operations_.clear();
}

ncclResult_t Group::end(bool simulate) {
    if (depth_ == 0) {
        broken_rule("ncclGroupEnd without ncclGroupStart by rank " + std::to_string(caller_rank()));
        set_last_error("ncclGroupEnd: not in a group call.");
        return ncclInvalidUsage;
    }
    if (--depth_ > 0) return ncclSuccess;
    const bool makes = std::any_of(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.makes_comm; });
    if (makes && !operations_.empty()) broken_rule("communicators are made and used in one group");
    const auto group = std::make_shared<GroupJob>(std::move(jobs_), std::move(operations_));
    const auto error = error_;
    const int blocking = blocking_;
    reset();
    const auto comms = group->comms();
    if (error != ncclSuccess || simulate) {
        for (const auto& comm : comms) {
            if (!comm->blocking) comm->async = error;
        }
        return error;
    }
    if (blocking != 0) return group->run();
    if (group->at_once()) return group->run();
    for (const auto& comm : comms) {
        comm->async = ncclInProgress;
        comm->job = group;
    }
    GroupJob::start(group);
    return ncclInProgress;
}

} // namespace standin
