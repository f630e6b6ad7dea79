// SPDX-License-Identifier: Apache-2.0
#include <muster/store/file_name.hpp>

#include <catch2/catch_test_macros.hpp>

#include <set>
#include <string>

using muster::detail::file_name;
using muster::detail::max_file_name_bytes;

TEST_CASE("readable keys are readable names") {
    CHECK(file_name("roll") == "roll");
    CHECK(file_name("hello/12") == "hello%2F12");
    CHECK(file_name("a-b_c+d=e.f") == "a-b_c+d=e.f");
    CHECK(file_name("Größe 1") == "Gr%C3%B6%C3%9Fe%201");
    CHECK(file_name("100%") == "100%25");
}

TEST_CASE("no name is hidden, empty or another folder") {
    CHECK(file_name("") == "%");
    CHECK(file_name(".") == "%2E");
    CHECK(file_name("..") == "%2E.");
    CHECK(file_name(".hidden") == "%2Ehidden");
    CHECK(file_name("../../etc") == "%2E.%2F..%2Fetc");
    CHECK(file_name(std::string("\0\n", 2)) == "%00%0A");
}

TEST_CASE("different keys have different names") {
    std::set<std::string> names;
    for (int first = 0; first < 256; ++first) {
        names.insert(file_name(std::string(1, static_cast<char>(first))));
        for (const char second : {'\0', '%', '~', '2', 'F', '.', '\xFF'})
            names.insert(file_name(std::string{static_cast<char>(first), second}));
    }
    CHECK(names.size() == 256 * 8);
}

TEST_CASE("long keys keep their beginning") {
    const std::string longest(max_file_name_bytes, 'k');
    CHECK(file_name(longest) == longest);
    const std::string more = file_name(longest + 'k');
    CHECK(more.size() <= max_file_name_bytes);
    CHECK(more.starts_with(std::string(100, 'k')));
    CHECK(more.find("%~") != std::string::npos);
    CHECK(more != file_name(longest + 'l'));
    // Not cut in the middle of an escaped byte.
    for (std::size_t start = 0; start < 3; ++start) {
        const std::string name = file_name(std::string(start, 'a') + std::string(8000, '/'));
        CHECK(name.size() <= max_file_name_bytes);
        CHECK((name.find("%~") - start) % 3 == 0);
    }
}
