// SPDX-License-Identifier: Apache-2.0
#pragma once

// What tests say to the stand-in and ask of it; the rest of it is the interface of NCCL and of the CUDA runtime.
extern "C" {

/// Replaces the script of MUSTER_STANDIN; script.hpp has the language. Null is the empty script.
void standin_script(const char* text);

/// Forgets calls and broken rules; what lives stays.
void standin_reset();

/// How often this process called the function since the start or the last reset.
int standin_calls(const char* function);

/// How many rules this process broke since the start or the last reset: above 0 only under `rules=count`.
int standin_broken_rules();

/// The line about rule i of those, or "" when there are fewer; it lives for ever.
const char* standin_broken_rule(int i);

/// The rank of calls of this thread that have no communicator, in place of the process's; -1 takes it back.
void standin_rank(int rank);
}
