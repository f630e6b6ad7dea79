// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace standin {

/// Says on stderr what the caller did wrong and ends the process; under `rules=count` it only keeps the line.
void broken_rule(const std::string& what);

void forget_broken_rules();

} // namespace standin
