// SPDX-License-Identifier: Apache-2.0
// replay FOLDER   runs a target on every file of the folder, for compilers without libFuzzer.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "fuzz.hpp"

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const auto& path : files) {
        std::printf("%s\n", path.c_str());
        (void)std::fflush(stdout); // the last name before a crash
        std::ifstream file(path, std::ios::binary);
        if (!file) return 1;
        const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
        (void)LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    }
    std::printf("%zu files\n", files.size());
    return files.empty() ? 1 : 0; // a folder that was emptied proves nothing
}
