# SPDX-License-Identifier: Apache-2.0
"""docs/examples/train_3d.cpp as real processes: the mesh does not change the losses, and neither does a break.

usage: train_3d.py TRAIN_3D [WORD]...     the tests whose names contain the words
"""

import contextlib
import functools
import pathlib
import re
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from processes import Group, clean_environment, free_port, main, require  # noqa: E402

program = sys.argv[1]
LIMIT = 120       # seconds; a run takes one to five
TOLERANCE = 1e-5  # relative; what floats added up in another order may differ by
STEPS = 20
BREAK = 10        # the step after which a run is saved
MESHES = [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 1), (2, 2, 2), (1, 4, 2)]  # TP, DP, CP


def name_of(mesh):
    return "x".join(map(str, mesh))


def start(group, mesh, options):
    tp, dp, cp = mesh
    world = tp * dp * cp
    ranks = group.ranks([program, "--tp", tp, "--dp", dp, "--cp", cp, *options], range(world), world,
                        free_port())
    group.wait(LIMIT)
    return ranks


def progress(output, mesh, first):
    """The numbers of each line of rank 0, as printed."""
    tp, dp, cp = mesh
    lines = output.splitlines()
    require(lines[:1] == [f"DP {dp} x TP {tp} x CP {cp}"], f"the first line is {lines[:1]}")
    found = [re.fullmatch(r"step +(\d+) of (\d+): loss (\d+\.\d+), gradient norm (\d+\.\d+)", line) for line in lines[1:]]
    require(all(found), f"not a line of progress: {lines}")
    require([(int(line[1]), int(line[2])) for line in found] == [(step, STEPS) for step in range(first, STEPS + 1)],
            f"the steps are not {first} to {STEPS}: {lines}")
    return [(line[3], line[4]) for line in found]


def train(mesh, *options, first=1):
    """The loss and the gradient's norm at every step from `first` on."""
    with Group() as group:
        ranks = start(group, mesh, options)
        require(all(rank.code == 0 for rank in ranks), f"exit codes {[rank.code for rank in ranks]}")
        require(all(rank.stdout == "" for rank in ranks[1:]), "a rank other than 0 printed something")
        return progress(ranks[0].stdout, mesh, first)


@functools.lru_cache
def whole(mesh):
    """A run without a break; each mesh runs once."""
    return train(mesh)


def losses(numbers):
    return [float(loss) for loss, _ in numbers]


def furthest(numbers, expected):
    """The largest relative difference of any number."""
    require(len(numbers) == len(expected), f"{len(numbers)} steps, expected {len(expected)}")
    return max(abs(float(a) - float(b)) / abs(float(b))
               for pair, right in zip(numbers, expected) for a, b in zip(pair, right))


def same(mesh):
    off = furthest(whole(mesh), whole((1, 1, 1)))
    require(off <= TOLERANCE, f"losses or norms differ by {off:.1e} from those of one process:\n"
            f"{whole(mesh)}\n{whole((1, 1, 1))}")


def learns():
    """From about what guessing gives, ln 16 = 2.77, to what the data allows."""
    first, *_, last = losses(whole((1, 1, 1)))
    require(2.5 < first < 3.1, f"the first loss is {first}")
    require(last < first / 4, f"the loss went from {first} to {last}")


@contextlib.contextmanager
def saved(mesh):
    """A folder with what a run on the mesh has saved."""
    with tempfile.TemporaryDirectory(prefix="muster-train-3d-") as name:
        folder = pathlib.Path(name) / "made" / "here"
        require(train(mesh, "--folder", folder, "--save", BREAK) == whole(mesh), "the same run gave other numbers")
        yield folder


def files():
    """One for each shard along tp, written once however many replicas there are, and no half-written one."""
    with saved((2, 2, 2)) as folder:
        found = sorted(path.name for path in folder.iterdir())
        require(found == [f"model-step{BREAK}-tp{tp}.bin" for tp in range(2)], f"the files are {found}")


def resumed(mesh, by):
    """`by` goes on from where `mesh` was: as the run without a break, to the last digit where the mesh is the same."""
    with saved(mesh) as folder:
        rest = train(by, "--folder", folder, "--resume", BREAK, first=BREAK + 1)
        off = furthest(rest, whole(mesh)[BREAK:])
        require(off == 0 if by == mesh else off <= TOLERANCE, f"differs by {off:.1e}: {rest}")


def refused(mesh, folder, *texts):
    """Every rank ends with an error, and each of `texts` is in one of them."""
    with Group() as group:
        ranks = start(group, mesh, ["--folder", folder, "--resume", BREAK, "--timeout", 20])
        require(all(rank.code == 1 for rank in ranks), f"exit codes {[rank.code for rank in ranks]}")
        require(all("step" not in rank.stdout for rank in ranks), "a rank trained all the same")
        errors = "".join(rank.stderr for rank in ranks)
        for text in texts:
            require(text in errors, f"no rank says '{text}': {errors}")


def other_mesh():
    with saved((2, 1, 1)) as folder:
        refused((1, 2, 1), folder, f"{folder}/model-step{BREAK}-tp0.bin is of another mesh or model",
                f"wanted: train_3d step {BREAK}, shard 0 of TP 1:", "up 512",
                f"found:  train_3d step {BREAK}, shard 0 of TP 2:", "up 256",
                "do: resume with the TP that wrote it; DP and CP may be others")
        refused((4, 1, 1), folder, "wanted: train_3d step 10, shard 1 of TP 4",
                f"cannot read {folder}/model-step{BREAK}-tp3.bin")


def damaged_checkpoint():
    with saved((1, 1, 1)) as folder:
        path = folder / f"model-step{BREAK}-tp0.bin"
        good = path.read_bytes()
        for bad in (good[:-1], good + b"x"):
            path.write_bytes(bad)
            refused((1, 1, 1), folder, "is not as long as it says")
        other_step = b"train_3d step 9"
        path.write_bytes(other_step + good[len(other_step) + 1:])
        refused((1, 1, 1), folder, "is of another mesh or model")
        path.unlink()
        refused((1, 1, 1), folder, f"train_3d: cannot read {path}")


def batch_that_does_not_fit():
    with Group() as group:
        ranks = start(group, (1, 3, 1), ["--timeout", 20])
        require(all(rank.code == 1 for rank in ranks), f"exit codes {[rank.code for rank in ranks]}")
        texts = {rank.error for rank in ranks}
        require(texts == {"muster: global batch size 16 is not divisible by DP (3)\n  nearest that fit: 15 or 18"}, f"{texts}")


def plot():
    with tempfile.TemporaryDirectory(prefix="muster-train-3d-") as folder:
        path = pathlib.Path(folder) / "loss.svg"
        numbers = train((1, 2, 1), "--plot", path)
        curve = xml.etree.ElementTree.parse(path).getroot().find("{http://www.w3.org/2000/svg}polyline")
    points = [tuple(map(float, point.split(","))) for point in curve.get("points").split()]
    require(len(points) == STEPS, f"{len(points)} points")
    require([x for x, _ in points] == sorted(x for x, _ in points), "the steps are out of order")
    heights = [-y for _, y in points]
    require(sorted(range(STEPS), key=heights.__getitem__) == sorted(range(STEPS), key=losses(numbers).__getitem__),
            "the curve does not go up and down as the losses do")


def no_launcher():
    with Group() as group:
        alone = group.start([program], clean_environment(), "alone")
        group.wait(LIMIT)
        require(alone.code == 0, f"exit code {alone.code}")
        require(progress(alone.stdout, (1, 1, 1), 1) == whole((1, 1, 1)), alone.stdout)


def table():
    """What a person compares: the loss at each step, a column for each mesh."""
    print("TP x DP x CP " + "".join(f"{name_of(mesh):>12}" for mesh in MESHES))
    for step in range(STEPS):
        print(f"step {step + 1:2}      " + "".join(f"{whole(mesh)[step][0]:>12}" for mesh in MESHES))
    print("furthest off " + "".join(f"{furthest(whole(mesh), whole((1, 1, 1))):12.1e}" for mesh in MESHES))


TESTS = {f"losses of {name_of(mesh)}": functools.partial(same, mesh) for mesh in MESHES}
TESTS |= {
    "the loss falls": learns,
    "no launcher at all": no_launcher,
    "resumed, the same mesh": functools.partial(resumed, (2, 2, 2), (2, 2, 2)),
    "resumed, one process": functools.partial(resumed, (1, 1, 1), (1, 1, 1)),
    "resumed with another DP and CP": functools.partial(resumed, (2, 2, 1), (2, 1, 2)),
    "a file for each shard": files,
    "a checkpoint of another mesh": other_mesh,
    "a checkpoint that is damaged": damaged_checkpoint,
    "a batch that does not fit": batch_that_does_not_fit,
    "a plot": plot,
}

if __name__ == "__main__":
    chosen = sys.argv[2:]
    code = main({name: test for name, test in TESTS.items() if all(word in name for word in chosen)})
    if code == 0 and not chosen:
        table()
    sys.exit(code)
