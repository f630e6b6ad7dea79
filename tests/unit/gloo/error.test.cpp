// SPDX-License-Identifier: Apache-2.0
#include <muster/gloo/error.hpp>

#include <catch2/catch_test_macros.hpp>

using muster::detail::gloo_text;
using muster::detail::says_timeout;

TEST_CASE("Gloo's text comes without its source line") {
    CHECK(gloo_text("[../gloo/transport/tcp/pair.cc:598] Connection closed by peer [127.0.0.1]:5") ==
          "Connection closed by peer [127.0.0.1]:5");
    CHECK(gloo_text("[127.0.0.1]:5 refused ") == "[127.0.0.1]:5 refused");
    CHECK(gloo_text("[127.0.0.1] refused") == "[127.0.0.1] refused");
    CHECK(gloo_text("plain") == "plain");
    CHECK(gloo_text("").empty());
}

TEST_CASE("timeouts are told by Gloo's words") {
    CHECK(says_timeout("[x.cc:1] Timed out waiting 2000ms for recv operation to complete"));
    CHECK_FALSE(says_timeout("Connection closed by peer"));
}
