# SPDX-License-Identifier: Apache-2.0
"""Every test that docs/defects.md names is in the tree, in the file that is said to hold it.

    defects.py SOURCE_ROOT     check the page
    defects.py --self-test     check this check: each small bad page must fail for its own reason
"""
import pathlib
import re
import sys
import tempfile

ROW = re.compile(r"^\| ([A-Z]\d+) \|(.*)\|$", re.MULTILINE)
NONE = "none yet"
COLUMNS = 4  # after the id


def holds(path, text, test):
    """Whether a file of tests has this one, and runs it."""
    name = re.escape(test)
    if test.startswith("static_assert("):
        return f"{test};" in text
    if path.name.endswith(".test.cpp"):
        return re.search(rf'TEST_CASE\("{name}"', text)
    if path.name == "meson.build":
        return re.search(rf"test\(\s*'{name}'", text)
    if path.suffix == ".cpp":
        return re.search(rf"^// CASE {name}: ", text, re.MULTILINE)
    # Defined, and once more in the list of those that are run.
    return re.search(rf"^def {name}\(", text, re.MULTILINE) and len(re.findall(rf"\b{name}\b", text)) > 1


def check_cell(root, row, cell):
    """A cell is `file`: `test`, `test`; `file`: ...; or says that there is none yet."""
    if cell == NONE:
        return
    for part in cell.split("`; `"):
        part = "`" + part.strip("`") + "`"
        match = re.fullmatch(r"`([^`]+)`: (`[^`]+`(?:, `[^`]+`)*)", part)
        if not match:
            yield f"{row}: not of the form `file`: `test`, `test`: {part}"
            continue
        path = root / "tests" / match[1]
        if not path.is_file():
            yield f"{row}: there is no tests/{match[1]}"
            continue
        text = path.read_text(encoding="utf-8")
        for test in re.findall(r"`([^`]+)`", match[2]):
            if not holds(path, text, test):
                yield f"{row}: tests/{match[1]} has no test '{test}'"


def problems(root):
    page = (root / "docs/defects.md").read_text(encoding="utf-8")
    rows = ROW.findall(page)
    if not rows:
        yield "the page has no rows"
    names = [row for row, _ in rows]
    for row in sorted({name for name in names if names.count(name) > 1}):
        yield f"{row}: stands twice"
    for row, rest in rows:
        cells = [cell.strip() for cell in rest.split("|")]
        if len(cells) != COLUMNS or not all(cells):
            yield f"{row}: has {len(cells)} cells after the id, expected {COLUMNS} that are not empty"
        else:
            yield from check_cell(root, row, cells[-1])


TREE = {
    "tests/unit/a.test.cpp": 'static_assert(fact);\nTEST_CASE("it works, also here", "[nccl]") {}\n',
    "tests/faults/a.py": "def rank_dies():\n    pass\n\n\ndef forgotten():\n    pass\n\n\nmain([rank_dies])\n",
    "tests/compile_fail/a.cpp": "// CASE WRONG: words\n",
    "tests/structure/meson.build": "test('layers', python)\ntest(\n  'two-lines',\n)\n",
}
GOOD = [
    "`unit/a.test.cpp`: `it works, also here`, `static_assert(fact)`; `faults/a.py`: `rank_dies`",
    "`compile_fail/a.cpp`: `WRONG`; `structure/meson.build`: `layers`, `two-lines`",
    NONE,
]
BAD = [
    ("`unit/a.test.cpp`: `it works`", "has no test 'it works'"),
    ("`unit/a.test.cpp`: `it works, also here`, `no`", "has no test 'no'"),
    ("`unit/a.test.cpp`: `static_assert(other)`", "has no test 'static_assert(other)'"),
    ("`unit/b.test.cpp`: `it works, also here`", "there is no tests/unit/b.test.cpp"),
    ("`faults/a.py`: `rank`", "has no test 'rank'"),
    ("`faults/a.py`: `forgotten`", "has no test 'forgotten'"),
    ("`compile_fail/a.cpp`: `WRON`", "has no test 'WRON'"),
    ("`structure/meson.build`: `lines`", "has no test 'lines'"),
    ("`faults/a.py`", "not of the form"),
    ("the tests", "not of the form"),
    ("", "expected 4"),
    ("`faults/a.py`: `rank_dies` | more", "expected 4"),
]


def problems_of(cells):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        rows = "".join(f"| {row} | must | who | what | {cell} |\n" for row, cell in cells)
        for name, text in (TREE | {"docs/defects.md": rows}).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return list(problems(root))


def self_test():
    if found := problems_of([(f"E{number}", cell) for number, cell in enumerate(GOOD)]):
        yield "the good page fails:\n  " + "\n  ".join(found)
    for cells, words in [([], "no rows"), ([("E1", NONE), ("E1", NONE)], "stands twice"),
                         *(([("E1", cell)], words) for cell, words in BAD)]:
        found = problems_of(cells)
        if not any(words in problem for problem in found):
            yield f"{cells}: wanted '{words}', got {found or 'no complaint'}"


def main():
    if sys.argv[1:] == ["--self-test"]:
        found, done = list(self_test()), f"{len(BAD) + 2} bad pages fail as they must"
    else:
        root = pathlib.Path(sys.argv[1])
        found = list(problems(root))
        done = f"{len(ROW.findall((root / 'docs/defects.md').read_text(encoding='utf-8')))} rows, every test is there"
    print("\n".join(found) or done)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
