# SPDX-License-Identifier: Apache-2.0
"""The same mesh with torch.distributed, stamped at the same moments as init_muster: init_torch.py TP DP CP"""

import datetime
import json
import sys
import time

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

tp, dp, cp = map(int, sys.argv[1:4])
start = time.monotonic()
device = torch.device("cuda", 0)
torch.cuda.set_device(device)
data = torch.ones(1, device=device)
torch.cuda.synchronize()
context = time.monotonic()

dist.init_process_group("nccl", device_id=device, timeout=datetime.timedelta(seconds=60))
world = time.monotonic()
mesh = init_device_mesh("cuda", (dp, tp, cp), mesh_dim_names=("dp", "tp", "cp"))
formed = time.monotonic()

dist.all_reduce(data)
torch.cuda.synchronize()
for name, size in (("dp", dp), ("tp", tp), ("cp", cp)):
    if size > 1:
        dist.all_reduce(data, group=mesh.get_group(name))
        torch.cuda.synchronize()
used = time.monotonic()

rank = dist.get_rank()
dist.destroy_process_group()
print("result " + json.dumps({"rank": rank, "start": start, "context": context, "formed": formed, "used": used,
                              "phases": {"world": world - context, "axes": formed - world},
                              "torch": torch.__version__,
                              "nccl_library": ".".join(map(str, torch.cuda.nccl.version()))}),
      flush=True)
