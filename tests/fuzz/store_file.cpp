// SPDX-License-Identifier: Apache-2.0
// Any bytes in the files of a FileStore: as one file's first line, and as the changes of one key.
#include <muster/core/deadline.hpp>
#include <muster/core/error.hpp>
#include <muster/store/file.hpp>
#include <muster/store/file_entry.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "../support/folder.hpp"
#include "fuzz.hpp"

using fuzz::require;
using muster::detail::FileEntry;
using muster::detail::FileEntryHead;

namespace {

void parse(std::string_view bytes) {
    const auto head = FileEntryHead::parse(bytes);
    if (!head) return;
    require(head->line_size <= FileEntry::max_line_bytes, "the first line has its limit");
    require(head->file_size() <= FileEntry::max_bytes, "a file has its limit");
}

/// What the changes make of a key, as long as all are in order.
struct Expected {
    bool known = true;
    std::optional<std::string> value;

    void change(const FileEntry& entry) {
        if (entry.kind == FileEntry::Kind::removed) value.reset();
        if (entry.kind == FileEntry::Kind::value) value = entry.bytes;
        if (entry.kind == FileEntry::Kind::suffix) value = value.value_or("") + entry.bytes;
    }
};

FileEntry compose(fuzz::Input& input) {
    FileEntry entry;
    entry.kind = static_cast<FileEntry::Kind>(input.byte() % FileEntry::kinds.size());
    entry.key = "k";
    if (entry.kind != FileEntry::Kind::removed) entry.bytes = "+" + std::string(input.text());
    entry.total = entry.bytes.size();
    return entry;
}

void use(muster::FileStore& store, const Expected& expected) {
    const auto deadline = muster::Deadline::after(std::chrono::seconds(30));
    const std::string key = "k";
    const bool present = store.check(std::span(&key, 1), deadline);
    require(!expected.known || present == expected.value.has_value(), "a key is there when a value is");
    require(store.num_keys(deadline) == std::int64_t{present}, "one key is counted");
    std::string before;
    if (present) before = store.get(key, deadline);
    if (expected.known) require(before == expected.value.value_or(""), "a value is what the changes made of it");
    store.append(key, "x", deadline);
    require(store.get(key, deadline) == before + "x", "an append follows");
    require(store.compare_set(key, before + "x", "7", deadline) == "7", "what is there compares equal");
    require(store.add(key, 1, deadline) == 8, "a number is added to");
    require(store.remove(key, deadline) && !store.check(std::span(&key, 1), deadline), "a key is removed");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const support::Folder folder(support::fast_place());
    const std::filesystem::path key = folder.path() / "k";
    fuzz::Input input(data, size);
    Expected expected;
    try {
        std::filesystem::remove_all(key);
        std::filesystem::create_directory(key);
        for (int number = 1; !input.empty() && number <= 16; ++number) {
            std::string bytes;
            if (input.byte() % 2 == 0) {
                bytes = input.text();
                parse(bytes);
                expected.known = false;
            } else {
                const FileEntry entry = compose(input);
                bytes = entry.encode();
                expected.change(entry);
            }
            std::ofstream file(key / std::to_string(number), std::ios::binary);
            file << bytes;
            require(file.flush().good(), "the test's file is written");
        }
        muster::FileStore store(folder.path());
        use(store, expected);
    } catch (const muster::Error& error) {
        require(!expected.known, "changes that are in order are not refused");
        // Or it says of itself that its value cannot grow.
        require(error.code() == muster::errc::protocol || error.code() == muster::errc::invalid_argument,
                "a file that is refused is not of the store");
    }
    return 0;
}
