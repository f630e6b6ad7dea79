// SPDX-License-Identifier: Apache-2.0
// Times the forming of a mesh: init_muster --tp N --dp N --cp N
#include <muster/muster.hpp>

#include <chrono>
#include <vector>

#include "init.hpp"
#include "support.hpp"

int main(int argc, char** argv) {
    gpu::Stamps stamps;
    return gpu::run([&] {
        const gpu::Arguments arguments(argc, argv);
        gpu::make_context();
        stamps.context = gpu::now();
        gpu::Mesh mesh(arguments.extents(), muster::EnvRendezvous{}, gpu::shared_gpu(std::chrono::seconds(60)));
        stamps.formed = gpu::now();
        const gpu::Array<float> data(std::vector<float>(1, 1.0F));
        const auto use = [&](muster::NcclCommunicator& group) {
            group.all_reduce(data, muster::sum);
            group.wait();
        };
        use(mesh.world());
        for (muster::NcclCommunicator* axis : {&mesh.tp(), &mesh.dp(), &mesh.cp()})
            if (axis->size() > 1 && axis != &mesh.world()) use(*axis);
        stamps.used = gpu::now();
        mesh.close(muster::Deadline::after(std::chrono::seconds(30)));
        stamps.print(mesh.rank(), mesh.times());
    });
}
