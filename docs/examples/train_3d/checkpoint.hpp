// SPDX-License-Identifier: Apache-2.0
// The model's state as files: one for each shard along tp, whatever the extents of dp and cp are, where it is the same.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "model.hpp"

namespace train_3d {

/// The first line of a file: what must be equal for it to be this rank's.
inline std::string header(const Mesh& mesh, const Model& model, int step) {
    std::string text = fmt::format("train_3d step {}, shard {} of TP {}:", step, mesh.coordinate<muster::Tp>(),
                                   mesh.topology().extent<muster::Tp>());
    for (const Parameter& parameter : model.parameters)
        text += fmt::format(" {} {}", parameter.name, parameter.value.size());
    return text;
}

inline std::filesystem::path file_of(const Mesh& mesh, const std::filesystem::path& folder, int step) {
    return folder / muster::checkpoint_name<muster::Tp>(mesh, {.step = static_cast<std::uint64_t>(step)});
}

/// The canonical replica of each shard writes it; when this returns, all have.
/// Collective: over the world.
inline void save(Mesh& mesh, const Model& model, const std::filesystem::path& folder, int step) {
    if (muster::is_canonical_replica(mesh)) {
        std::filesystem::create_directories(folder);
        const std::filesystem::path path = file_of(mesh, folder, step);
        const std::filesystem::path partial = path.string() + ".partial";
        std::ofstream file(partial, std::ios::binary);
        file << header(mesh, model, step) << '\n';
        for (const Parameter& parameter : model.parameters)
            for (const Values* values : {&parameter.value, &parameter.momentum}) {
                const std::vector<float> copy = values->to_host();
                file.write(reinterpret_cast<const char*>(copy.data()),
                           static_cast<std::streamsize>(copy.size() * sizeof(float)));
            }
        file.close();
        if (!file) throw std::runtime_error(fmt::format("cannot write {}", partial.string()));
        std::filesystem::rename(partial, path); // a file with its name is complete
    }
    mesh.world().barrier();
}

/// Throws: std::runtime_error where the file is missing, cut off, or of another mesh or model.
inline void load(const Mesh& mesh, Model& model, const std::filesystem::path& folder, int step) {
    const std::filesystem::path path = file_of(mesh, folder, step);
    std::ifstream file(path, std::ios::binary);
    std::string found;
    if (!std::getline(file, found)) throw std::runtime_error(fmt::format("cannot read {}", path.string()));
    if (const std::string wanted = header(mesh, model, step); found != wanted)
        throw std::runtime_error(
            fmt::format("{} is of another mesh or model\n  wanted: {}\n  found:  {}\n  do: resume "
                        "with the TP that wrote it; DP and CP may be others",
                        path.string(), wanted, found));
    for (Parameter& parameter : model.parameters)
        for (Values* values : {&parameter.value, &parameter.momentum}) {
            std::vector<float> copy(values->size());
            file.read(reinterpret_cast<char*>(copy.data()), static_cast<std::streamsize>(copy.size() * sizeof(float)));
            *values = Values(copy);
        }
    if (!file || file.peek() != std::ifstream::traits_type::eof())
        throw std::runtime_error(fmt::format("{} is not as long as it says", path.string()));
}

} // namespace train_3d
