// SPDX-License-Identifier: Apache-2.0
// gloo_file RANKS   the same over Gloo's FileStore, in a folder on tmpfs where there is one. Prints the time.
//
// Every rank sets its message, rank 0 reads all and sets the answer; every rank that has it sets a key of its own, and
// rank 0 one for all when it has seen those of all. The store has neither counters nor lists.
#include <gloo/rendezvous/file_store.h>

#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "world.hpp"

namespace {

using gloo::rendezvous::FileStore;

constexpr std::chrono::milliseconds timeout{60000};

class Folder {
public:
    Folder() {
        const std::filesystem::path shm = "/dev/shm";
        std::string name =
            (std::filesystem::exists(shm) ? shm : std::filesystem::temp_directory_path()) / "gloo.XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a folder");
        path_ = name;
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::string path() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

std::string measure(int ranks) {
    const Folder folder;
    std::vector<std::string> messages;
    std::vector<std::string> done;
    for (int rank = 0; rank < ranks; ++rank) {
        messages.push_back("message/" + std::to_string(rank));
        done.push_back("done/" + std::to_string(rank));
    }
    auto first = std::make_shared<FileStore>(folder.path());

    const auto times = rendezvous::run(ranks, [&](int rank, const rendezvous::Message& wanted) {
        const auto at = static_cast<std::size_t>(rank);
        auto store = rank == 0 ? first : std::make_shared<FileStore>(folder.path());
        const auto gift = rendezvous::gift_of(rank);
        store->set(messages[at], {gift.begin(), gift.end()});
        rendezvous::Message answer{};
        if (rank == 0) {
            store->wait(messages, timeout);
            for (const std::string& message : messages) rendezvous::take_in(answer, store->get(message));
            store->set("answer", {answer.begin(), answer.end()});
        } else {
            store->wait({"answer"}, timeout);
            rendezvous::take_in(answer, store->get("answer"));
        }
        rendezvous::require_answer(answer, wanted);
        store->set(done[at], {'+'});
        if (rank == 0) {
            store->wait(done, timeout);
            store->set("done", {'+'});
        } else {
            store->wait({"done"}, timeout);
        }
        return store;
    });
    return times.text() + "}";
}

} // namespace

int main(int argc, char** argv) { return rendezvous::program(argc, argv, measure); }
