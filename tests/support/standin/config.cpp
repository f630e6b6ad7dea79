// SPDX-License-Identifier: Apache-2.0
#include "config.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

namespace standin {
namespace {

constexpr unsigned right_magic = 0xcafebeef;

[[noreturn]] void refuse(const std::string& text) { throw Failure{ncclInvalidArgument, text}; }

bool is_set(int value) { return value != NCCL_CONFIG_UNDEF_INT; }

void check_flag(const char* name, int value) {
    if (is_set(value) && value != 0 && value != 1) {
        refuse(std::string("Invalid config ") + name + " attribute value " + std::to_string(value));
    }
}

void check_positive(const char* name, int value) {
    if (is_set(value) && value <= 0)
        refuse(std::string("Invalid config ") + name + " attribute value " + std::to_string(value));
}

/// As much of it as both sides know.
ncclConfig_t read(const ncclConfig_t& config) {
    ncclConfig_t mine = NCCL_CONFIG_INITIALIZER;
    mine.magic = 0;
    std::memcpy(static_cast<void*>(&mine), &config, std::min(config.size, sizeof(mine)));
    if (mine.magic != right_magic) refuse("ncclConfig_t argument not initialized via NCCL_CONFIG_INITIALIZER");
    return mine;
}

void check(const ncclConfig_t& config) {
    check_flag("blocking", config.blocking);
    if (is_set(config.cgaClusterSize) && config.cgaClusterSize < 0)
        refuse("Invalid config cgaClusterSize attribute value");
    // One that is not set is less than all: a least number alone is refused, as by the real one.
    if ((is_set(config.minCTAs) && config.minCTAs <= 0) || (is_set(config.maxCTAs) && config.maxCTAs <= 0) ||
        config.minCTAs > config.maxCTAs) {
        refuse("Invalid config min/max channels attribute value " + std::to_string(config.minCTAs) + "/" +
               std::to_string(config.maxCTAs));
    }
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 18, 1)
    check_flag("splitShare", config.splitShare);
#endif
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
    check_flag("collnetEnable", config.collnetEnable);
    check_flag("shrinkShare", config.shrinkShare);
    check_positive("nvlsCTAs", config.nvlsCTAs);
    if (is_set(config.CTAPolicy) && (config.CTAPolicy < 0 || config.CTAPolicy > 3)) {
        refuse("Invalid config policy attribute value " + std::to_string(config.CTAPolicy));
    }
#endif
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 3)
    check_positive("nChannelsPerNetPeer", config.nChannelsPerNetPeer);
    check_flag("nvlinkCentricSched", config.nvlinkCentricSched);
#endif
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 30, 3)
    check_positive("maxP2pPeers", config.maxP2pPeers);
#endif
}

} // namespace

void configure(ncclComm& comm, const ncclConfig_t* given, const ncclComm* parent) {
    if (given != nullptr) {
        const auto config = read(*given);
        check(config);
        comm.blocking = config.blocking != 0;
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 3)
        comm.name = config.commName;
#endif
    } else if (parent != nullptr) {
        comm.blocking = parent->blocking;
        comm.name = parent->name;
    }
    if (comm.name != nullptr) comm.name_then = comm.name;
    const char* blocking = std::getenv("NCCL_COMM_BLOCKING");
    if (blocking != nullptr && (std::strcmp(blocking, "0") == 0 || std::strcmp(blocking, "1") == 0)) {
        comm.blocking = *blocking == '1';
    }
}

} // namespace standin
