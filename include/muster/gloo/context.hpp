// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <muster/gloo/device.hpp>
#include <muster/gloo/transport.hpp>

#include <gloo/context.h>

#include <memory>

namespace muster::inline v0_1::detail {

/// A Gloo context that connects without a store of Gloo's and whose waits can be interrupted. Gloo's collectives take
/// it as they take their own.
class GlooContext final : public ::gloo::Context {
public:
    GlooContext(int rank_in_group, int group_size, const GlooDevice& device)
        : ::gloo::Context(rank_in_group, group_size),
          muster_device_(device) {
        device_ = device.native_handle();
        auto inner = device_->createContext(rank_in_group, group_size);
        inner->setTimeout(longest_gloo_wait); // pairs read it when they are made; the waits have deadlines of ours
        transport_ = std::make_shared<GlooTransport>(std::move(inner));
        transport_->setTimeout(getTimeout());
        transportContext_ = transport_;
    }

    GlooContext(const GlooContext&) = delete;
    GlooContext& operator=(const GlooContext&) = delete;

    ~GlooContext() {
        if (connects_by_device<::gloo::transport::Pair> && !transport_->connected()) {
            transport_->interrupt();
            muster_device_.retire(transport_->inner());
        }
    }

    [[nodiscard]] GlooTransport& transport() const noexcept { return *transport_; }
    [[nodiscard]] const GlooDevice& device() const noexcept { return muster_device_; }

private:
    GlooDevice muster_device_;
    std::shared_ptr<GlooTransport> transport_;
};

} // namespace muster::inline v0_1::detail
