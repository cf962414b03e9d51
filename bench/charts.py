"""charts: the pictures of a comparison as inline SVG. Colours are variables of the page's style; no script, nothing fetched."""
import html
import math

import figures

COLOURS = {"sluice": "var(--a)", "kafka": "var(--b)", "null": "var(--c)", "tansu": "var(--d)", "null_write": "var(--e)", "disk": "var(--f)"}
WIDTH = 480  # of every picture; the texts are 13 of that (15 on a narrow page), so that a phone shows them as well
LEFT = 94  # room for a name
RIGHT = 126  # room for a figure behind a bar
BAR = WIDTH - LEFT - RIGHT


def colour(peer):
    return COLOURS.get(peer, "var(--d)")


def short(v):
    """A figure in little room: 21.2M."""
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if v >= size:
            return figures.number(v / size) + unit
    return f"{v / 1e3:.0f}k" if v >= 1e5 else figures.number(v)


def figure(kind, caption, legend, height, parts):
    e = html.escape
    keys = "".join(f'<span style="--k:{c}">{e(name)}</span>' for name, c in legend)
    return (f'<figure class={kind}><figcaption>{e(caption)}</figcaption>{f"<p class=legend>{keys}</p>" if keys else ""}'
            f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{e(caption, quote=True)}">{"".join(parts)}</svg></figure>')


def far(s):
    """The most that a bar's lines show."""
    return max(s[2], s[3][1]) if s[3] else s[2]


def bars(entry, column):
    """One figure of every peer: median, range of the rounds, and what a repeat's median may be."""
    title, key, better = column
    m = {k: v[key] for k, v in figures.medians(entry).items() if v[key]}
    if not m:
        return ""
    top = max(max(s[2], min(far(s), 1.3 * s[2])) for s in m.values()) or 1
    rows = []
    for i, (peer, s) in enumerate(m.items()):
        y, w, low, high = 4 + i * 30, BAR * s[0] / top, BAR * s[1] / top, BAR * s[2] / top
        near, end = BAR * (s[3] or s[1:])[0] / top, min(BAR, BAR * far(s) / top)
        rows.append(f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{html.escape(peer)}</text>'
                    f'<rect x="{LEFT}" y="{y}" width="{max(w, 1):.1f}" height="20" rx="2" fill="{colour(peer)}"/>'
                    f'<path d="M{LEFT + near:.1f} {y + 10}H{LEFT + end:.1f}" stroke="var(--ink)" stroke-width="1" stroke-dasharray="2 2"/>'
                    f'<path d="M{LEFT + low:.1f} {y + 10}H{LEFT + high:.1f}" stroke="var(--ink)" stroke-width="3"/>'
                    f'<text x="{LEFT + 7 + max(w, high, end):.1f}" y="{y + 15}">{short(s[0])} {figures.repeat(s)}</text>')
    return figure("bars", f"{title}: {better} is better (line: range of the rounds; dotted: of a repeat's median)", (),
                  6 + 30 * len(m), rows)


def all_bars(entry):
    """Of what a row is about, and of all that it tells but latency: CPU, memory, the other direction."""
    columns = figures.COLUMNS[entry["load"]]
    return "".join(bars(entry, c) for i, c in enumerate(columns) if i == 0 or not c[1].startswith("latency_us"))


def decades(values):
    """(lowest, highest) power of ten around values above 0."""
    low = math.floor(math.log10(min(values)))
    return low, max(low + 1, math.ceil(math.log10(max(values))))


def label(e):
    return f"{10 ** e / 1e6:g} s" if e >= 6 else f"{10 ** e / 1e3:g} ms" if e >= 3 else f"{10 ** e:g} us"


def grid(low, high):
    """Horizontal lines at the powers of ten, and the height of a value."""
    def at(v):
        return 190 - 176 * (math.log10(v) - low) / (high - low)
    parts = [f'<path d="M68 {at(10 ** e):.1f}H{WIDTH - 12}" stroke="var(--grid)"/><text x="63" y="{at(10 ** e) + 4:.1f}" '
             f'text-anchor="end">{label(e)}</text>' for e in range(low, high + 1)]
    return at, parts


def legend_of(data):
    return [(peer, colour(peer)) for peer in data]


def curves(entry):
    """Latency by percentile, logarithmic."""
    data = {}
    for peer, rounds in entry["rounds"].items():
        points = [(i, figures.spread(rounds, f"latency_us/{p}")) for i, p in enumerate(figures.PERCENTILES)]
        points = [(i, max(s[0], 0.1)) for i, s in points if s]  # other makers' programs do not tell all
        if len(points) > 1:
            data[peer] = points
    if not data:
        return ""
    at, parts = grid(*decades([v for line in data.values() for _, v in line]))
    xs = [86 + i * (WIDTH - 124) / (len(figures.PERCENTILES) - 1) for i in range(len(figures.PERCENTILES))]
    parts += [f'<text x="{x:.1f}" y="210" text-anchor="middle">{p}</text>' for x, p in zip(xs, figures.PERCENTILES)]
    for peer, points in data.items():
        line = " ".join(f"{xs[i]:.1f},{at(v):.1f}" for i, v in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour(peer)}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{xs[i]:.1f}" cy="{at(v):.1f}" r="3" fill="{colour(peer)}"><title>{html.escape(peer)} '
                  f'{figures.PERCENTILES[i]}: {figures.number(v)} us</title></circle>' for i, v in points]
    return figure("curves", "latency by percentile (median of the rounds)", legend_of(data), 218, parts)


def over_time(entry):
    """p99 of each piece of the measured time, of the round in the middle; logarithmic."""
    data, end = {}, 0
    for peer, rounds in entry["rounds"].items():
        rounds = [r for r in rounds if len(r.get("timeline") or []) > 1]
        if rounds:
            pieces = figures.middle(rounds)["timeline"]
            end = max(end, pieces[-1][0] + pieces[1][0] - pieces[0][0])  # a piece begins at its time
            data[peer] = [(p[0], max(p[3], 0.1)) for p in pieces if p[3] > 0]
    data = {k: v for k, v in data.items() if len(v) > 1}
    if not data:
        return ""
    at, parts = grid(*decades([v for line in data.values() for _, v in line]))
    wide = WIDTH - 106
    parts += [f'<text x="{76 + wide * k / 4:.1f}" y="210" text-anchor="middle">{end * k / 4:.3g} s</text>' for k in range(5)]
    for peer, line in data.items():
        points = " ".join(f"{76 + wide * t / end:.1f},{at(v):.1f}" for t, v in line)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour(peer)}" stroke-width="2"/>')
    return figure("time", "p99 over the time of a turn (the round in the middle)", legend_of(data), 218, parts)


def top_of_stages(everything):
    """The power of ten above every stage of every row, so that all their pictures have one scale."""
    seen = [v for entry in everything.values() for r in figures.stage_rows(entry) for v in r[3:5]]
    return max(2, math.ceil(math.log10(max(seen, default=1) or 1)))


def stages(name, entry, top):
    """Where Sluice's microseconds go: p50 and p99 of each stage side by side; logarithmic, from 0.1 to 10^top us."""
    rows = figures.stage_rows(entry)
    if not rows:
        return ""
    left, wide, height = 148, WIDTH - 148 - 74, 12 + 34 * len(rows)

    def width(v):
        return wide * min(1, max(0.005, (math.log10(max(v, 0.1)) + 1) / (top + 1)))

    parts = []
    for e in range(-1, top + 1):
        x = left + wide * (e + 1) / (top + 1)
        parts.append(f'<path d="M{x:.1f} 4V{height}" stroke="var(--grid)"/>')
        if (top - e) % 2 == 0:  # every other: there is room for no more
            parts.append(f'<text x="{x:.1f}" y="{height + 16}" text-anchor="middle">{label(e)}</text>')
    for i, (cls, stage, count, p50, p99) in enumerate(rows):
        y, whole = 8 + i * 34, stage == "total"
        bold = ' class="whole"' if whole else ""
        parts.append(f'<text x="{left - 8}" y="{y + 17}" text-anchor="end"{bold}>{cls} {stage}</text>')
        for k, (v, c) in enumerate(((p50, "var(--a)"), (p99, "var(--g)"))):
            parts.append(f'<rect x="{left}" y="{y + k * 12}" width="{width(v):.1f}" height="11" rx="2" fill="{c}">'
                         f'<title>{cls} {stage}, {count:,} times: {figures.number(v)} us</title></rect>'
                         f'<text class="small" x="{left + width(v) + 5:.1f}" y="{y + k * 12 + 10}">{figures.number(v)}</text>')
    return figure("stages", f"{name}: where the time goes in Sluice, us to each point from the one before (upper edge of a bucket)",
                  (("p50", "var(--a)"), ("p99", "var(--g)")), height + 24, parts)
