// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo/communicator.hpp>
#include <muster/gloo/state.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../../support/gloo_ranks.hpp"

using muster::Deadline;
using muster::errc;
using muster::Error;
using muster::GlooCommunicator;
using support::error_of;
using support::with_gloo;
using namespace std::chrono_literals;

namespace {

/// Errors of ranks, collected by their threads.
class Errors {
public:
    void add(Error error) {
        const std::lock_guard lock(mutex_);
        errors_.push_back(std::move(error));
    }
    [[nodiscard]] const std::vector<Error>& get() const { return errors_; }

private:
    std::mutex mutex_;
    std::vector<Error> errors_;
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

void require(bool ok, const std::string& what) {
    if (!ok) throw std::runtime_error(what);
}

} // namespace

TEST_CASE("a rank that never calls: the others end on time and name whom they waited for") {
    Errors errors;
    with_gloo(3,
              [&](GlooCommunicator& comm) {
                  std::array<int, 4> data{};
                  if (comm.rank() == 2) { // stays until the others have given up
                      std::array<char, 1> nothing{};
                      comm.set_timeout(30s);
                      require(error_of([&] { comm.recv(nothing, 0); }).code() == errc::connection,
                              "rank 2 ended first");
                      return;
                  }
                  const auto start = Deadline::Clock::now();
                  errors.add(error_of([&] { comm.all_reduce(data, muster::sum); }));
                  require(Deadline::Clock::now() - start < 20s, "too late");
                  require(!comm.is_open(), "open after a failure");
                  const auto later = error_of([&] { comm.barrier(); });
                  require(later.code() == errc::closed && contains(later.what(), "failed before"), "use after failure");
                  require(contains(later.what(), "all_reduce on rank"), "the first failure is quoted");
              },
              {.timeout = 300ms});

    REQUIRE(errors.get().size() == 2);
    bool timed_out = false;
    for (const auto& error : errors.get()) {
        INFO(error.what());
        CHECK((error.code() == errc::timeout || error.code() == errc::connection));
        timed_out = timed_out || error.code() == errc::timeout;
        CHECK(error.stage() == muster::Stage::communicator);
        CHECK((error.rank() == 10 || error.rank() == 11));
        CHECK(contains(error.what(), "muster: all_reduce on rank"));
        CHECK(contains(error.what(), "ranks 10-12"));
        CHECK_FALSE(error.ranks().empty());
        CHECK(contains(error.what(), "Gloo: "));
    }
    CHECK(timed_out);
}

TEST_CASE("a gather names every rank that is missing") {
    Errors errors;
    with_gloo(4,
              [&](GlooCommunicator& comm) {
                  std::vector<int> mine(3), all(12);
                  if (comm.rank() == 0) {
                      errors.add(error_of([&] { comm.gather(mine, all, 0); }));
                      return;
                  }
                  if (comm.rank() == 2) comm.gather(mine, all, 0);
                  std::array<char, 1> nothing{};
                  comm.set_timeout(30s);
                  require(error_of([&] { comm.recv(nothing, 0); }).code() == errc::connection,
                          "the root gave up first");
              },
              {.timeout = 300ms});
    REQUIRE(errors.get().size() == 1);
    INFO(errors.get()[0].what());
    CHECK(errors.get()[0].code() == errc::timeout);
    CHECK(errors.get()[0].ranks() == std::vector{11, 13});
    CHECK(contains(errors.get()[0].what(), "no data from ranks 11, 13 within"));
}

TEST_CASE("ranks that disagree time out instead of mixing their data") {
    const auto fails = [](auto disagree) {
        std::atomic<int> failed = 0;
        with_gloo(2,
                  [&](GlooCommunicator& comm) {
                      const auto error = error_of([&] { disagree(comm); });
                      require(error.code() == errc::timeout || error.code() == errc::connection, error.what());
                      ++failed;
                  },
                  {.timeout = 300ms});
        return failed == 2;
    };
    CHECK(fails([](GlooCommunicator& comm) { // sizes: Gloo alone ends the process here
        std::vector<int> data(comm.rank() == 0 ? 100 : 10);
        comm.broadcast(data, 0);
        comm.barrier();
    }));
    CHECK(fails([](GlooCommunicator& comm) {
        std::vector<int> data(comm.rank() == 0 ? 100 : 10);
        if (comm.rank() == 0)
            comm.send(data, 1);
        else
            comm.recv(data, 0);
        comm.barrier();
    }));
    CHECK(fails([](GlooCommunicator& comm) { // operations
        std::vector<int> data(8);
        if (comm.rank() == 0)
            comm.all_reduce(data, muster::sum);
        else
            comm.all_reduce(data, muster::max);
    }));
    CHECK(fails([](GlooCommunicator& comm) { // types
        std::vector<int> ints(8);
        std::vector<float> floats(8);
        if (comm.rank() == 0)
            comm.all_reduce(ints, muster::sum);
        else
            comm.all_reduce(floats, muster::sum);
    }));
}

TEST_CASE("a peer that goes away is named") {
    Errors errors;
    with_gloo(2, [&](GlooCommunicator& comm) {
        std::array<int, 1> data{};
        if (comm.rank() == 0) return comm.abort();
        errors.add(error_of([&] { comm.recv(data, 0); }));
    });
    REQUIRE(errors.get().size() == 1);
    INFO(errors.get()[0].what());
    CHECK(errors.get()[0].code() == errc::connection);
    CHECK(errors.get()[0].ranks() == std::vector{10});
    CHECK(contains(errors.get()[0].what(), "recv on rank 11"));
}

TEST_CASE("the timeout can be set") {
    with_gloo(2, [](GlooCommunicator& comm) {
        comm.set_timeout(std::chrono::milliseconds::max());
        comm.barrier();
        require(error_of([&] { comm.set_timeout(0ms); }).code() == errc::invalid_argument, "0 ms");
        require(comm.is_open(), "a refused argument closes nothing");
        comm.set_timeout(200ms);
        std::array<int, 1> data{};
        if (comm.rank() == 1) comm.set_timeout(30s);
        const auto error = error_of([&] { comm.recv(data, 1 - comm.rank()); });
        require(error.code() == (comm.rank() == 0 ? errc::timeout : errc::connection), error.what());
    });
    SUCCEED();
}

TEST_CASE("abort from another thread ends a blocked operation at once") {
    const auto ended = [](auto operation) {
        std::atomic<int> count = 0;
        with_gloo(3,
                  [&](GlooCommunicator& comm) {
                      if (comm.rank() == 2) { // never calls; ends when the others have gone
                          std::array<char, 1> nothing{};
                          const auto error = error_of([&] { comm.recv(nothing, 0); });
                          require(error.code() == errc::connection, error.what());
                          return;
                      }
                      std::atomic<bool> entered = false;
                      std::thread aborter([&] {
                          while (!entered) std::this_thread::yield();
                          std::this_thread::sleep_for(50ms); // long enough to be inside, right in any case
                          comm.abort();
                      });
                      const auto start = Deadline::Clock::now();
                      entered = true;
                      const auto error = error_of([&] { operation(comm); });
                      aborter.join();
                      require(error.code() == errc::closed || error.code() == errc::connection, error.what());
                      require(Deadline::Clock::now() - start < 20s, "too late");
                      require(!comm.is_open(), "open");
                      require(error_of([&] { comm.barrier(); }).code() == errc::closed, "use after abort");
                      comm.abort(); // again: nothing
                      comm.close(Deadline::after(1s));
                      ++count;
                  },
                  {.timeout = 60s});
        return count == 2;
    };
    CHECK(ended([](GlooCommunicator& comm) { comm.barrier(); }));
    CHECK(ended([](GlooCommunicator& comm) {
        std::vector<double> data(2'000'000); // larger than the sockets hold
        comm.all_reduce(data, muster::sum);
    }));
    CHECK(ended([](GlooCommunicator& comm) { (void)comm.split(0, 0); }));
    CHECK(ended([](GlooCommunicator& comm) { comm.close(Deadline::after(60s)); }));
}

TEST_CASE("abort in the middle of a message that does not move") {
    with_gloo(2,
              [&](GlooCommunicator& comm) {
                  std::vector<double> data(8'000'000);
                  std::thread aborter([&] {
                      std::this_thread::sleep_for(100ms);
                      comm.abort();
                  });
                  if (comm.rank() == 0) {
                      const auto error = error_of([&] {
                          for (;;) comm.send(data, 1);
                      });
                      require(error.code() == errc::closed || error.code() == errc::connection, error.what());
                  } else {
                      const auto error = error_of([&] {
                          for (;;) comm.recv(data, 0);
                      });
                      require(error.code() == errc::closed || error.code() == errc::connection, error.what());
                  }
                  aborter.join();
              },
              {.timeout = 40s});
    SUCCEED();
}

TEST_CASE("close waits for all ranks") {
    std::atomic<int> came = 0;
    with_gloo(3, [&](GlooCommunicator& comm) {
        if (comm.rank() == 1) std::this_thread::sleep_for(100ms);
        ++came;
        comm.close(Deadline::after(30s));
        require(came == 3, "closed before all came");
        require(!comm.is_open(), "open after close");
        const auto error = error_of([&] { comm.barrier(); });
        require(error.code() == errc::closed && contains(error.what(), "was closed"), error.what());
        require(comm.size() == 3 && comm.ranks()[0] == 10, "the group stays readable");
        comm.close(Deadline::after(30s)); // again: nothing
    });
    CHECK(came == 3);
}

TEST_CASE("close has a deadline and closes in any case") {
    with_gloo(2, [&](GlooCommunicator& comm) {
        if (comm.rank() == 1) {
            std::array<int, 1> data{};
            require(error_of([&] { comm.recv(data, 0); }).code() == errc::connection, "peer closed");
            return;
        }
        const auto error = error_of([&] { comm.close(Deadline::after(100ms)); });
        require(error.code() == errc::timeout && error.ranks() == std::vector{11}, error.what());
        require(!comm.is_open(), "open");
    });
    SUCCEED();
}

TEST_CASE("a closed communicator refuses every use") {
    GlooCommunicator empty;
    std::array<int, 1> data{};
    const auto refused = [](auto fn) { return error_of(fn).code() == errc::closed; };
    CHECK_FALSE(empty.is_open());
    CHECK(refused([&] { (void)empty.size(); }));
    CHECK(refused([&] { (void)empty.rank(); }));
    CHECK(refused([&] { (void)empty.ranks(); }));
    CHECK(refused([&] { empty.all_reduce(data, muster::sum); }));
    CHECK(refused([&] { empty.reduce(data, muster::sum, 0); }));
    CHECK(refused([&] { empty.broadcast(data, 0); }));
    CHECK(refused([&] { empty.barrier(); }));
    CHECK(refused([&] { empty.send(data, 0); }));
    CHECK(refused([&] { (void)empty.split(0, 0); }));
    CHECK(refused([&] { (void)empty.native_handle(); }));
    CHECK(refused([&] { empty.set_timeout(1s); }));
    empty.abort();
    empty.close(Deadline::after(1s));
    CHECK(contains(error_of([&] { empty.barrier(); }).what(), "barrier on a Gloo communicator that is empty"));
}

TEST_CASE("moving hands the group over") {
    with_gloo(2, [](GlooCommunicator& comm) {
        auto moved = std::move(comm);
        require(!comm.is_open() && moved.is_open(), "moved from"); // NOLINT(bugprone-use-after-move)
        require(error_of([&] { (void)comm.size(); }).code() == errc::closed, "size of moved from");
        auto other = moved.split(0, -moved.rank());
        moved = std::move(other); // the old group closes together
        std::array<int, 1> total{1};
        moved.all_reduce(total, muster::sum);
        require(total[0] == 2 && moved.ranks()[0] == 11, "the new group works");
        auto& self = moved;
        moved = std::move(self);
        require(moved.is_open(), "moved onto itself");
    });
    SUCCEED();
}

TEST_CASE("a group of one owns no connection") {
    GlooCommunicator one(nullptr, {7});
    CHECK(one.size() == 1);
    CHECK(one.rank() == 0);
    CHECK(one.ranks()[0] == 7);
    CHECK(one.native_handle() == nullptr);
    one.barrier();
    one.close(Deadline());
    CHECK_FALSE(one.is_open());
    CHECK(error_of([] { GlooCommunicator(nullptr, {}); }).code() == errc::invalid_argument);
    CHECK(error_of([] { GlooCommunicator(nullptr, {0, 1}); }).code() == errc::invalid_argument);
}

TEST_CASE("many groups end side by side and disturb nobody") {
    for (int round = 0; round < 20; ++round) {
        with_gloo(4, [&](GlooCommunicator& world) {
            std::array<int, 1> total{1};
            {
                auto pair = world.split(world.rank() / 2, 0);
                auto other = world.split(world.rank() % 2, 0);
                pair.all_reduce(total, muster::sum);
                if (round % 2 == 0) { // else their destructors
                    other.close(Deadline::after(30s));
                    pair.close(Deadline::after(30s));
                }
            }
            world.all_reduce(total, muster::sum);
            require(total[0] == 8, "sum");
            world.close(Deadline::after(30s)); // throws when a connection ended too early
        });
    }
    SUCCEED();
}

TEST_CASE("a destructor does not wait while an exception unwinds") {
    const auto start = Deadline::Clock::now();
    CHECK_THROWS_AS(with_gloo(2,
                              [](GlooCommunicator& comm) {
                                  if (comm.rank() == 0) {
                                      auto mine = std::move(comm);
                                      throw std::logic_error("something of the program");
                                  }
                                  std::array<int, 1> data{};
                                  const auto error = error_of([&] { comm.recv(data, 0); });
                                  require(error.code() == errc::connection, error.what());
                              },
                              {.timeout = 50s, .destructor_timeout = 50s}),
                    std::logic_error);
    CHECK(Deadline::Clock::now() - start < 40s);
}

TEST_CASE("a destructor waits no longer than it may") {
    const auto start = Deadline::Clock::now();
    with_gloo(2,
              [](GlooCommunicator& comm) {
                  if (comm.rank() == 0) return;
                  std::array<int, 1> data{};
                  require(error_of([&] { comm.recv(data, 0); }).code() == errc::connection, "the peer left");
              },
              {.timeout = 50s, .destructor_timeout = 100ms});
    CHECK(Deadline::Clock::now() - start < 40s);
}
