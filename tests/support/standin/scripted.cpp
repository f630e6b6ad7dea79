// SPDX-License-Identifier: Apache-2.0
#include "scripted.hpp"

#include <string>

namespace standin {

ncclResult_t scripted_error(const Action& action) {
    set_last_error("the script has error " + std::to_string(action.value) + " for this call");
    return static_cast<ncclResult_t>(action.value);
}

void obey(const Action& action, const Cancel& cancel) {
    if (action.what == Do::progress) cancel.sleep(action.value);
    if (action.what == Do::stay) cancel.sleep(-1);
    if (action.what == Do::async) {
        throw Failure{static_cast<ncclResult_t>(action.value),
                      "the script has error " + std::to_string(action.value) + " for the work of this call"};
    }
}

} // namespace standin
