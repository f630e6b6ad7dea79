// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/core/error.hpp>
#include <muster/core/format.hpp>
#include <muster/launch/environment.hpp>
#include <muster/launch/variables.hpp>
#include <muster/store/printable.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What the services of clouds tell about their hosts; their ranks are started by mpirun, or by hand.
namespace muster::inline v0_1::detail {

/// SM_HOSTS, SageMaker's hosts as a JSON list of names, as in ["algo-1","algo-2"]. Nothing when it is unset.
/// Throws: Error(errc::invalid_launch) for any other form.
[[nodiscard]] inline std::optional<std::vector<std::string>> sagemaker_hosts(const Environment& environment) {
    const auto text = environment.get("SM_HOSTS");
    if (!text) return std::nullopt;
    std::string_view rest = *text;
    const auto pass = [&](char wanted) {
        rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r\n"), rest.size()));
        if (!rest.starts_with(wanted)) return false;
        rest.remove_prefix(1);
        return true;
    };
    std::vector<std::string> hosts;
    bool good = pass('[');
    do {
        good = good && pass('"');
        const auto name = rest.substr(0, rest.find_first_of("\"\\")); // no host has an escape
        good = good && !name.empty();
        rest.remove_prefix(name.size());
        good = good && pass('"');
        hosts.emplace_back(name);
    } while (good && pass(','));
    good = good && pass(']') && rest.find_first_not_of(" \t\r\n") == std::string_view::npos;
    if (!good)
        throw Error(errc::invalid_launch, Stage::launch,
                    format("SM_HOSTS={} cannot be read\n  wanted: names in JSON, as in [\"algo-1\",\"algo-2\"]",
                           {printable(*text)}));
    return hosts;
}

/// The host that AzureML calls the master: "host:port" for several nodes, whose port is another service's.
[[nodiscard]] inline std::optional<Found> azure_master(const Environment& environment) {
    if (!environment.has("AZUREML_EXPERIMENT_ID") || environment.has("DLTS_JOB_ID")) return std::nullopt;
    auto found = either(environment, {"AZ_BATCH_MASTER_NODE", "AZ_BATCHAI_MPI_MASTER_NODE"});
    if (!found) return std::nullopt;
    found->value = found->value.substr(0, found->value.rfind(':'));
    if (found->value.empty()) return std::nullopt;
    return found;
}

/// Rank 0's host where a cloud's service has started mpirun: SageMaker does so on the first of its hosts.
[[nodiscard]] inline std::optional<Found> cloud_master(const Environment& environment) {
    if (const auto hosts = sagemaker_hosts(environment)) return Found{hosts->front(), "SM_HOSTS"};
    return azure_master(environment);
}

} // namespace muster::inline v0_1::detail
