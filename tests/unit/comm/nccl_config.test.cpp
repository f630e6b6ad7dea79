// SPDX-License-Identifier: Apache-2.0
#include <muster/comm/nccl_config.hpp>

#include <catch2/catch_test_macros.hpp>

#include <string_view>
#include <utility>

using muster::NcclConfig;
using muster::NcclOptions;

namespace {

NcclConfig with_max_ctas(int most) {
    NcclConfig config;
    config.max_ctas = most;
    return config;
}

} // namespace

TEST_CASE("each axis has the settings of its name, and no others") {
    const std::pair<std::string_view, NcclConfig NcclOptions::*> members[] = {{"tp", &NcclOptions::tp},
                                                                              {"dp", &NcclOptions::dp},
                                                                              {"cp", &NcclOptions::cp},
                                                                              {"pp", &NcclOptions::pp},
                                                                              {"ep", &NcclOptions::ep}};
    for (const auto& [name, member] : members) {
        NcclOptions options;
        options.*member = with_max_ctas(4);
        for (const auto& [other, unused] : members)
            CHECK(options.axis(other) == (other == name ? with_max_ctas(4) : NcclConfig{}));
    }
}

TEST_CASE("axes by name: of any tag, and before the member of the same name") {
    NcclOptions options;
    options.world = with_max_ctas(1);
    options.tp = with_max_ctas(2);
    options.axes["my_axis"] = with_max_ctas(3);
    CHECK(options.axis("my_axis") == with_max_ctas(3));
    CHECK(options.axis("other") == NcclConfig{});
    CHECK(options.axis("world") == NcclConfig{}); // an axis of that name is not the world
    CHECK(options.axis("tp") == with_max_ctas(2));
    options.axes["tp"] = with_max_ctas(4);
    CHECK(options.axis("tp") == with_max_ctas(4));
}
