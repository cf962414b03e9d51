"""report_html: one page that holds everything: style and pictures are inline, nothing is fetched, no script."""
import html

import aims
import charts
import figures

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--ink:#1b1f24;--soft:#57606a;--grid:#d8dee4;--good:#0a6b4d;--bad:#a4262c;
--a:#0a7d5a;--b:#b4531a;--c:#7a7f87;--d:#5a4fcf;--e:#8a6a00;--f:#b0307a;--g:#7fc4ae}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--ink:#e6e8ea;--soft:#9aa4ad;--grid:#353c44;--good:#3ecf9c;--bad:#ff8a80;
--a:#3ecf9c;--b:#f09a5b;--c:#9aa0a6;--d:#a59cff;--e:#d9b34a;--f:#f07ab8;--g:#23745a}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1100px;padding:1rem;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.25}h2{margin-top:2.2rem;border-top:1px solid var(--grid);padding-top:1rem}p,li,dd{color:var(--soft)}
p,li,dd,td{overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{font-weight:600}dd{margin:0}
.row{display:grid;grid-template-columns:1fr 1fr;gap:1.2rem;align-items:start}figure{margin:0;min-width:0}
figcaption,.legend{font-size:.85rem;color:var(--soft);margin:0}.legend span{margin-right:1rem;white-space:nowrap}
.legend span::before{content:"";display:inline-block;width:.8em;height:.8em;border-radius:2px;background:var(--k);margin-right:.35em}
svg{width:100%;height:auto;display:block}svg text{fill:var(--ink);font:13px system-ui,sans-serif}svg .small{font-size:11px}svg .whole{font-weight:700}
.wide{overflow-x:auto;margin:1rem 0}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.3rem .6rem;border-bottom:1px solid var(--grid);white-space:nowrap}
th:first-child,td:first-child,.words td:nth-child(2),.words th:nth-child(2),td.said,th.said{text-align:left}td.said{white-space:normal;min-width:11rem}
td small{color:var(--soft);display:block}.reached{color:var(--good)}.missed{color:var(--bad);font-weight:600}
code{background:var(--grid);padding:.1rem .3rem;border-radius:3px;overflow-wrap:anywhere}summary{cursor:pointer;color:var(--soft)}
.partial{color:#fff;background:#a4262c;padding:.5rem 1rem}
@media(max-width:700px){svg text{font-size:15px}svg .small{font-size:13px}.row{grid-template-columns:1fr}body{padding:.6rem}
dl{grid-template-columns:1fr}dt{margin-top:.4rem}th,td{padding:.3rem .35rem}
.words{font-size:.85rem}.words td,.words th{white-space:normal}.words td{overflow-wrap:normal}td.said{min-width:4.6rem}}
"""
e = html.escape


def table(rows, kind="figures"):
    """rows of cells that are HTML; the first row is headings. Scrolls sideways where the page is too narrow."""
    tags = ["th"] + ["td"] * (len(rows) - 1)
    body = "".join("<tr>" + "".join(c if c.startswith("<t") else f"<{t}>{c}</{t}>" for c in row) + "</tr>" for t, row in zip(tags, rows))
    return f'<div class=wide><table class="{kind}">{body}</table></div>'


def run_facts(about):
    rows = [(what, e(text)) for what, text in figures.facts(about)]
    rows.append(("repeat", f"<code>{e(figures.command(about))}</code>"))
    return "<dl class=facts>" + "".join(f"<dt>{what}</dt><dd>{text}</dd>" for what, text in rows) + "</dl>"


def peers(about):
    out = []
    for p in about["peers"].values():
        settings = "".join(f"<li><code>{e(s)}</code></li>" for s in p.get("settings", []))
        out.append(f"<li>{e(p['title'])}: {e(p['promise'])}; {p['start_s']} s to start"
                   + (f"<details><summary>settings</summary><ul>{settings}</ul></details>" if settings else "") + "</li>")
    return f"<ul class=peers>{''.join(out)}</ul>"


def losses(everything):
    lost = figures.losses(everything)
    if not lost:
        return f"<p>{figures.nothing_lost(everything)}</p>"
    rows = [["row", "figure", "ours", "theirs", "ratio"]]
    rows += [[e(n), e(t), a, f"{b} <small>{e(p)}</small>", ratio] for n, t, a, p, b, ratio in lost]
    return table(rows, "words losses")


def aim_row(a):
    """The verdict stands near the front: a narrow page shows that much without scrolling."""
    note = f"<small>{e(a['note'])}</small>" if a["note"] else ""
    return [e(a["row"]), e(a["figure"]), f"<td class={a['verdict']}>{a['verdict']}</td>", a["ratio"] or a["ours"],
            f"<td class=said>{e(a['aim'])}{note}</td>", a["ours"], a["theirs"]]


def reached(about, everything):
    found = aims.judged(about, everything)
    rows = [aim_row(a) for a in found if a["verdict"] != "not measured"]
    out = [f"<h2>Against the aims</h2>{'' if rows else '<p>None is judged by this run.</p>'}"] if found else []
    if rows:
        out.append(table([["row", "figure", "", "measured", "<th class=said>aim</th>", "ours", "yardstick"], *rows], "words aims"))
    if aims.unmeasured(found):
        out.append(f"<p>Aims that this run does not judge: {e(aims.unmeasured(found))}.</p>")
    return "".join(out)


def stages(everything):
    top = charts.top_of_stages(everything)
    drawn = "".join(charts.stages(name, entry, top) for name, entry in everything.items())
    return f"<h2>Where the microseconds go in Sluice</h2><div class=row>{drawn}</div>" if drawn else ""


def medians(entry):
    columns = figures.COLUMNS[entry["load"]]
    rows = [["", *(e(t) for t, _, _ in columns)]]
    for peer, m in figures.medians(entry).items():
        rows.append([e(peer), *("-" if m[key] is None else
                                f"{figures.number(m[key][0])}<small>{figures.repeat(m[key])}</small><small>{figures.seen(m[key])}</small>"
                                for _, key, _ in columns)])
    return table(rows)


def scenario(name, entry):
    lines = "; ".join(figures.ratios(entry))
    out = [f"<h2>{e(name)}</h2><p>{e(entry['what'])}{'. Sluice ' + e(lines) if lines else ''}</p>"]
    if entry.get("options"):
        out.append(f"<p>Load: <code>{e(entry['options'])}</code></p>")
    out.append(f"<div class=row>{charts.all_bars(entry)}{charts.curves(entry)}{charts.over_time(entry)}</div>{medians(entry)}")
    if figures.limits(entry):
        out.append(f"<p>The load's thread was busy all the time against {e(', '.join(figures.limits(entry)))}: there it is the limit.</p>")
    return "".join(out)


def page(about, everything, failure):
    out = ["<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width,initial-scale=1'>"
           f"<title>Sluice: comparison</title><style>{STYLE}</style><h1>Sluice and stock Kafka, the same load in turns</h1>"]
    if failure:
        out.append(f"<p class=partial>Partial: not everything was measured ({e(failure)}).</p>")
    out += [run_facts(about), peers(about),
            f"<p>Figures are medians of the rounds; below each what a repeat may give, and the range. {figures.REPEAT_SAID}.</p>",
            "<h2>Where Sluice loses</h2>", losses(everything), reached(about, everything), stages(everything)]
    out += [scenario(name, entry) for name, entry in everything.items()]
    return "".join(out) + "</html>\n"
