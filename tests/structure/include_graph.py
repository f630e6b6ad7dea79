# SPDX-License-Identifier: Apache-2.0
"""The headers of include/muster and what each includes."""
import re

COMMENT_OR_LITERAL = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'""", re.DOTALL)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include\b[ \t]*(.*?)[ \t]*$', re.MULTILINE)


def without_comments(text):
    """Comments become one blank or as many line ends as they had; literals stay, so that a "//" in one is no comment."""
    def blank(match):
        found = match.group()
        return ("\n" * found.count("\n") or " ") if found.startswith(("//", "/*")) else found
    return COMMENT_OR_LITERAL.sub(blank, text)


class Header:
    """One header. `own` are the muster headers that it includes, `others` the rest, both without brackets;
    `odd` are includes that are neither <...> nor readable."""

    def __init__(self, name, text):
        self.name, self.text = name, text
        self.code = without_comments(text)
        self.own, self.others, self.odd = [], [], []
        for target in INCLUDE.findall(self.code):
            if not re.fullmatch(r"<[^<>]+>", target) or "./" in target:
                self.odd.append(target)
            elif target.startswith("<muster/"):
                self.own.append(target[len("<muster/"):-1])
            else:
                self.others.append(target[1:-1])


def read(root):
    """Every file below `root` (the folder that holds muster/) by its name below muster/."""
    base = root / "muster"
    return {name: Header(name, path.read_text(encoding="utf-8"))
            for path in sorted(base.rglob("*")) if path.is_file()
            for name in [path.relative_to(base).as_posix()]}


def reach(headers, name):
    """The headers that including `name` brings in (itself too), and the includes that are not muster's."""
    seen, others, todo = set(), set(), [name]
    while todo:
        header = headers.get(todo.pop())
        if header is None or header.name in seen:
            continue
        seen.add(header.name)
        others.update(header.others)
        todo += header.own
    return seen, others


def is_gloo(include):
    return include.startswith("gloo/")


def is_nccl(include):
    return re.match(r"(nccl|cuda)", include) is not None
