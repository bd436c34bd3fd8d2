#!/usr/bin/env python3
"""Draws the last line of `make bench-peers` (standard input) as an SVG (standard output): the median rate of each system
as a bar, its rounds as dots."""
import json
import statistics
import sys

NAMES = {
    "millrace": "Millrace",
    "graphile_worker": "graphile-worker",
    "pg_boss": "pg-boss",
    "millrace_4k": "Millrace, 4 KB",
    "graphile_worker_4k": "graphile-worker, 4 KB",
}
LEFT, WIDTH, BAR, GAP = 170, 520, 22, 12

rates = json.loads(sys.stdin.read().strip().splitlines()[-1])["rates"]
top = max(max(rounds) for rounds in rates.values())
height = len(rates) * (BAR + GAP) + 40
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{height}" font-family="sans-serif" font-size="13">')
print(f'<rect width="100%" height="100%" fill="white"/>\n<text x="{LEFT}" y="18" fill="#444">tasks completed per second</text>')
for row, (key, rounds) in enumerate(rates.items()):
    y = 30 + row * (BAR + GAP)
    median = statistics.median(rounds)
    length = WIDTH * median / top
    color = "#2b6cb0" if key.startswith("millrace") else "#a0aec0"
    print(f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end" fill="#222">{NAMES[key]}</text>')
    print(f'<rect x="{LEFT}" y="{y}" width="{length:.0f}" height="{BAR}" fill="{color}"/>')
    for one in rounds:
        print(f'<circle cx="{LEFT + WIDTH * one / top:.0f}" cy="{y + BAR / 2:.0f}" r="3" fill="#1a202c"/>')
    print(f'<text x="{LEFT + WIDTH * max(rounds) / top + 10:.0f}" y="{y + 16}" fill="#222">{median:,.0f}</text>')
print("</svg>")
