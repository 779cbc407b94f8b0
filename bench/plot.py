# SPDX-License-Identifier: MIT
"""Plots as small SVG files, by nothing but Python: what bench/theory and bench/rl draw with."""
import math
import os

# Middle tones on no background: they can be read on white and on black.
INK = "#7d8590"
COLORS = ["#3b82f6", "#e0701a", "#2f9e57", "#a65bd8", "#d9485f", "#7d8590"]


class Axis:
    def __init__(self, low, high, pixel_low, pixel_high, log, ticks, label):
        self.low, self.high, self.pixel_low, self.pixel_high = low, high, pixel_low, pixel_high
        self.log, self.ticks, self.label = log, ticks, label

    def __call__(self, value):
        scale = math.log if self.log else float
        t = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return self.pixel_low + t * (self.pixel_high - self.pixel_low)


class Plot:
    """Panels side by side; a panel is current from its axes() on."""

    def __init__(self, width, height, title):
        self.width, self.height = width, height
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                      f'height="{height}" role="img" font-family="system-ui,sans-serif" font-size="12" fill="{INK}">',
                      f"<title>{title}</title>"]

    def axes(self, left, right, x, y, title, top=34, bottom=None):
        bottom = bottom or self.height - 46
        self.x, self.y = Axis(*x[:2], left, right, *x[2:]), Axis(*y[:2], bottom, top, *y[2:])
        self.text(left, 18, title, weight="600")
        for tick, name in self.x.ticks:
            self.line(self.x(tick), top, self.x(tick), bottom, INK, opacity=0.25)
            self.text(self.x(tick), bottom + 16, name, "middle")
        for tick, name in self.y.ticks:
            self.line(left, self.y(tick), right, self.y(tick), INK, opacity=0.25)
            self.text(left - 6, self.y(tick) + 4, name, "end")
        self.parts.append(f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="{INK}"/>')
        self.text((left + right) / 2, bottom + 36, self.x.label, "middle")
        self.text(0, 0, self.y.label, "middle", transform=f"translate({left - 42} {(top + bottom) / 2}) rotate(-90)")

    def line(self, x0, y0, x1, y1, color, width=1, opacity=1):
        faint = f' stroke-opacity="{opacity}"' if opacity < 1 else ""
        path = f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"
        self.parts.append(f'<path d="{path}" stroke="{color}" stroke-width="{width}"{faint}/>')

    def text(self, x, y, text, anchor="start", color=None, weight=None, transform=None):
        place = f'transform="{transform}"' if transform else f'x="{x:.1f}" y="{y:.1f}"'
        fill = f' fill="{color}"' if color else ""
        bold = f' font-weight="{weight}"' if weight else ""
        self.parts.append(f'<text {place} text-anchor="{anchor}"{fill}{bold}>{text}</text>')

    def curve(self, points, color, dash=None):
        path = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="1.8"{dashes}/>')

    def dot(self, x, y, color, hollow=False):
        style = f'r="4.2" fill="none" stroke="{color}" stroke-width="1.6"' if hollow else f'r="3.2" fill="{color}"'
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" {style}/>')

    def dots(self, points, color, hollow=False):
        for x, y, *error in points:
            if error and y > 2 * error[0]:
                self.line(self.x(x), self.y(y - 2 * error[0]), self.x(x), self.y(y + 2 * error[0]), color, 1.2)
            self.dot(self.x(x), self.y(y), color, hollow)

    def legend(self, x, y, entries):
        for i, (name, color, mark) in enumerate(entries):
            middle = y + 17 * i
            if mark != "hollow":
                dashes = ' stroke-dasharray="4 4"' if mark == "dash" else ""
                self.parts.append(f'<path d="M{x} {middle}h22" stroke="{color}" stroke-width="1.8"{dashes}/>')
            if mark != "dash":
                self.dot(x + 11, middle, color, mark == "hollow")
            self.text(x + 28, middle + 4, name)

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(self.parts + ["</svg>"]) + "\n")
        print(f"{path}: {os.path.getsize(path)} bytes")
