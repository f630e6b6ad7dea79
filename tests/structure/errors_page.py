# SPDX-License-Identifier: Apache-2.0
"""docs/errors.md has a section for every kind of error, and shows what a program gets, to the letter.

usage: errors_page.py PROGRAM SOURCE_ROOT      PROGRAM: docs/examples/guides/errors.cpp
       errors_page.py --self-test
"""

import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from docs import FENCE  # noqa: E402
from processes import clean_environment  # noqa: E402

LIMIT = 120  # seconds; the program takes about 20

# Texts of the page that only NCCL, here its stand-in, brings about: their first lines, and the test that shows each.
OF_NCCL = {
    "muster: NCCL_COMM_BLOCKING=1 makes NCCL wait without a limit, whatever a program asks for":
        ("tests/faults/nccl.py", "told_to_block"),
    "muster: 4 of 4 ranks came to the roll call but did not finish connecting within 3 s: 0 (gpu01:4121), "
    "1 (gpu01:4122), 2 (gpu01:4123), 3 (gpu01:4124)": ("tests/faults/nccl.py", "init_stuck_on_all"),
    "muster: ranks disagree on NCCL_ALGO": ("tests/faults/nccl.py", "another_variable_on_one_rank"),
    "muster: all_reduce on rank 0 of the NCCL communicator world of ranks 0-3 failed: ncclRemoteError (6): remote "
    "process exited or there was a network error": ("tests/faults/nccl.py", "killed_before_a_collective"),
    "muster: NCCL 2.16.5 is too old: this program was built with nccl.h 2.28.9":
        ("tests/faults/nccl.py", "library_that_is_too_old"),
}


def same_each_time(text):
    """Without what differs from run to run: times that were measured, numbers drawn, and Gloo's own words."""
    for seen, instead in ((r"within [\d.]+ ms", "within N ms"), (r"within \d+\.\d+ s", "within N s"),
                          (r"after \d+\.\d+ s", "after N s"), (r"tries: \d+", "tries: N"),
                          (r"\b[0-9a-f]{32}\b", "NONCE"), (r"(?m)^( *Gloo:) .*$", r"\1 ...")):
        text = re.sub(seen, instead, text)
    return text.strip("\n")


def printed_by(output):
    """(code, text) of each section of the program's output."""
    parts = re.split(r"^== (\w+)\n", output, flags=re.M)
    return [(code, same_each_time(text)) for code, text in zip(parts[1::2], parts[2::2])]


def blocks_of(page, codes):
    """(code of the section or None, text) of each block without a language, and the codes that have a section."""
    blocks, section, sections = [], None, set()
    for found in re.finditer(FENCE.pattern + r"|^#+ ([^\n]*)$", page, FENCE.flags):
        language, block, heading = found.groups()
        if heading is not None:
            name = re.match(r"`(\w+)`", heading)
            section = name[1] if name and name[1] in codes else None
            sections.add(section)
        elif not language:
            blocks.append((section, same_each_time(block)))
    return blocks, sections - {None}


def check(output, page, header, of_nccl, root):
    enumeration = re.search(r"enum class errc \{(.*?)\};", header, re.S)
    codes = re.findall(r"^ +(\w+),", enumeration[1], re.M)
    printed = printed_by(output)
    blocks, sections = blocks_of(page, codes)
    for code in codes:
        if code not in sections:
            yield f"{code} has no section"
        if not any(each == code for each, _ in printed):
            yield f"the program provokes no {code}"
    for code, text in printed:
        if not any(text == block and section in (None, code) for section, block in blocks):
            yield f"the page lacks this text of {code}, or has it in another's section:\n{text}"
    unused = set(of_nccl)
    for section, block in blocks:
        first = block.splitlines()[0] if block else ""
        if section is None and not first.startswith("muster: "):
            continue  # something else
        unused.discard(first)
        if not any(block == text for _, text in printed) and first not in of_nccl:
            yield f"nothing brings about this text of the page:\n{block}"
    for first in unused:
        yield f"the page does not show what it should of NCCL: {first}"
    for file, test in of_nccl.values():
        path = pathlib.Path(root) / file
        if not path.exists() or f"\ndef {test}(" not in path.read_text():
            yield f"{file} has no test {test}"


def self_test():
    header = "enum class errc {\n    one, ///< first\n    two, ///< second\n};\n"
    output = "== one\nmuster: 1\n  Gloo: x\n\n== one\nmuster: 2 within 12 ms\n\n== two\nmuster: 3\n"
    page = ("# Page\n```sh\n./run\n```\n```\nother\n```\n"
            "### `one`\n```\nmuster: 1\n  Gloo: y\n```\n```\nmuster: N\n  more\n```\n"
            "### `two`: so\n```\nmuster: 3\n```\n## End\n```\nmuster: 2 within 10 ms\n```\n")
    of_nccl = {"muster: N": ("test.py", "shows")}
    bad = {"a code without a section": ("page", "### `two`: so", "### two"),
           "a code that is not provoked": ("output", "== two\nmuster: 3\n", ""),
           "a text that is not shown": ("page", "muster: 2 within", "muster: 2, within"),
           "another text in a section": ("page", "muster: 3", "muster: 4"),
           "a line that is missing": ("page", "\n  Gloo: y", ""),
           "a text in another's section":
               ("output", "== two\nmuster: 3", "== two\nmuster: 3\n\n== two\nmuster: 1\n  Gloo: x"),
           "a text of nothing beside the sections": ("page", "other", "muster: 5"),
           "something else in a section": ("page", "muster: 3\n```", "muster: 3\n```\n```\nother\n```"),
           "a text of NCCL that is not shown": ("page", "muster: N", "muster: 3"),
           "a test that is not there": ("test", "def shows", "def hides")}
    wrong = []
    for name, change in {"good": None, **bad}.items():
        parts = {"header": header, "output": output, "page": page, "test": "\ndef shows():\n"}
        if change:
            part, seen, instead = change
            assert seen in parts[part], name
            parts[part] = parts[part].replace(seen, instead, 1)
        with tempfile.TemporaryDirectory() as root:
            (pathlib.Path(root) / "test.py").write_text(parts["test"])
            if bool(list(check(parts["output"], parts["page"], parts["header"], of_nccl, root))) != bool(change):
                wrong.append(name)
    print(f"{len(bad) + 1} pages, wrong about {wrong or 'none'}")
    return 1 if wrong else 0


def main(program, root):
    ran = subprocess.run([program], env=clean_environment(), capture_output=True, text=True, timeout=LIMIT, check=False)
    if ran.returncode != 0:
        print(f"{program} ended with {ran.returncode}\n{ran.stdout}{ran.stderr}")
        return 1
    root = pathlib.Path(root)
    findings = list(check(ran.stdout, (root / "docs/errors.md").read_text(),
                          (root / "include/muster/core/error.hpp").read_text(), OF_NCCL, root))
    print("\n".join(findings) or "ok")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(self_test() if sys.argv[1] == "--self-test" else main(*sys.argv[1:]))
