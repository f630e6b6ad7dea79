# SPDX-License-Identifier: Apache-2.0
"""The pictures in docs/images are those that docs/examples/diagrams.cpp draws, every one is well-formed and shown on some
page, and the README has the text that the program prints.

    diagrams.py PROGRAM SOURCE_ROOT     check them
    diagrams.py PROGRAM --self-test     check this check: each small bad tree must fail for its own reason
"""
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

program = sys.argv[1]
PAGES = "README.md", "docs/*.md"
SVG = "{http://www.w3.org/2000/svg}"
# Nothing that runs, and nothing from elsewhere.
ELEMENTS = {SVG + name for name in ("svg", "title", "g", "rect", "path", "text", "tspan")}


def draw(folder):
    """What the program prints while it draws into the folder."""
    return subprocess.run([program, folder], check=True, capture_output=True, text=True).stdout


def check_picture(name, text):
    try:
        strangers = {element.tag for element in xml.fromstring(text).iter()} - ELEMENTS
    except xml.ParseError as error:
        yield f"{name} is not well-formed: {error}"
    else:
        if strangers:
            yield f"{name} has {', '.join(sorted(strangers))}"


def problems(root):
    with tempfile.TemporaryDirectory() as folder:
        printed = draw(folder)
        drawn = {path.name: path.read_text() for path in pathlib.Path(folder).iterdir()}
    kept = {path.name: path.read_text() for path in (root / "docs/images").glob("*")}
    pages = [page.read_text() for pattern in PAGES for page in root.glob(pattern)]
    for name in sorted(drawn.keys() | kept.keys()):
        if name not in kept:
            yield f"docs/images/{name} is missing: run docs/examples/diagrams.cpp's program on docs/images"
        elif name not in drawn:
            yield f"docs/images/{name} is none that docs/examples/diagrams.cpp draws"
        elif drawn[name] != kept[name]:
            yield f"docs/images/{name} is stale: run docs/examples/diagrams.cpp's program on docs/images"
        elif not any(f"images/{name})" in page for page in pages):
            yield f"docs/images/{name} stands on no page"
        yield from check_picture(name, kept.get(name) or drawn[name])
    if not drawn:
        yield "nothing was drawn"
    if not printed or f"```\n{printed}```\n" not in (root / "README.md").read_text():
        yield "README.md has not the text that docs/examples/diagrams.cpp prints"


def change(path, old, new):
    text = path.read_text()
    assert old in text, f"{path} has no {old}"
    path.write_text(text.replace(old, new, 1))


def picture(root):
    return sorted((root / "docs/images").iterdir())[0]


# What is done to a good tree, and the words of the complaint that it must cause.
BAD = [
    (lambda root: change(picture(root), ">0<", ">00<"), "is stale"),
    (lambda root: picture(root).unlink(), "is missing"),
    (lambda root: (root / "docs/images/other.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>"), "is none that"),
    (lambda root: change(picture(root), "</svg>", "</svg"), "is not well-formed"),
    (lambda root: change(picture(root), "</svg>", "<script/></svg>"), "svg}script"),
    (lambda root: change(root / "README.md", picture(root).name, "elsewhere.svg"), "stands on no page"),
    (lambda root: change(root / "README.md", "inside a node", "outside"), "README.md has not the text"),
]


def good_tree(root):
    (root / "docs/images").mkdir(parents=True)
    printed = draw(root / "docs/images")
    shown = "".join(f"![](docs/images/{path.name})\n" for path in (root / "docs/images").iterdir())
    (root / "README.md").write_text(f"{shown}```\n{printed}```\n")


def self_test():
    for spoil, words in [(lambda root: None, None), *BAD]:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            good_tree(root)
            spoil(root)
            found = list(problems(root))
        if words is None and found:
            yield f"the good tree fails: {found}"
        elif words is not None and not any(words in problem for problem in found):
            yield f"wanted '{words}', got {found or 'no complaint'}"


def main():
    if sys.argv[2] == "--self-test":
        found, done = list(self_test()), f"{len(BAD)} bad trees fail as they must"
    else:
        found, done = list(problems(pathlib.Path(sys.argv[2]))), "the pictures are as they are drawn"
    print("\n".join(found) or done)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
