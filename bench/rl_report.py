# SPDX-License-Identifier: MIT
"""The table and the plots of the comparison that bench/rl made."""
import json
import math
import statistics

from plot import COLORS, INK, Plot

BEGIN, END = "<!-- bench/rl: begin -->", "<!-- bench/rl: end -->"
SHORT = {"MiniGrid-Dynamic-Obstacles-Random-6x6-v0": "Dynamic-Obstacles-6x6", "MiniGrid-FourRooms-v0": "FourRooms",
         "MiniGrid-DoorKey-8x8-v0": "DoorKey-8x8"}


def short(env):
    return SHORT.get(env, env)


def runs_of(results, env, algorithm):
    return [e for e in results.lines.values()
            if e["key"].startswith("curve ") and e["env"] == env and e["algorithm"] == algorithm]


def value_at(curve, column, x):
    """The last evaluation up to x; the first one if none is that early."""
    seen = [point[2] for point in curve if point[column] <= x]
    return seen[-1] if seen else curve[0][2]


def mean_and_error(values):
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return statistics.fmean(values), error


def number(value):
    magnitude = abs(value)
    return f"{value:.0f}" if magnitude >= 1000 else f"{value:.1f}" if magnitude >= 20 else f"{value:.3f}"


def cell(values):
    mean, error = mean_and_error(values)
    return f"{number(mean)} ± {number(error)}"


def verdict(ours, theirs):
    (a, ea), (b, eb) = mean_and_error(ours), mean_and_error(theirs)
    margin = max(2 * math.hypot(ea, eb), 0.01 * max(abs(a), abs(b)))
    return "better" if a > b + margin else "worse" if a < b - margin else "equal"


def text_of_settings(settings, algorithm):
    hidden = {"policy-width", "policy-layers"} | ({"rank"} if algorithm == "openes" else set())   # full rank needs none
    return ", ".join(f"{name} {value}" for name, value in settings.items() if name not in hidden)


def rows(results, names):
    out, verdicts, times = [], {"better": 0, "equal": 0, "worse": 0}, []
    for env in names:
        ours, theirs = runs_of(results, env, "eggroll"), runs_of(results, env, "openes")
        if not ours or not theirs:
            continue
        final = [e["return"] for e in ours]
        other = [e["return"] for e in theirs]
        seconds, slower = statistics.median(e["seconds"] for e in ours), statistics.median(e["seconds"] for e in theirs)
        least = min(seconds, slower)
        a, b = ([value_at(e["curve"], 1, least) for e in es] for es in (ours, theirs))
        word = verdict(final, other)
        verdicts[word] += 1
        times.append(slower / seconds)
        out.append(f"| {short(env)} | {statistics.median(e['steps'] for e in ours) / 1e6:.3g} M | {len(ours)} | {cell(final)} | "
                   f"{cell(other)} | {word} | {cell(a)} | {cell(b)} | {seconds:.1f} | {slower:.1f} | {slower / seconds:.2f} |")
    return out, verdicts, times


def table(results, names):
    lines, verdicts, times = rows(results, names)
    head = ["| environment | steps | seeds | EGGROLL | OpenES | EGGROLL is | EGGROLL, equal time | OpenES, equal time | "
            "EGGROLL, s | OpenES, s | speed-up |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    summary = (f"At equal steps EGGROLL is better in {verdicts['better']}, equal in {verdicts['equal']} and worse in "
               f"{verdicts['worse']} of {len(lines)} environments; it is faster in {sum(t > 1 for t in times)} of them, by a "
               f"factor of {statistics.geometric_mean(times):.2f} in the geometric mean.") if times else ""
    return "\n".join(head + lines + ["", summary])


def settings_list(results, names, ranked):
    lines = []
    for env in names:
        for algorithm in ("eggroll", "openes"):
            best = ranked(results, env, algorithm, "second ")
            if best:
                lines.append(f"| {short(env)} | {algorithm} | {text_of_settings(best[0]['settings'], algorithm)} |")
    return "\n".join(["| environment | algorithm | settings |", "|---|---|---|"] + lines)


def nice_ticks(low, high):
    step = 10 ** math.floor(math.log10((high - low) or 1))
    for factor in (0.2, 0.5, 1, 2, 5):
        if (high - low) / (step * factor) <= 4:
            step *= factor
            break
    first = math.ceil(low / step)
    return [(i * step, f"{i * step:.6g}".replace("-", "−")) for i in range(first, math.floor(high / step) + 1)]


def mean_curve(runs, column):
    """The mean over the seeds at common places, and the lowest and highest."""
    last = min(run["curve"][-1][column] for run in runs)
    first = max(run["curve"][0][column] for run in runs)
    places = [first + (last - first) * i / 40 for i in range(41)]
    return [(x, statistics.fmean(value_at(run["curve"], column, x) for run in runs)) for x in places]


def draw(results, names, column, unit, scale, title, path):
    names = [n for n in names if runs_of(results, n, "eggroll") and runs_of(results, n, "openes")]
    columns, width, height = 3, 300, 200
    plot = Plot(columns * width, math.ceil(len(names) / columns) * height + 24, title)
    plot.legend(70, 10, [("EGGROLL", COLORS[0], "line")])
    plot.legend(190, 10, [("OpenES", COLORS[1], "line")])
    for i, env in enumerate(names):
        left, top = (i % columns) * width + 62, (i // columns) * height + 56
        curves = {a: [(x * scale, y) for x, y in mean_curve(runs_of(results, env, a), column)] for a in ("eggroll", "openes")}
        xs, ys = zip(*(p for c in curves.values() for p in c))
        low, high = min(ys), max(ys)
        pad = 0.06 * (high - low or 1)
        x_axis = (0, max(xs), False, nice_ticks(0, max(xs)), unit)
        y_axis = (low - pad, high + pad, False, nice_ticks(low - pad, high + pad), "")
        plot.axes(left, left + width - 86, x_axis, y_axis, "", top, top + height - 76)
        plot.text(left, top - 8, short(env), weight="600")
        for color, points in zip(COLORS, curves.values()):
            plot.curve(points, color)
    plot.save(str(path))


def write(results, names, docs, ranked):
    page = docs / "results.md"
    text = page.read_text()
    begin, end = text.index(BEGIN), text.index(END)
    middle = f"{BEGIN}\n{table(results, names)}\n\n{settings_list(results, names, ranked)}\n"
    page.write_text(text[:begin] + middle + text[end:])
    plots = docs / "plots"
    draw(results, names, 0, "million steps", 1e-6, "Return of the unperturbed policy against steps", plots / "rl-steps.svg")
    draw(results, names, 1, "processor seconds", 1, "Return of the unperturbed policy against time", plots / "rl-time.svg")
    (docs / "data").mkdir(exist_ok=True)
    with (docs / "data" / "rl-search.jsonl").open("w") as file:
        for entry in results.lines.values():
            if not entry["key"].startswith("curve "):
                file.write(json.dumps({k: v for k, v in entry.items() if k != "curve"}) + "\n")
