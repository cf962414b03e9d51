"""report: the results of a comparison as text, Markdown, JSON, and one self-contained HTML page."""
import html
import json
import math
import statistics

import spread as expectation

NOT_BROKERS = ("sluice", "null", "null_write", "disk")  # ourselves, and what has no promise
PERCENTILES = ("p50", "p90", "p99", "p99.9", "p99.99", "max")
COLOURS = {"sluice": "var(--a)", "kafka": "var(--b)", "null": "var(--c)", "tansu": "var(--d)", "null_write": "var(--d)", "disk": "var(--c)"}


REPEAT_SAID = ("±: an equal run gives a median within that in 95 % of cases (×÷3: between a third and three times), if the "
               "machine does not change meanwhile")


def spread(rounds, key):
    """Median, least, most of a figure over the rounds, and what a repeat may give (None: one round); None if a round lacks it."""
    values = [value(r, key) for r in rounds]
    if not values or any(v is None for v in values):
        return None
    return statistics.median(values), min(values), max(values), expectation.expected(values)


def value(r, key):
    for part in key.split("/"):
        if not isinstance(r, dict) or part not in r:
            return None
        r = r[part]
    return r


def number(v):
    if v is None:
        return "-"
    if v >= 100:
        return f"{v:,.0f}"
    return f"{v:.2f}" if v < 10 else f"{v:.1f}"


def repeat(s):
    """How far the median of a repeat may be from that of a spread; empty: one round does not say."""
    if s[3] is None:
        return ""
    middle, (least, most) = s[0], s[3]
    if least <= 0:
        return f"±{number(most - middle)}"
    times = most / middle
    return f"±{(times - 1) * 100:.0f} %" if times < 1.5 else f"×÷{times:.1f}" if times < 100 else "×÷>100"


def seen(s):
    return f"{number(s[1])}-{number(s[2])}"


def cell(s):
    """Median, what a repeat may give, range."""
    return "-" if s is None else " ".join(w for w in (number(s[0]), repeat(s), f"({seen(s)})") if w)


# (title, key, better when) for each kind of load
COLUMNS = {
    "produce": [("records/s", "records_per_s", "more"), ("p50 us", "latency_us/p50", "less"),
                ("p99 us", "latency_us/p99", "less"), ("p99.9 us", "latency_us/p99.9", "less"),
                ("CPU s per M records", "cpu_s_per_m_records", "less")],
    "idle": [("share of a core", "broker_core_share", "less"),
             ("bytes a connection", "broker_bytes_per_connection", "less")],
}
COLUMNS["start"] = [("s to ready", "ready_s", "less"), ("MiB of its own", "own_mib", "less"),
                    ("MiB in shared memory", "pools_mib", "less")]
COLUMNS["memory"] = [("MiB of its own", "own_mib", "less"), ("MiB before the load", "started_mib", "less"),
                     ("MiB in shared memory", "pools_mib", "less")]
COLUMNS["fetch"] = COLUMNS["produce"]
COLUMNS["e2e"] = COLUMNS["produce"][1:]
COLUMNS["mixed"] = COLUMNS["produce"] + [("consumed/s", "fetch/records_per_s", "more")]


def medians(entry):
    return {k: {key: spread(rounds, key) for _, key, _ in COLUMNS[entry["load"]]}
            for k, rounds in entry["rounds"].items() if rounds}


def main_column(entry):
    return COLUMNS[entry["load"]][0]


def ratios(entry):
    """Lines such as "7.1x stock Kafka"; empty while a peer has no figure."""
    title, key, better = main_column(entry)
    m, lines = medians(entry), []
    if "sluice" not in m or m["sluice"][key] is None:
        return lines
    ours = m["sluice"][key][0]
    for peer in m:
        theirs = m[peer][key] and m[peer][key][0]
        if peer == "sluice" or not theirs:
            continue
        lines.append(f"{title}: {ours / theirs:.2f}x {peer}" if better == "more"
                     else f"{title}: {ours / theirs:.2f} of {peer}'s")
    return lines


def losses(everything):
    """Every column in which Sluice is behind a real broker."""
    found = []
    for name, entry in everything.items():
        m = medians(entry)
        for peer in m:
            if peer in NOT_BROKERS or "sluice" not in m:
                continue
            for title, key, better in COLUMNS[entry["load"]]:
                a, b = m["sluice"][key], m[peer][key]
                if a and b and (a[0] < b[0] if better == "more" else a[0] > b[0]):
                    found.append((name, title, number(a[0]), peer, number(b[0])))
    return found


def nothing_lost(everything):
    real = any(peer not in NOT_BROKERS for entry in everything.values() for peer in entry["rounds"])
    return "In no column measured." if real else "No other broker was measured."


def text_rows(name, entry):
    columns = COLUMNS[entry["load"]]
    lines = [f"\n{name}: {entry['what']}", f"  {'':8}" + "".join(f"{t:>38}" for t, _, _ in columns)]
    for peer, m in medians(entry).items():
        lines.append(f"  {peer:8}" + "".join(f"{cell(m[key]):>38}" for _, key, _ in columns))
    lines += [f"  sluice {line}" for line in ratios(entry)]
    return "\n".join(lines)


def noise(about):
    if "stolen_share" not in about:
        return ""
    return (f"Others used {about['busy_before']:.0%} of the processors before the run; the hypervisor took "
            f"{about['stolen_share']:.0%} of them in it.")


def markdown(about, everything, failure):
    out = ["# Comparison", ""]
    if failure:
        out += [f"**Partial: not everything was measured ({failure}).**", ""]
    out += [f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, Linux {about['kernel']}; loopback; load: one "
            f"thread of sluice-bench. Durability `{about['durability']}`. Median of {about['rounds']} rounds of "
            f"{about['seconds']} s in turns, range in brackets. {REPEAT_SAID}. {noise(about)}", ""]
    out += [f"- {p['title']}: {p['promise']}; {p['start_s']} s to start" for p in about["peers"].values()]
    out += ["", f"Repeat: `{about['command'].strip()}`", ""]
    for name, entry in everything.items():
        columns = COLUMNS[entry["load"]]
        out += [f"## {name}", "", entry["what"], "",
                "| | " + " | ".join(t for t, _, _ in columns) + " |", "|---|" + "---:|" * len(columns)]
        for peer, m in medians(entry).items():
            out.append(f"| {peer} | " + " | ".join(cell(m[key]) for _, key, _ in columns) + " |")
        out += [""] + [f"Sluice {line}" for line in ratios(entry)] + [""]
        if limits(entry):
            out += [f"The load's thread was busy all the time against {', '.join(limits(entry))}: there it is the limit.", ""]
    out += ["## Where Sluice loses", ""]
    lost = losses(everything)
    out += [f"- {n}, {title}: {a} against {peer}'s {b}" for n, title, a, peer, b in lost] or [nothing_lost(everything)]
    return "\n".join(out) + "\n"


# ---- pictures ----

BAR = 350  # of 600; behind it the figure


def far(s):
    """The most that a bar's lines show."""
    return max(s[2], s[3][1]) if s[3] else s[2]


def bars(entry):
    title, key, better = main_column(entry)
    m = {k: v[key] for k, v in medians(entry).items() if v[key]}
    top = max((max(s[2], min(far(s), 1.3 * s[2])) for s in m.values()), default=0) or 1
    rows = []
    for i, (peer, s) in enumerate(m.items()):
        y, w, low, high = 8 + i * 30, BAR * s[0] / top, BAR * s[1] / top, BAR * s[2] / top
        near, end = BAR * (s[3] or s[1:])[0] / top, min(BAR, BAR * far(s) / top)
        rows.append(f'<text x="62" y="{y + 15}" text-anchor="end">{peer}</text>'
                    f'<rect x="70" y="{y}" width="{max(w, 1):.1f}" height="20" rx="2" fill="{COLOURS.get(peer, "var(--d)")}"/>'
                    f'<path d="M{70 + near:.1f} {y + 10}H{70 + end:.1f}" stroke="var(--ink)" stroke-width="1" stroke-dasharray="2 2"/>'
                    f'<path d="M{70 + low:.1f} {y + 10}H{70 + high:.1f}" stroke="var(--ink)" stroke-width="3"/>'
                    f'<text x="{78 + max(high, end):.1f}" y="{y + 15}">{number(s[0])} {repeat(s)}</text>')
    height = 12 + 30 * len(m)
    return (f'<figure><figcaption>{title} ({better} is better; line: range of the rounds; dotted: of a repeat\'s median)</figcaption>'
            f'<svg viewBox="0 0 600 {height}" role="img" aria-label="{title}">{"".join(rows)}</svg></figure>')


def curves(entry):
    """Latency by percentile, logarithmic."""
    data = {}
    for peer, rounds in entry["rounds"].items():
        points = [spread(rounds, f"latency_us/{p}") for p in PERCENTILES]
        if points and all(points):
            data[peer] = [max(p[0], 0.1) for p in points]
    if not data:
        return ""
    low = math.floor(math.log10(min(min(v) for v in data.values())))
    high = math.ceil(math.log10(max(max(v) for v in data.values()))) or 1
    high = max(high, low + 1)

    def at(i, v):
        return 60 + i * 100, 190 - 170 * (math.log10(v) - low) / (high - low)

    parts = []
    for e in range(low, high + 1):
        y = at(0, 10 ** e)[1]
        parts.append(f'<path d="M60 {y:.1f}H570" stroke="var(--grid)"/><text x="54" y="{y + 4:.1f}" text-anchor="end">{10 ** e:,g}</text>')
    for i, p in enumerate(PERCENTILES):
        parts.append(f'<text x="{60 + i * 100}" y="208" text-anchor="middle">{p}</text>')
    for k, (peer, values) in enumerate(data.items()):
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(i, v) for i, v in enumerate(values)))
        colour = COLOURS.get(peer, "var(--d)")
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(f'<rect x="{70 + k * 110}" y="4" width="12" height="12" fill="{colour}"/><text x="{86 + k * 110}" y="14">{peer}</text>')
    return ('<figure><figcaption>latency in us by percentile (median of the rounds)</figcaption>'
            f'<svg viewBox="-14 0 614 216" role="img" aria-label="latency by percentile">{"".join(parts)}</svg></figure>')


def over_time(entry):
    """p99 of each piece of the measured time, of the round in the middle; logarithmic."""
    data = {}
    for peer, rounds in entry["rounds"].items():
        rounds = [r for r in rounds if len(r.get("timeline") or []) > 1]
        if rounds:
            middle = sorted(rounds, key=lambda r: r["records_per_s"])[len(rounds) // 2]
            data[peer] = [(p[0], max(p[3], 0.1)) for p in middle["timeline"] if p[3] > 0]
    data = {k: v for k, v in data.items() if len(v) > 1}
    if not data:
        return ""
    low = math.floor(math.log10(min(v for line in data.values() for _, v in line)))
    high = max(low + 1, math.ceil(math.log10(max(v for line in data.values() for _, v in line))))
    end = max(t for line in data.values() for t, _ in line) or 1
    parts = []
    for e in range(low, high + 1):
        y = 190 - 170 * (e - low) / (high - low)
        parts.append(f'<path d="M60 {y:.1f}H570" stroke="var(--grid)"/><text x="54" y="{y + 4:.1f}" text-anchor="end">{10 ** e:,g}</text>')
    for k in range(6):
        parts.append(f'<text x="{60 + k * 102}" y="208" text-anchor="middle">{end * k / 5:.1f} s</text>')
    for k, (peer, line) in enumerate(data.items()):
        points = " ".join(f"{60 + 510 * t / end:.1f},{190 - 170 * (math.log10(v) - low) / (high - low):.1f}" for t, v in line)
        colour = COLOURS.get(peer, "var(--d)")
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<rect x="{70 + k * 110}" y="4" width="12" height="12" fill="{colour}"/><text x="{86 + k * 110}" y="14">{peer}</text>')
    return ('<figure><figcaption>p99 in us over the time of a turn (the round in the middle)</figcaption>'
            f'<svg viewBox="-14 0 614 216" role="img" aria-label="latency over time">{"".join(parts)}</svg></figure>')


def stage_rows(entry):
    """Where Sluice's microseconds went, in the round in the middle: [class, stage, count, p50, p99]."""
    rounds = [r for r in entry["rounds"].get("sluice", []) if r.get("stages")]
    if not rounds:
        return []
    rows = sorted(rounds, key=lambda r: r.get("records_per_s", 0))[len(rounds) // 2]["stages"]
    most = max(r[2] for r in rows)
    return [r for r in rows if r[0] in ("produce", "fetch") and r[2] > most / 100]


def stages(entry):
    rows = stage_rows(entry)
    if not rows:
        return ""
    cells = "".join(f"<tr><td>{c} {s}</td><td>{n:,}</td><td>{number(a)}</td><td>{number(b)}</td></tr>" for c, s, n, a, b in rows)
    return ('<figure><figcaption>where the time goes in Sluice: us to each point from the one before (upper edge of a bucket)'
            f'</figcaption><div class="wide"><table><tr><th></th><th>count</th><th>p50</th><th>p99</th></tr>{cells}</table></div></figure>')


def limits(entry):
    """Peers in whose turns the load's own thread was busy all the time."""
    return [k for k, rounds in entry["rounds"].items() if rounds and all(r.get("client_is_limit") for r in rounds)]


STYLE = """
:root{--bg:#fff;--ink:#1b1f24;--soft:#57606a;--grid:#d8dee4;--a:#0a7d5a;--b:#b4531a;--c:#7a7f87;--d:#5a4fcf}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--ink:#e6e8ea;--soft:#9aa4ad;--grid:#353c44;--a:#3ecf9c;--b:#f09a5b;--c:#9aa0a6;--d:#a59cff}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1100px;padding:1rem;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem}h2{margin-top:2.2rem;border-top:1px solid var(--grid);padding-top:1rem}p,li{color:var(--soft)}
.row{display:grid;grid-template-columns:1fr 1fr;gap:1rem}figure{margin:0;min-width:0}figcaption{font-size:.85rem;color:var(--soft)}
svg{width:100%;height:auto}svg text{fill:var(--ink);font:12px system-ui,sans-serif}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.3rem .6rem;border-bottom:1px solid var(--grid);white-space:nowrap}th:first-child,td:first-child{text-align:left}
td small{color:var(--soft);display:block}code{background:var(--grid);padding:.1rem .3rem;border-radius:3px;overflow-wrap:anywhere}
.partial{color:#fff;background:#a4262c;padding:.5rem 1rem}
@media(max-width:700px){svg text{font-size:15px}.row{grid-template-columns:1fr}body{padding:.6rem}}
"""


def table(entry):
    columns = COLUMNS[entry["load"]]
    rows = ["<tr><th></th>" + "".join(f"<th>{t}</th>" for t, _, _ in columns) + "</tr>"]
    for peer, m in medians(entry).items():
        cells = ["<td>-</td>" if m[key] is None else
                 f"<td>{number(m[key][0])}<small>{repeat(m[key])}</small><small>{seen(m[key])}</small></td>"
                 for _, key, _ in columns]
        rows.append(f"<tr><td>{peer}</td>{''.join(cells)}</tr>")
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def page(about, everything, failure):
    e = html.escape
    out = [f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
           f"<title>Sluice: comparison</title><style>{STYLE}</style><h1>Sluice and stock Kafka, the same load in turns</h1>"]
    if failure:
        out.append(f"<p class=partial>Partial: not everything was measured ({e(failure)}).</p>")
    out.append(f"<p>{e(about['cpu'])}, {about['cores']} cores, {about['memory_gib']} GiB, Linux {e(about['kernel'])}; loopback; "
               f"load: one thread of sluice-bench. Durability <code>{about['durability']}</code>. Median of {about['rounds']} "
               f"rounds of {about['seconds']} s, in turns; below it what a repeat may give and the range. {REPEAT_SAID}. {noise(about)}</p><ul>")
    out += [f"<li>{e(p['title'])}: {e(p['promise'])}; {p['start_s']} s to start</li>" for p in about["peers"].values()]
    out.append(f"</ul><p>Repeat: <code>{e(about['command'].strip())}</code></p><h2>Where Sluice loses</h2>")
    lost = losses(everything)
    out.append("<ul>" + "".join(f"<li>{n}, {t}: {a} against {p}'s {b}</li>" for n, t, a, p, b in lost) + "</ul>"
               if lost else f"<p>{nothing_lost(everything)}</p>")
    for name, entry in everything.items():
        lines = "; ".join(ratios(entry))
        out.append(f"<h2>{e(name)}</h2><p>{e(entry['what'])}{'. Sluice ' + e(lines) if lines else ''}</p>"
                   f"<div class=row>{bars(entry)}{curves(entry)}{over_time(entry)}{stages(entry)}</div>{table(entry)}")
        if limits(entry):
            out.append(f"<p>The load's thread was busy all the time against {e(', '.join(limits(entry)))}: there it is the limit.</p>")
    return "".join(out) + "</html>\n"


def write(folder, about, everything, failure):
    (folder / "compare.json").write_text(json.dumps(
        {"about": about, "partial": failure, "scenarios": everything}, indent=1))
    (folder / "compare.md").write_text(markdown(about, everything, failure))
    (folder / "compare.html").write_text(page(about, everything, failure))
