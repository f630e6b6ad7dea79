// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nccl.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "communicator.hpp"
#include "operation.hpp"

namespace standin {

/// Work of one communicator that a group does before its operations: init, split, finalize, destroy, abort.
struct Job {
    Comm comm; // whose state tells of it
    std::function<ncclResult_t()> run;
    std::function<void()> cancel; // makes run end soon
    bool ends_comm = false;       // destroy and abort: the state is left alone
    bool makes_comm = false;      // init: not to be mixed with operations
};

/// What one outermost ncclGroupEnd began.
class GroupJob {
public:
    GroupJob(std::vector<Job> jobs, std::vector<Operation> operations);

    /// Does it all in this thread.
    ncclResult_t run();

    /// Has a thread do it and put the states of the communicators.
    static void start(const std::shared_ptr<GroupJob>& group);

    /// Makes all jobs end soon and waits for them.
    void abort();
    void wait();

    std::vector<Comm> comms() const;

    /// Nothing in it needs a thread: the script wants it so.
    bool at_once() const;

private:
    ncclResult_t run_jobs();
    ncclResult_t run_beside();
    void cancel_jobs();

    std::vector<Job> jobs_;
    std::vector<Operation> operations_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool done_ = false;
};

/// The group of the calling thread; each call is one of its own when none is open.
class Group {
public:
    static Group& mine();
    ~Group();

    void start() { ++depth_; }

    /// What the outermost end does: ncclInProgress when a thread of its own does it.
    ncclResult_t end(bool simulate = false);

    /// Keeps a failure for the end of the group, and returns it.
    ncclResult_t failed(ncclResult_t error);

    ncclResult_t add(Job job);
    void add(Operation operation);

    bool open() const { return depth_ > 0; }

private:
    void reset();

    int depth_ = 0;
    int blocking_ = -1; // of the communicators in it, -1 before the first
    ncclResult_t error_ = ncclSuccess;
    std::vector<Job> jobs_;
    std::vector<Operation> operations_;
};

} // namespace standin
