# SPDX-License-Identifier: Apache-2.0
"""Forms torch's process group on Gloo and destroys it; rank 0 prints how long forming it took.

The barrier, outside of that time, keeps a rank that is ready from closing its connections on one that is not.
"""
import os
import time

import torch.distributed

os.environ["RANK"] = os.environ["OMPI_COMM_WORLD_RANK"]
os.environ["WORLD_SIZE"] = os.environ["OMPI_COMM_WORLD_SIZE"]
began = time.monotonic()
torch.distributed.init_process_group("gloo")
took = time.monotonic() - began
if torch.distributed.get_rank() == 0:
    print(f'{{"init_ms":{1000 * took:.3f}}}', flush=True)
torch.distributed.barrier()
torch.distributed.destroy_process_group()
