# SPDX-License-Identifier: Apache-2.0
"""Every C++ block of the README is one of the compiled examples, to the letter.

usage: docs.py SOURCE_ROOT
"""

import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
examples = {path.name: path.read_text().split("\n", 1)[1].strip() for path in (root / "docs/examples").glob("*.cpp")}
blocks = [block.strip() for page in [root / "README.md", *(root / "docs").glob("*.md")]
          for block in re.findall(r"```cpp\n(.*?)```", page.read_text(), re.S)]
strangers = [block for block in blocks if block not in examples.values()]
for block in strangers:
    print(f"no example holds this block:\n{block}\n")
print(f"{len(blocks)} blocks, {len(strangers)} of them in no example")
sys.exit(1 if strangers or not blocks else 0)
