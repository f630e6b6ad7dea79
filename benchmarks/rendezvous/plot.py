# SPDX-License-Identifier: Apache-2.0
"""Draws how long ranks take to meet as an SVG that reads on light and on dark paper."""
import math

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 72, 592, 64, 380
LABEL_GAP = 16
NAMES = {"torch": "torch TCPStore", "gloo_file": "Gloo FileStore", "muster": "muster", "floor": "bare sockets"}

STYLE = """
    svg { font-family: system-ui, sans-serif; font-size: 13px; }
    text { fill: #24292f; } .faint { fill: #57606a; } .title { font-size: 16px; font-weight: 600; }
    .grid { stroke: #d0d7de; } polyline { fill: none; stroke-width: 2; } .muster polyline { stroke-width: 3.5; }
    .torch { --ink: #b35900; } .gloo_file { --ink: #8250df; } .muster { --ink: #0969da; } .floor { --ink: #57606a; }
    .line polyline { stroke: var(--ink); } .line circle, .line text { fill: var(--ink); }
    .muster text { font-weight: 600; } .floor polyline { stroke-dasharray: 6 4; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; } .faint { fill: #9198a1; } .grid { stroke: #3d444d; }
      .torch { --ink: #f0883e; } .gloo_file { --ink: #bc8cff; } .muster { --ink: #58a6ff; } .floor { --ink: #9198a1; }
    }
"""


def spread(wanted):
    """The heights of the labels: as near to the wanted ones as there is room for, in their order."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    for above, below in zip(order, order[1:]):
        placed[below] = max(placed[below], placed[above] + LABEL_GAP)
    return placed


def roll_call(rows):
    ranks = [row["ranks"] for row in rows]
    lines = {name: [(row["ranks"], row[f"{name}_ms"]) for row in rows if row[f"{name}_ms"] is not None]
             for name in NAMES}
    lines = {name: points for name, points in lines.items() if points}
    times = [ms for points in lines.values() for _, ms in points]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))

    def x(n):
        return LEFT + (RIGHT - LEFT) * math.log(n / ranks[0]) / math.log(ranks[-1] / ranks[0])

    def y(ms):
        return BOTTOM - (BOTTOM - TOP) * (math.log10(ms) - low) / (high - low)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
             'aria-labelledby="title">', f"  <style>{STYLE}  </style>",
             f'  <text id="title" class="title" x="{LEFT}" y="28">Time until all ranks have met and know it</text>',
             f'  <text class="faint" x="{LEFT}" y="47">256 bytes from and to each rank, over loopback; less is better</text>']
    for power in range(low, high + 1):
        at = y(10 ** power)
        parts.append(f'  <line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{RIGHT}" y2="{at:.1f}"/>')
        parts.append(f'  <text class="faint" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0 ** power:g}</text>')
    for n in ranks:
        parts.append(f'  <line class="grid" x1="{x(n):.1f}" y1="{BOTTOM}" x2="{x(n):.1f}" y2="{BOTTOM + 5}"/>')
        parts.append(f'  <text class="faint" x="{x(n):.1f}" y="{BOTTOM + 20}" text-anchor="middle">{n}</text>')
    parts.append(f'  <text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 44}" text-anchor="middle">ranks</text>')
    parts.append(f'  <text transform="translate(20 {(TOP + BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
                 "time in ms</text>")
    heights = spread([y(points[-1][1]) + 4 for points in lines.values()])
    for (name, points), height in zip(lines.items(), heights):
        path = " ".join(f"{x(n):.1f},{y(ms):.1f}" for n, ms in points)
        parts.append(f'  <g class="line {name}">')
        parts.append(f'    <polyline points="{path}"/>')
        parts += [f'    <circle cx="{x(n):.1f}" cy="{y(ms):.1f}" r="3.5"><title>{NAMES[name]}, {n} ranks: {ms:g} ms'
                  "</title></circle>" for n, ms in points]
        parts.append(f'    <text x="{x(points[-1][0]) + 10:.1f}" y="{height:.1f}">{NAMES[name]}</text>')
        parts.append("  </g>")
    return "\n".join([*parts, "</svg>", ""])
