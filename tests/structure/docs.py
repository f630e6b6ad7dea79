# SPDX-License-Identifier: Apache-2.0
"""The pages hold what is true: C++ is cut from the compiled examples, links lead somewhere, no line is left to fill in.

usage: docs.py SOURCE_ROOT
       docs.py --self-test
"""

import pathlib
import re
import sys
import tempfile
import textwrap

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def lines_of(text):
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def cut_from(block, source):
    """Whether the block is a run of whole lines of the source, which may be set deeper there."""
    wanted, lines = lines_of(block), lines_of(source)
    return any(lines_of(textwrap.dedent("\n".join(lines[at:at + len(wanted)]))) == wanted
               for at in range(len(lines) - len(wanted) + 1))


def anchors(page):
    """As the usual viewers make them of headings."""
    headings = re.findall(r"^#+ +(.*)$", FENCE.sub("", page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def check(root):
    folder = root / "docs/examples"
    sources = [path.read_text() for path in sorted(folder.rglob("*")) if path.suffix in (".cpp", ".hpp", ".cu")]
    pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    blocks = 0
    for page in pages:
        text, name = page.read_text(), page.relative_to(root)
        for language, block in FENCE.findall(text):
            if language == "cpp":
                blocks += 1
                if not any(cut_from(block, source) for source in sources):
                    yield f"{name}: no file below docs/examples holds this block:\n{block}"
        for link in LINK.findall(FENCE.sub("", text)):
            if re.match(r"\w+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists():
                yield f"{name}: the link {link} leads nowhere"
            elif anchor and anchor not in anchors(target.read_text()):
                yield f"{name}: {target.name} has no heading for #{anchor}"
    if not blocks:
        yield "no page has a block of C++"


def self_test():
    good = {"README.md": "# One\n```cpp\nint a;\n\nint b;\n```\n[two](docs/two.md#a-heading-of-two) [web](https://x.y/z)\n",
            "docs/two.md": "## A heading, of two\n", "docs/examples/x.cpp": "void f() {\n    int a;\n\n    int b;\n}\n"}
    bad = {"a block of nobody": ("README.md", "int b;", "int c;"),
           "a half line": ("docs/examples/x.cpp", "int b;", "int b; // more"),
           "a dead link": ("README.md", "two.md#", "three.md#"),
           "a dead anchor": ("docs/two.md", "A heading", "The heading")}
    wrong = []
    for name, change in {"good": None, **bad}.items():
        with tempfile.TemporaryDirectory() as folder:
            for path, text in good.items():
                if change and change[0] == path:
                    text = text.replace(change[1], change[2])
                target = pathlib.Path(folder) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
            if bool(list(check(pathlib.Path(folder)))) != bool(change):
                wrong.append(name)
    print(f"{len(bad) + 1} trees, wrong about {wrong or 'none'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1] == "--self-test":
        sys.exit(self_test())
    findings = list(check(pathlib.Path(sys.argv[1])))
    print("\n".join(findings) or "ok")
    sys.exit(1 if findings else 0)
