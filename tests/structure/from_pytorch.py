# SPDX-License-Identifier: Apache-2.0
"""docs/from_pytorch.md says what stands for every call of torch.distributed, of DeviceMesh and of the 3D-parallel example:
each name below stands in backquotes in the first column of one of its tables.

usage: from_pytorch.py SOURCE_ROOT
       from_pytorch.py --self-test
       from_pytorch.py --newer      what the torch of this Python has beside these names
"""

import pathlib
import re
import sys

TORCH = "2.15.0"  # where the names are from, but for the last list

# torch.distributed.distributed_c10d.__all__
C10D = """
    AllToAllOptions AllreduceCoalescedOptions AllreduceOptions Backend BackendConfig BarrierOptions BroadcastOptions DebugLevel
    GatherOptions GroupMember GroupName P2POp PrefixStore ProcessGroup ProcessGroupGloo ProcessGroupNCCL ProcessGroupNCCL2
    ProcessGroupNCCLLazy ReduceOp ReduceOptions ReduceScatterOptions ScatterOptions Store Work all_gather all_gather_coalesced
    all_gather_into_tensor all_gather_object all_gather_single all_reduce all_reduce_coalesced all_to_all all_to_all_single
    barrier batch_isend_irecv broadcast broadcast_object_list default_pg_timeout destroy_process_group gather
    gather_into_tensor gather_object gather_single get_backend get_backend_config get_backend_impl get_debug_level
    get_default_backend_for_device get_global_rank get_group_rank get_node_local_rank get_pg_count get_process_group_ranks
    get_rank get_world_size group init_process_group irecv is_backend_available is_gloo_available is_initialized
    is_mpi_available is_nccl_available is_torchelastic_launched is_ucc_available is_xccl_available isend monitored_barrier
    new_group new_subgroups new_subgroups_by_enumeration record_comm recv recv_object_list reduce reduce_op reduce_scatter
    reduce_scatter_single reduce_scatter_tensor scatter scatter_object_list send send_object_list set_timeout shrink_group
    split_group supports_complex
""".split()

# What torch.distributed has beside them.
DIST = """
    BuiltinCommHookType DeviceMesh DistBackendError DistError DistNetworkError DistStoreError FileStore GradBucket HashStore Logger
    QueueEmptyError Reducer TCPStore breakpoint init_device_mesh is_available register_rendezvous_handler rendezvous
    set_debug_level set_debug_level_from_env
""".split()

# The parameters of init_process_group and init_device_mesh, and those of DeviceMesh but for its internal ones.
ARGUMENTS = {
    "init_process_group": """backend init_method timeout world_size rank store group_name pg_options device_id _ranks
                             enable_reconfigure""".split(),
    "init_device_mesh": "device_type mesh_shape mesh_dim_names backend_override".split(),
    "DeviceMesh": "device_type mesh mesh_dim_names backend_override preserve_rank_order".split(),
}

# What a DeviceMesh has: all that is public, what Python calls, and those of the others that programs call.
MEMBERS = {
    "DeviceMesh": """__enter__ __eq__ __exit__ __getitem__ __getstate__ __hash__ __repr__ __setstate__ _concatenate _flatten
                     _get_all_submeshes _get_mesh_dim_by_name _get_root_mesh _get_root_mesh_dim
                     _is_current_rank_part_of_mesh _unflatten abort device_type from_group get_all_groups get_coordinate
                     get_group get_local_rank get_rank mesh mesh_dim_names ndim shape size""".split(),
    "ReduceOp": "AVG BAND BOR BXOR MAX MIN PREMUL_SUM PRODUCT SUM".split(),
    "Work": """block_current_stream exception get_future get_future_result is_completed is_success result source_rank
               synchronize timeout wait""".split(),
    "ProcessGroup": "abort group_desc group_name name rank shutdown size".split(),
}

# What transformers' examples/3D_parallel.py and examples/pytorch/3d_parallel_checks.py do between ranks (08bdcc1, 017a32f).
SCRIPT = [
    "os.environ.get", '"RANK" in os.environ', 'os.environ["LOCAL_RANK"]', "dist.init_process_group", "dist.get_rank",
    "dist.get_world_size", "torch.cuda.set_device", "assert world_size ==", "torch.arange", "DeviceMesh(device_type=",
    'world_mesh["tp"]', 'world_mesh["dp"]', 'world_mesh["cp"]', 'world_mesh["dp", "cp"]._flatten', "tp_mesh.get_local_rank",
    "tp_mesh.size", "AutoModelForCausalLM.from_pretrained", "dist.is_initialized", "FSDP", "assert global_batch_size %",
    "DistributedSampler", "_cp_options.enable_load_balance", "context_parallel", "ContextParallelCollator",
    "all_reduce_grads", "DTensor.to_local", "DTensor.from_local", "DTensor.device_mesh", "DTensor.placements",
    "DTensor.full_tensor", "placements[0].is_shard", "placements[0].is_replicate", "model.clip_grad_norm_", "clip_grad_norm_",
    "dist.all_reduce", "sanity_check_tensor_sync", "dist.all_gather", "check_params_sync", "dcp.save", "dcp.load", "AppState",
    "get_state_dict", "set_state_dict", "dist.destroy_process_group",
]

NAMES = [*C10D, *DIST, *SCRIPT,
         *(f"{function}({name}=)" for function, names in ARGUMENTS.items() for name in names),
         *(f"{owner}.{name}" for owner, names in MEMBERS.items() for name in names)]


def explained(page):
    """What stands in backquotes in the first column of a table, outside of blocks."""
    text = re.sub(r"^```.*?^```$", "", page, flags=re.S | re.M)
    cells = re.findall(r"^\| (.*?) \| ", text, re.M)
    return [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]


def lacking(page):
    """The names that no such span is or begins with."""
    spans = explained(page)
    return [name for name in NAMES
            if not any(span.startswith(name) and not re.match(r"[\w.]", span[len(name):]) for span in spans)]


def self_test():
    rows = "".join(f"| `{name}` | here |\n" for name in NAMES)
    good = f"# A page\n\n| torch | here |\n|---|---|\n{rows}"
    bad = {"no row": rows.replace("| `all_reduce` | here |\n", ""),
           "no backquotes": rows.replace("| `all_reduce` |", "| all_reduce |"),
           "only as another's beginning": rows.replace("`Work.wait`", "`Work.wait_for`"),
           "only in the second column": rows.replace("| `DeviceMesh.size` | here |", "| size | `DeviceMesh.size` |"),
           "only in a block": rows.replace("| `dcp.save` | here |\n", "") + "```\n| `dcp.save` | here |\n```\n"}
    wrong = [name for name, page in {"good": good, **bad}.items() if len(lacking(page)) != (name != "good")]
    print(f"{len(bad) + 1} pages, wrong about {wrong or 'none'}")
    return 1 if wrong else 0


def newer():
    import inspect

    import torch
    import torch.distributed as dist
    has = set(dist.distributed_c10d.__all__)
    has |= {name for name in vars(dist) if not name.startswith("_") and not inspect.ismodule(getattr(dist, name))}
    for function in (dist.init_process_group, dist.init_device_mesh):
        has |= {f"{function.__name__}({name}=)" for name in inspect.signature(function).parameters}
    for owner, names in {"DeviceMesh": vars(dist.DeviceMesh), "ReduceOp": dist.ReduceOp.RedOpType.__members__,
                         "Work": dir(dist.Work)}.items():
        has |= {f"{owner}.{name}" for name in names if not name.startswith("_")}
    print(f"torch {torch.__version__}, the list is of {TORCH}:", *sorted(has - set(NAMES)))
    return 0


if __name__ == "__main__":
    if sys.argv[1] in ("--self-test", "--newer"):
        sys.exit(self_test() if sys.argv[1] == "--self-test" else newer())
    missing = lacking((pathlib.Path(sys.argv[1]) / "docs/from_pytorch.md").read_text())
    for name in missing:
        print(f"docs/from_pytorch.md: no table explains `{name}`")
    print(f"{len(NAMES)} names of torch {TORCH}, {len(missing)} without a row")
    sys.exit(1 if missing else 0)
