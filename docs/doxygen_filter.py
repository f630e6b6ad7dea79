# SPDX-License-Identifier: Apache-2.0
"""Doxygen's view of a header, line for line: the house's way of writing comments is not Doxygen's.

usage: doxygen_filter.py HEADER

- The inline namespace of the version is left out: users write muster::X.
- A comment stands for all declarations up to the next blank line or comment, and for all names in one.
- What a concept asks of a type is documented at the concept.
- Moves, copies and defaulted comparisons without a comment are left out: there is nothing to say of them.
- Lines of a comment that are set deeper are a list or code, and stay as they are.
- Concepts and empty classes without a comment, of which Doxygen says nothing, are warned of.
"""

import re
import sys

SCOPE = re.compile(r"(?:template <.*> )?((?:class|struct|union|namespace) [\w:]+)[^;(]*\{$")
SPECIAL = re.compile(r"(\w+)\((const )?\1&{1,2}( \w+)?\)|\w+& operator=\(|"
                     r"friend .*operator(==|<=>)\(.*\) (noexcept )?= default;")
UNWARNED = re.compile(r"(?:template <.*> )?(?:concept|(?:struct|class) \w+[^;]*\{\};)")
NOT_FIRST = re.compile(r"[#&!]|(public|protected|private):$")
LITERAL = re.compile(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])\'')

# Concept, its models, and the members that it asks for.
CONCEPTS = (
    ("Store", r"\w*Store", "set get wait add compare_set append check multi_get multi_set remove num_keys"),
    ("Rendezvous", r"LocalRendezvous::Rank|\w+Rendezvous", "launch connect"),
    ("Backend", r"Nccl|Gloo", "name Communicator device must_equal payload alone"),
    ("AxisTag", r"Tp|Dp|Cp|Pp|Ep|World", "name"),
)


def code_of(line):
    """A line without its strings and comments."""
    return LITERAL.sub("0", line).partition("//")[0].strip()


def declarations(lines):
    """First line, line behind the last, text, and scopes around, of all that a namespace or class declares."""
    start, scopes = None, []
    for number, line in enumerate(lines):
        code = code_of(line)
        if start is None:
            if code.startswith("}"):
                scopes.pop()
            if not code or code.startswith("}") or NOT_FIRST.match(code):
                continue
            start, text, depth = number, "", 0
        text = f"{text} {code}".strip()
        depth += sum(code.count(c) for c in "{(") - sum(code.count(c) for c in "})")
        scope = SCOPE.match(text)
        if scope or (depth == 0 and code.endswith((";", "}"))):
            yield start, number + 1, text, tuple(scopes)
            start = None
        if scope:
            scopes.append(scope[1])


def comment_above(lines, start):
    """The words of the documenting comment that ends right above a line."""
    end = start
    while start > 0 and lines[start - 1].strip().startswith("///"):
        start -= 1
    return " ".join(line.strip().lstrip("/").strip() for line in lines[start:end])


def name_of(declaration):
    found = re.search(r"(\w+)\(|using (\w+) =|(\w+)( = [^;]*)?;", declaration)
    return found and (found[1] or found[2] or found[3])


def concept_of(scopes, declaration):
    for concept, models, members in CONCEPTS:
        if re.fullmatch(f"(class|struct) ({models})", scopes[-1]) and name_of(declaration) in members.split():
            return f"As the concept muster::{concept} says."
    return ""


def add_comments(lines, warn):
    above, last = "", 0
    for start, end, text, scopes in list(declarations(lines)):
        own = comment_above(lines, start)
        if own or "" in lines[last:start]:
            above = own
        silent = text.endswith("= delete;") or "~" in text.partition("(")[0]  # Doxygen wants no comment of these
        if not own and not silent and scopes and "///<" not in "".join(lines[start:end]):
            words = above or concept_of(scopes, text)
            if SPECIAL.search(text):
                lines[start:end] = [""] * (end - start)
            elif words:
                lines[start] = f"/** {words} */ {lines[start]}"
            elif UNWARNED.match(text) and scopes == ("namespace muster",):
                warn(start + 1, text)
        if names := re.fullmatch(r"([\w:]+) (\w+(?:, \w+)+);", text):
            lines[start] = lines[start].replace(", ", f"; /** {own or above} */ {names[1]} ")
        last = end
        if SCOPE.match(text):
            above = ""


def keep_lists(lines):
    """A comment with deeper lines becomes one of C, in which these are verbatim: there they lose their slashes."""
    is_comment = [line.strip().startswith("///") for line in lines] + [False]
    is_deep = [line.strip().startswith("///  ") for line in lines] + [False]
    start = 0
    while start < len(lines):
        end = is_comment.index(False, start)
        if any(is_deep[start:end]):
            for number in range(start, end):
                lines[number] = lines[number].replace("///", "", 1)
                if is_deep[number] and not is_deep[number - 1]:
                    lines[number - 1] += " @verbatim"
                if is_deep[number] and not is_deep[number + 1]:
                    lines[number] += " @endverbatim"
            lines[start] = "/**" + lines[start]
            lines[end - 1] += " */"
        start = end + 1


def filtered(text, warn):
    lines = re.sub(r"^namespace muster::inline v\d+_\d+", "namespace muster", text, flags=re.M).split("\n")
    add_comments(lines, warn)
    keep_lists(lines)
    return "\n".join(lines)


if __name__ == "__main__":
    path = sys.argv[1]
    with open(path, encoding="utf-8") as header:
        sys.stdout.write(filtered(header.read(), lambda line, text: print(
            f"{path}:{line}: warning: {text} is not documented", file=sys.stderr)))
