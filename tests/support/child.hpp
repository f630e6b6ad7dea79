// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace support {

/// A forked process that runs a function. What the function returns, and what it says on the way, comes back as text.
/// Start it while this process has one thread.
class Child {
public:
    /// The child's way to say something at once.
    class Say {
    public:
        explicit Say(int fd) : fd_(fd) {}
        void operator()(const std::string& text) const {
            for (std::size_t done = 0; done < text.size();) {
                const ssize_t n = ::write(fd_, text.data() + done, text.size() - done);
                if (n > 0) done += static_cast<std::size_t>(n);
                if (n < 0 && errno != EINTR) ::_exit(99);
            }
        }

    private:
        int fd_;
    };

    /// `body` takes a Say and returns a text; an exception's text comes back after "threw: ".
    template <class Body>
    explicit Child(Body&& body) {
        int ends[2];
        if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
        pid_ = ::fork();
        if (pid_ < 0) throw std::runtime_error("no process");
        if (pid_ == 0) {
            (void)::close(ends[0]);
            const Say say(ends[1]);
            try {
                say(body(say));
            } catch (const std::exception& error) {
                say(std::string("threw: ") + error.what());
            }
            ::_exit(0);
        }
        (void)::close(ends[1]);
        read_ = ends[0];
    }
    Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), read_(std::exchange(other.read_, -1)) {}
    Child& operator=(Child&&) = delete;
    ~Child() {
        if (pid_ > 0) kill();
        if (read_ >= 0) (void)::close(read_);
    }

    void kill() {
        (void)::kill(pid_, SIGKILL);
        reap();
    }

    /// All that the child has said, once it has ended.
    [[nodiscard]] std::string text() {
        std::string all;
        char part[4096];
        for (;;) {
            const ssize_t n = ::read(read_, part, sizeof part);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) break;
            all.append(part, static_cast<std::size_t>(n));
        }
        if (pid_ > 0) reap();
        return all;
    }

private:
    void reap() {
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
    }

    pid_t pid_ = -1;
    int read_ = -1;
};

} // namespace support
