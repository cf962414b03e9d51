"""What the reports of a comparison show: every part of a whole result is there, in figures that are known beforehand, and
what a result does not hold is left out, not invented. And the aims: how they are read, refused and judged."""
import html.parser
import json
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as xml

import kafka_dist
from runner import check, equal

FOLDER = kafka_dist.ROOT / "bench"
sys.path.append(str(FOLDER))

import aims  # noqa: E402
import charts  # noqa: E402
import figures  # noqa: E402
import report  # noqa: E402
import report_html  # noqa: E402

LETTER = 8.5  # width of a letter in the largest font that a picture's texts get (15), on average
STAGES = [["produce", "total", 900, 65.536, 262.144], ["produce", "parsed", 900, 4.096, 8.192], ["produce", "durable", 900, 0.256, 0.512],
          ["fetch", "total", 800, 1048.576, 4194304.0], ["fetch", "replied", 800, 16.384, 32.768], ["other", "total", 2, 9.0, 9.0]]


def loaded(rate, p50, cpu, stages=()):
    """One turn of a load with records."""
    r = {"records_per_s": rate, "records": rate, "cpu_s_per_m_records": cpu, "client_is_limit": False,
         "latency_us": {p: p50 * (i + 1) for i, p in enumerate(figures.PERCENTILES)},
         "timeline": [[k / 40, 100, p50, p50 * (2 + k % 3), p50 * 9] for k in range(40)]}
    return r | ({"stages": list(stages)} if stages else {})


def turns(one, *others):
    """Three rounds of each peer: a little less, this, a little more, in every figure that is a number."""
    def scaled(v, by):
        if isinstance(v, dict):
            return {k: scaled(x, by) for k, x in v.items()}
        return v if isinstance(v, (bool, list, str)) else v * by
    return {peer: [scaled(r, by) for by in (0.9, 1, 1.1)] for peer, r in (("sluice", one), *others)}


def whole():
    """A result with every load, every peer of the usual comparison, and all that it may hold."""
    rows = {
        "P16K": ("produce", turns(loaded(8e6, 300, 0.1, STAGES[:3]), ("kafka", loaded(1e6, 4000, 2)), ("null", loaded(2e7, 100, 0.04)))),
        "P1": ("produce", turns(loaded(900000, 70, 1, STAGES[:3]), ("kafka", loaded(30000, 1900, 40)), ("null", loaded(2e6, 30, 0.4)))),
        "E2E": ("e2e", turns(loaded(1000, 50, 60, STAGES), ("kafka", loaded(1000, 200, 370)))),
        "F": ("fetch", turns(loaded(2e7, 1200, 0.03, STAGES[3:5]), ("kafka", loaded(4e7, 1100, 0.02)))),
        "K1000": ("produce", turns(loaded(450000, 120, 2, STAGES[:3]), ("kafka", loaded(3000, 9000, 300)))),
        "both": ("mixed", turns(loaded(5e5, 90, 1, STAGES) | {"fetch": {"records_per_s": 4e5}},
                                ("kafka", loaded(2e5, 900, 3) | {"fetch": {"records_per_s": 1e5}}))),
        "I": ("idle", turns({"broker_core_share": 0.004, "broker_bytes_per_connection": 900},
                            ("kafka", {"broker_core_share": 0.01, "broker_bytes_per_connection": 140}))),
        "R": ("memory", turns({"own_mib": 20, "started_mib": 12, "pools_mib": 376}, ("kafka", {"own_mib": 500, "started_mib": 440, "pools_mib": 0}))),
        "S": ("start", turns({"ready_s": 0.2, "own_mib": 12, "pools_mib": 370}, ("kafka", {"ready_s": 7, "own_mib": 440, "pools_mib": 0}))),
    }
    about = {"cpu": "Drawn CPU @ 2.50GHz", "cores": 2, "memory_gib": 24, "kernel": "6.1.0-drawn", "durability": "os", "rounds": 3, "seconds": 2,
             "warmup_s": 0.5, "versions": {"sluice": "0.1.0", "java": "17.0.9 <server>"}, "busy_before": 0.02, "stolen_share": 0.06,
             "command": "./dev compare --against kafka,null", "peers": {
                 "sluice": {"title": "Sluice", "promise": "os, 1 shard", "start_s": 0.6, "settings": ["sluice.shards=1", "sluice.durability=os"]},
                 "kafka": {"title": "stock Kafka", "promise": "os, 2 cores, heap 1 GiB", "start_s": 8.5, "settings": ["log.retention.hours=168"]},
                 "null": {"title": "null broker", "promise": "none", "start_s": 0.02}}}
    scenarios = {n: {"what": f"what {n} is", "load": load, "options": f"--records 1 --row {n}", "rounds": r} for n, (load, r) in rows.items()}
    return about, scenarios


class Page(html.parser.HTMLParser):
    """The page's tables as lists of rows of texts, its figures by class, its texts; refuses what is left open."""
    EMPTY = ("meta",)

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.figures, self.words, self.cell = [], {}, {}, [], None
        self.feed(text)
        self.close()
        check(self.open == ["html"] or not self.open, f"left open: {self.open}")

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        check("href" not in attrs and "src" not in attrs and tag not in ("script", "link", "img"), f"fetches something: {tag} {attrs}")
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag == "table":
            self.rows = self.tables.setdefault(attrs["class"], [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.cell = []
        elif tag == "figure":
            self.figures[attrs["class"]] = self.figures.get(attrs["class"], 0) + 1

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        equal(self.open.pop(), tag, f"the tag that ends at {self.getpos()}")
        if tag in ("td", "th"):
            self.rows[-1].append(" ".join(w.strip() for w in self.cell if w.strip()))
            self.cell = None

    def handle_data(self, data):
        (self.words if self.cell is None else self.cell).append(data)

    def text(self):
        return " ".join(self.words)


def body(text):
    """A page without its style."""
    return re.sub(r"<style>.*?</style>", "", text, flags=re.S)


def section(text, name):
    """That scenario's part of the page."""
    return text.split(f"<h2>{name}</h2>")[1].split("<h2>")[0]


def test_report_page_shows_every_part(context):
    about, scenarios = whole()
    text = body(report_html.page(about, scenarios, None))
    page = Page(text)
    said = page.text()
    for part in ("Drawn CPU @ 2.50GHz", "6.1.0-drawn", "24 GiB", "each after 0.5 s of load", "3 rounds of 2 s", "sluice 0.1.0",
                 "java 17.0.9 <server>", "sluice.shards=1", "log.retention.hours=168", "os, 2 cores, heap 1 GiB", "hypervisor took 6%",
                 "./dev compare --rounds 3 --seconds 2 --against kafka,null"):
        check(part in said, f"not on the page: {part}")
    # rows with records: rate and CPU; E2E latency and CPU; both one more; I two, R and S three
    equal(page.figures, {"bars": 4 * 2 + 2 + 3 + 2 + 3 + 3, "curves": 6, "time": 6, "stages": 6}, "pictures")
    for name in ("P16K", "P1", "E2E", "F", "K1000", "both"):
        part = section(text, name)
        for caption in ("CPU s per M records: less is better", "latency by percentile", "p99 over the time of a turn"):
            check(caption in part, f"{name} has no picture of {caption}")
        check(f"--row {name}" in part and f"what {name} is" in part, f"{name}: what it is and its options: {part[:300]}")
    check("records/s: more is better" in section(text, "P16K"), "throughput")
    check("consumed/s: more is better" in section(text, "both"), "the other direction")


def test_report_page_holds_the_aims(context):
    about, scenarios = whole()
    page = Page(report_html.page(about, scenarios, None))
    rows = page.tables["words aims"]
    for row in (["P16K", "records/s", "reached", "8.00", "at least 7 of kafka's", "8,000,000", "1,000,000"],
                ["K1000", "records/s", "missed", "0.5", "at least 0.7 of our P1's", "450,000", "900,000"],
                ["S", "s to ready", "reached", "0.2", "at most 0.3", "0.2", ""],
                ["R", "MiB of its own", "missed", "20.0", "at most 15.26 16 MB; after one turn's load, not a day's", "20.0", ""]):
        check(row in rows, f"{row} is not in {rows}")
    check("Aims that this run does not judge: P16K records/s at least 0.85 of null_write's." in page.text(), "what is not judged")


def test_report_losses_are_a_table(context):
    about, scenarios = whole()
    wanted = [["F", "records/s", "20,000,000", "40,000,000", "kafka", "0.5x"], ["F", "p50 us", "1,200", "1,100", "kafka", "1.09x"],
              ["I", "bytes a connection", "900", "140", "kafka", "6.43x"], ["R", "MiB in shared memory", "376", "0", "kafka", "-"]]
    rows = Page(report_html.page(about, scenarios, None)).tables["words losses"]
    equal(rows[0], ["row", "figure", "ours", "theirs", "ratio"], "heads")
    lines = report.markdown(about, scenarios, None).splitlines()
    for name, figure, ours, theirs, peer, ratio in wanted:
        check([name, figure, ours, f"{theirs} {peer}", ratio] in rows, f"{name} {figure} is not in {rows}")
        check(f"| {name} | {figure} | {ours} | {theirs} ({peer}) | {ratio} |" in lines, f"{name} {figure} is not in the summary")
    equal({r[0] for r in rows[1:]}, {"F", "I", "R", "S"}, "rows in which Sluice is behind")
    alone = {"P1": dict(scenarios["P1"], rounds={k: scenarios["P1"]["rounds"][k] for k in ("sluice", "kafka")})}
    for text in (report_html.page(about, alone, None), report.markdown(about, alone, None)):
        check("In no column measured." in text, "nothing is lost, and that is said")


def test_report_summary_shows_every_part(context):
    about, scenarios = whole()
    text = report.markdown(about, scenarios, None)
    for part in ("Drawn CPU @ 2.50GHz", "6.1.0-drawn", "24 GiB", "- versions: sluice 0.1.0, java 17.0.9 <server>", "each after 0.5 s of load",
                 "- durability: `os`", "`sluice.shards=1`, `sluice.durability=os`", "Repeat: `./dev compare --rounds 3 --seconds 2 --against",
                 "what P1 is (`--records 1 --row P1`)", "| P1 | produce durable | 900 | 0.256 | 0.512 |",
                 "| E2E | fetch replied | 800 | 16.4 | 32.8 |", "- Sluice records/s: 8.00x kafka",
                 "| K1000 | records/s | 450,000 | 900,000 | 0.5 | at least 0.7 of our P1's | **missed** |"):
        check(part in text, f"not in the summary: {part}\n{text}")
    equal(text.count("\n## "), len(scenarios) + 3, "rows, losses, aims, stages")
    check("other total" not in text, "only produce and fetch are told")


def test_report_of_an_older_result(context):
    """Without versions, warming, settings, options, timelines, stages, one round: fewer parts, and no empty ones."""
    about, scenarios = whole()
    for key in ("warmup_s", "versions", "busy_before", "stolen_share"):
        del about[key]
    for peer in about["peers"].values():
        peer.pop("settings", None)
    for entry in scenarios.values():
        del entry["options"]
        entry["rounds"] = {k: [{f: v for f, v in rounds[0].items() if f not in ("stages", "timeline")}] for k, rounds in entry["rounds"].items()}
    for text in (report.markdown(about, scenarios, "stopped"), body(report_html.page(about, scenarios, "stopped"))):
        for part in ("None", "nan", "versions", "each after", "settings", "noise", "Load:", "(``)", "where the time goes", "over the time", "±:  "):
            check(part not in text, f"an older result tells of {part!r}")
        check("Partial" in text and "stopped" in text, "not marked partial")
    equal(Page(report_html.page(about, scenarios, None)).figures, {"bars": 21, "curves": 6}, "pictures that are left")


def test_report_pictures_are_whole(context):
    """Every picture is well-formed, and no bar, line or text of it leaves its frame, whatever the figures."""
    about, scenarios = whole()
    hard = turns(loaded(99_999_999_999, 0.01, 1e-7, STAGES), ("null_write", loaded(1, 3e7, 12345.678)), ("tansu", loaded(5, 1, 1)))
    hard["sluice"][0] = loaded(1, 5e7, 3, STAGES)  # ×÷>100
    scenarios["hard"] = {"what": "far apart", "load": "produce", "rounds": hard}
    scenarios["zero"] = {"what": "nothing", "load": "idle", "rounds": turns({"broker_core_share": 0, "broker_bytes_per_connection": 0})}
    pictures = re.findall(r"<svg.*?</svg>", report_html.page(about, scenarios, None), re.S)
    check(len(pictures) > 40, f"{len(pictures)} pictures")
    for picture in pictures:
        root = xml.fromstring(picture)
        _, _, width, height = (float(x) for x in root.get("viewBox").split())
        equal(width, charts.WIDTH, "width")
        for x, y in places(root):
            check(-1 <= x <= width + 1 and -1 <= y <= height + 1, f"{root.get('aria-label')}: {x:.0f}, {y:.0f} is outside of {width:g} x {height:g}")


def places(root):
    """The corners of all that a picture shows."""
    for part in root:
        kind, at = part.tag, {k: float(v) for k, v in part.attrib.items() if k in ("x", "y", "width", "height", "cx", "cy")}
        if kind == "rect":
            yield from ((at["x"], at["y"]), (at["x"] + at["width"], at["y"] + at["height"]))
        elif kind == "text":
            wide = len(part.text) * LETTER * (13 / 15 if part.get("class") == "small" else 1)
            left = at["x"] - {"end": wide, "middle": wide / 2}.get(part.get("text-anchor"), 0)
            yield from ((left, at["y"] - 12), (left + wide, at["y"]))
        elif kind == "polyline":
            yield from (tuple(float(v) for v in p.split(",")) for p in part.get("points").split())
        elif kind == "path":
            x, y, way, end = re.fullmatch(r"M([-\d.]+) ([-\d.]+)([HV])([-\d.]+)", part.get("d")).groups()
            yield from ((float(x), float(y)), (float(end), float(y)) if way == "H" else (float(x), float(end)))
        elif kind == "circle":
            yield at["cx"], at["cy"]
        else:
            check(False, f"a picture holds {kind}")


def test_report_longer_bar_is_more(context):
    """The picture tells the figures: widths are in the ratio of the medians, stages longer where more time went."""
    about, scenarios = whole()
    root = xml.fromstring(re.search(r"<svg.*</svg>", charts.bars(scenarios["P16K"], figures.COLUMNS["produce"][0]), re.S)[0])
    ours, theirs, null = (float(r.get("width")) for r in root.findall("rect"))
    check(abs(ours / theirs - 8) < 0.5 and abs(null / ours - 2.5) < 0.1, f"{ours} {theirs} {null}")
    root = xml.fromstring(re.search(r"<svg.*</svg>", charts.stages("P16K", scenarios["P16K"], charts.top_of_stages(scenarios)), re.S)[0])
    widths = [float(r.get("width")) for r in root.findall("rect")]
    equal(len(widths), 6, "p50 and p99 of three stages")
    check(widths[0] > widths[2] > widths[4] and all(a < b for a, b in zip(widths[::2], widths[1::2])), f"{widths}")
    equal([t.text for t in root.findall("text") if t.get("class") == "small"], ["65.5", "262", "4.10", "8.19", "0.256", "0.512"], "figures")


def written(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "drawn.toml").write_text(text)
    return folder


def test_aims_refuse_what_is_wrong(context):
    row = 'what = "x"\nload = "produce"\noptions = {}\n'
    for i, (aim, word) in enumerate((
            ('{ figure = "records_per_s", of = "kafka", leest = 1 }', "unknown field leest"), ('"records_per_s"', "is no table"),
            ('{ figure = "ready_s", most = 1 }', "figure 'ready_s' is none of records_per_s"),
            ('{ of = "kafka", most = 1 }', "figure None"), ('{ figure = "records_per_s" }', "least or most"),
            ('{ figure = "records_per_s", least = 1, most = 2 }', "least or most"), ('{ figure = "records_per_s", least = 0 }', "above 0"),
            ('{ figure = "records_per_s", least = true }', "least or most"), ('{ figure = "records_per_s", least = "1" }', "least or most"),
            ('{ figure = "records_per_s", of = "pulsar", least = 1 }', "of = 'pulsar' is no peer"),
            ('{ figure = "records_per_s", of = "sluice", least = 1 }', "is no peer"),
            ('{ figure = "records_per_s", row = "P2", least = 1 }', "row = 'P2'"), ('{ figure = "records_per_s", row = "P1", least = 1 }', "no other row"),
            ('{ figure = "records_per_s", row = "I", least = 1 }', "row = 'I'"),
            ('{ figure = "records_per_s", of = "kafka", row = "L1", least = 1 }', "of and row"),
            ('{ figure = "records_per_s", of = "kafka", least = 1, note = 3 }', "texts"),
            ('{ figure = "latency_us/p50", of = "disk", most = 1, plus = ["L1", "null"], plus_is = "x" }', "plus is"),
            ('{ figure = "latency_us/p50", of = "disk", most = 1, plus = ["L1", "null", "own_mib"], plus_is = "x" }', "plus is"),
            ('{ figure = "latency_us/p50", of = "disk", most = 1, plus = ["L1", "null", "latency_us/p50"] }', "both or none"),
            ('{ figure = "latency_us/p50", of = "disk", least = 1, plus = ["L1", "null", "latency_us/p50"], plus_is = "x" }', "most"))):
        folder = written(context.scratch / f"aims-{i}", f'[P1]\n{row}aims = [{{ figure = "records_per_s", least = 1 }}, {aim}]\n[L1]\n{row}'
                         '[I]\nwhat = "x"\nload = "idle"\noptions = {}\n')
        refused(folder, "drawn.toml: [P1] aims[1]: ", word)
    refused(written(context.scratch / "aims-d", f'[P1]\n{row}durability = "hope"\n'), "drawn.toml: [P1] durability: ", "'hope'")
    refused(written(context.scratch / "aims-l", f'[P1]\n{row}aims = 3\n'), "drawn.toml: [P1] aims: ", "is no list")


def refused(folder, where, word):
    try:
        aims.load(folder)
    except ValueError as e:
        check(str(e).startswith(where) and word in str(e), f"{where}{word}: said {e}")
    else:
        check(False, f"taken: {(folder / 'drawn.toml').read_text()}")


def verdicts(scenarios, durability="os", **wanted):
    rows = {name: {"durability": "os", "aims": list(found)} for name, found in wanted.items()}
    return [a["verdict"] for a in aims.judged({"durability": durability}, scenarios, rows)]


def test_aims_are_judged(context):
    _, s = whole()
    rate = {"figure": "records_per_s"}
    equal(verdicts(s, P16K=[rate | {"of": "kafka", "least": 8}, rate | {"of": "kafka", "least": 8.01}, rate | {"of": "null", "most": 0.4},
                            rate | {"of": "null", "most": 0.39}, rate | {"of": "null_write", "least": 0.1}]),
          ["reached", "missed", "reached", "missed", "not measured"], "to peers, at the limit")
    equal(verdicts(s, K1000=[rate | {"row": "P1", "least": 0.5}, rate | {"row": "P1", "least": 0.51}, rate | {"row": "L1", "least": 0.5}]),
          ["reached", "missed", "not measured"], "to another row")
    equal(verdicts(s, S=[{"figure": "ready_s", "most": 0.2}, {"figure": "ready_s", "most": 0.19}],
                   I=[{"figure": "broker_core_share", "most": 0.01}], R=[{"figure": "own_mib", "least": 21}]),
          ["reached", "missed", "reached", "missed"], "figures themselves")
    equal(verdicts(s, L1=[rate | {"least": 1}]), [], "a row that was not run")
    equal(verdicts(s, durability="fsync", P16K=[rate | {"least": 1}]), [], "another promise")
    equal(verdicts({"P1": dict(s["P1"], rounds={"sluice": []})}, P1=[rate | {"least": 1}]), ["not measured"], "a row without figures")
    nothing = {"P1": dict(s["P1"], rounds=s["P1"]["rounds"] | {"null": [loaded(0, 1, 1)]})}
    equal(verdicts(nothing, P1=[rate | {"of": "null", "least": 1}]), ["not measured"], "of nothing")


def test_aims_of_several_lengths(context):
    """Turns of two lengths make two rows of each scenario: each is judged, against the other row of its own length."""
    _, s = whole()
    rows = {f"{n}, {seconds} s": dict(s[n], scenario=n, seconds=seconds) for seconds in (2, 30) for n in ("P1", "K1000")}
    rows["P1, 30 s"]["rounds"] = {"sluice": [loaded(4.5e6, 1, 1)]}
    wanted = {"K1000": {"durability": "os", "aims": [{"figure": "records_per_s", "row": "P1", "least": 0.5}]}}
    found = aims.judged({"durability": "os"}, rows, wanted)
    equal([(a["row"], a["ratio"], a["verdict"]) for a in found], [("K1000, 2 s", "0.5", "reached"), ("K1000, 30 s", "0.1", "missed")], "both")


def test_command_repeats_the_lengths(context):
    about, scenarios = whole()
    about |= {"durations": [2, 30], "seconds": "2 and 30", "command": "./dev compare --rounds 3 --durations 2,30 --against kafka P1"}
    equal(figures.command(about), about["command"], "what is told already")
    equal(figures.command({"rounds": 5, "seconds": 1.5, "command": "./dev compare P1"}), "./dev compare --rounds 5 --seconds 1.5 P1", "nothing told")
    equal(figures.command({"rounds": 5, "seconds": 1.5, "command": "./dev compare --seconds=1.5"}), "./dev compare --rounds 5 --seconds=1.5", "one told")
    equal(figures.command({"rounds": 4, "seconds": 1, "command": "./dev compare --quick"}), "./dev compare --quick", "which has its own")
    for text in (report.markdown(about, scenarios, None), report_html.page(about, scenarios, None)):
        check("3 rounds of 2 and 30 s" in text and "--durations 2,30 --against kafka P1" in text, "the lengths are not told")


def test_aims_with_something_on_top(context):
    """DL: 1.15 of the disk, plus a round trip where the run has one; where not, that is said."""
    aim = {"figure": "latency_us/p50", "of": "disk", "most": 1.15, "plus": ["L1", "null", "latency_us/p50"], "plus_is": "the round trip"}
    dl = {"load": "produce", "rounds": {"sluice": [loaded(1, 70, 1)], "disk": [loaded(1, 50, 1)]}}
    l1 = {"load": "produce", "rounds": {"null": [loaded(1, 13, 1)]}}
    wanted = {"DL": {"durability": "fsync", "aims": [aim]}}
    (without,) = aims.judged({"durability": "fsync"}, {"DL": dl}, wanted)
    equal([without["verdict"], without["ratio"]], ["missed", "1.40"], "70 of 50 us")
    check("judged without the round trip" in without["note"], without["note"])
    (beside,) = aims.judged({"durability": "fsync"}, {"DL": dl, "L1": l1}, wanted)
    equal([beside["verdict"], beside["note"]], ["reached", "the round trip: 13.0"], "70 is under 1.15 x 50 + 13")
    l1["rounds"]["null"] = [loaded(1, 12, 1)]
    (short,) = aims.judged({"durability": "fsync"}, {"DL": dl, "L1": l1}, wanted)
    equal(short["verdict"], "missed", "70 is above 1.15 x 50 + 12")


def test_aims_of_the_repository(context):
    """What is asked of the kernel-socket and the durable rows is all in the files."""
    told = {(name, aims.said(a, a.get("of") or a.get("row")), a["figure"].replace("latency_us/", ""), row["durability"])
            for name, row in aims.load().items() for a in row["aims"]}
    rate, cpu = "records_per_s", "cpu_s_per_m_records"
    for name, text, figure in (
            ("P16K", "at least 7 of kafka's", rate), ("P16K", "at least 0.6 of null's", rate), ("P16K", "at least 0.85 of null_write's", rate),
            ("P16K", "at most 0.1 of kafka's", cpu), ("P64K", "at least 5 of kafka's", rate), ("P64K", "at least 0.55 of null's", rate),
            ("P64K", "at most 0.1 of kafka's", cpu), ("P1", "at least 25 of kafka's", rate), ("P1", "at least 0.35 of null's", rate),
            ("P1x256", "at least 3 of kafka's", rate), ("P1x256", "at least 0.8 of null's", rate), ("L1", "at most 1.35 of null's", "p50"),
            ("L1", "at most 1.6 of null's", "p99"), ("E2E", "at most 0.2 of kafka's", "p50"), ("E2E", "at most 0.01 of kafka's", "p99"),
            ("F", "at least 1 of kafka's", rate), ("F", "at most 1.4 of kafka's", cpu), ("K1000", "at least 0.7 of P1's", rate),
            ("K1000", "at least 15 of kafka's", rate), ("I", "at most 0.01", "broker_core_share"),
            ("I", "at most 1,024", "broker_bytes_per_connection"), ("R", "at most 15.26", "started_mib"), ("R", "at most 15.26", "own_mib"),
            ("S", "at most 0.3", "ready_s"), ("S10k", "at most 2", "ready_s")):
        check((name, text, figure, "os") in told, f"{name} {figure} {text} is in no file")
    for name, text, figure in (
            ("DL", "at most 1.15 of disk's, plus the loopback round trip", "p50"), ("DG", "at least 8,000,000", rate),
            ("DG", "at least 0.8 of disk's", rate), ("DB", "at least 0.9 of disk's", rate), ("DK", "at least 0.7 of DG1's", rate)):
        check((name, text, figure, "fsync") in told, f"{name} {figure} {text} is in no file")


PERFORMANCE = """
import json, pathlib, shlex, sys
import performance as p
results = json.load(sys.stdin)
text = p.document({k: p.slim(v) for k, v in results.items()})
seen = {}
for part, (title, script, *_) in p.PARTS.items():
    if part in results and script in ("compare.py", "bypass.py", "catchup.py", "bench.py"):
        line = next(l for l in text.split("## " + title)[1].splitlines() if "Repeat: `" in l)
        words = shlex.split(line.split("Repeat: `")[1].split("`")[0])
        module = __import__(script.removesuffix(".py"))
        module.MICRO = pathlib.Path(p.__file__)
        sys.argv = ["x"] + [w for w in words[2:] if w != "--bypass"]
        o = vars(module.arguments())
        seen[part] = {k: o[k] for k in ("rounds", "seconds", "durability", "peers", "names", "cores", "gb", "memory", "row") if k in o}
json.dump({"text": text, "seen": seen}, sys.stdout)
"""


def performance(results):
    """The document of these results, and what its `Repeat` lines mean to the programs that they name. bench and tests/compat
    have modules of one name, so it is another process that imports bench's."""
    done = subprocess.run([sys.executable, "-c", PERFORMANCE], cwd=FOLDER, timeout=120, capture_output=True, text=True, check=False,
                          input=json.dumps(results))
    check(done.returncode == 0, done.stderr[-1500:])
    return json.loads(done.stdout)


def titles(text):
    return dict(zip(re.findall(r"^## (.*)$", text, re.M), re.split(r"^## .*$", text, flags=re.M)[1:]))


def test_performance_names_what_was_not_run(context):
    parts = titles(performance({})["text"])
    equal(len(parts), 9, f"parts: {list(parts)}")
    runs = [re.search(r"Not measured: .*bench/performance.py --run (\w+)` measures it", t) for t in parts.values()]
    check(all(runs), f"{parts}")
    equal(len({m[1] for m in runs}), 9, "each part by its own name")


def test_performance_repeat_lines_repeat(context):
    """Each line, given to the program that it names, asks for the run that was made, also where that was not the default."""
    about, scenarios = whole()
    cable = {"rounds": 4, "seconds": 1.5, "cores": ["2", "3"], "realtime": True, "busy_before": 0.1, "rows": {
        "frames32": [[loaded(5e6, 0, 0) | {"requests_per_s": 5e6}]], "P16K 9000": [[loaded(9e6, 300, 0) | {"requests_per_s": 6e4}]]}}
    turn = {"bytes": 10**9, "seconds": 5, "records_per_s": 1, "latency_us": {"p50": 5, "p99": 50}}
    old = {"gb": 12.0, "seconds": 5.0, "durability": "os", "memory": "256m", "readers": 2, "busy_before": 0, "batches_per_s": 10.0, "rounds": [
        dict.fromkeys(("alone", "beside", "reader", "reader alone", "disk"), turn)] * 4}
    micro = {"asked": {"rounds": 7, "seconds": 1.5}, "partial": None, "scenarios": {}, "micro": {
        "crc": {"ns": 1, "cycles": 2, "allocs": 0, "bytes_per_s": 1e9}}}
    linkedin = {n: dict(scenarios["both"]) for n in ("producer-and-consumer", "one-consumer")}
    found = performance({
        "os": {"about": about | {"command": "./dev compare"}, "partial": None, "scenarios": scenarios},
        "fsync": {"about": about | {"seconds": 1.5, "durability": "fsync", "command": "./dev compare --durability fsync --against kafka durable L1"},
                  "partial": None, "scenarios": {"DL": scenarios["P1"]}},
        "linkedin": {"about": about | {"rounds": 9, "command": "./dev compare --rounds 9 linkedin-2014"}, "partial": None, "scenarios": linkedin},
        "bypass": cable, "catchup": old, "bench": micro})
    seen = found["seen"]
    equal([(seen[k]["rounds"], seen[k]["seconds"]) for k in ("os", "fsync", "linkedin", "bypass", "catchup")],
          [(3, 2), (3, 1.5), (9, 2), (4, 1.5), (4, 5)], "rounds and seconds")
    equal(seen["bench"]["rounds"], 7, "rounds of the operations")
    equal([seen["fsync"]["durability"], seen["fsync"]["peers"]], ["fsync", ["sluice", "kafka"]], "fsync")
    check({"DL", "DG", "DB", "DK", "L1"} <= set(seen["fsync"]["names"]) and "one-producer" in seen["linkedin"]["names"], f"{seen}")
    equal([seen["bypass"]["cores"], seen["bypass"]["row"]], [["2", "3"], ["frames32", "P16K 9000"]], "the cable")
    equal([seen["catchup"][k] for k in ("gb", "durability", "memory")], [12, "os", "256m"], "the old reader")
    linkedin = titles(found["text"])["LinkedIn's table of 2014"]
    check("| producer-and-consumer | sluice | 500,000 " in linkedin and "consumed/s" in linkedin, linkedin)


def test_performance_parts_show_their_results(context):
    """The parts of the kernel sockets, of people's clients, of the repeat and of the other program, in their own shapes."""
    about, scenarios = whole()
    tools = {"kafka-consumer-perf": {"what": "w", "load": "fetch", "rounds": {k: [{"records_per_s": v, "records": 1, "cpu_s_per_m_records": 0.1}] * 3
                                                                             for k, v in (("sluice", 9e5), ("kafka", 8e5))}},
             "kafka-end-to-end": {"what": "w", "load": "e2e", "rounds": {"sluice": [
                 {"records": 1, "latency_us": {"p50": 0.0, "p99": 5000.0, "p99.9": 9000.0}, "cpu_s_per_m_records": 100}] * 3}}}
    rows = [{"scenario": "P1", "peer": "null", "figure": "records/s", "runs": [[100.0, 90.0, 110.0, [80.0, 125.0]], [200.0, 190.0, 210.0, [180.0, 222.0]]],
             "misses": [[1, 2]]}]
    both = {w: {"records_per_s": 1000, "p50_us": 50.0} for w in ("ours", "simple")}
    parts = titles(performance({
        "os": {"about": about, "partial": None, "scenarios": scenarios}, "clients": {"about": about, "partial": None, "scenarios": tools},
        "repeat": {"about": about | {"command": "./dev compare --rounds 3 --against null P1"}, "runs": 2, "checks": 1, "missed": 1, "allowed": 0, "rows": rows},
        "agree": {"load_average": "0.1 0.1 0.1", "asked": {"rounds": 5, "seconds": 2}, "scenarios": {
            "durable-4k": both | {"rate_ratio": 1.04, "p50_ratio": 0.9}, "null P1": both | {"rate_ratio": 0.5, "p50_ratio": 2.0}}}})["text"])
    ours = parts["Kernel sockets, one shard, `sluice.durability=os`"]
    for part in ("- versions: sluice 0.1.0", "(`--records 1 --row P1`)", "| F | records/s | 20,000,000 | 40,000,000 (kafka) | 0.5x |",
                 "| S | s to ready | 0.2 |  |  | at most 0.3 | reached |", "| P1 | produce durable | 900 |", "settings: `sluice.shards=1`"):
        check(part in ours, f"not in the document: {part}\n{ours}")
    clients = parts["Clients that people have"]
    check("| kafka-consumer-perf | sluice | 900,000 ±3 % (900,000-900,000) | - | - | - | 0.1 " in clients and "| kafka-end-to-end | sluice | 0 " in clients, clients)
    again = parts["Does a repeat agree?"]
    check("do not agree" in again and "| P1 | null | records/s | 100 ±25 % | 200 ±11 % | apart: 1 and 2 |" in again, again)
    check("`python3 bench/repeat.py --run 2 --seconds 2 --rounds 3 --against null P1`" in again, again)
    other = parts["Does another program see the same?"]
    check("largest difference to the other program is 10%" in other and "| null P1 | 1,000, 50 |" in other, other)
    equal(shlex.split(other.split("Repeat: `")[1].split("`")[0]), ["python3", "bench/agree.py", "--rounds", "5", "--seconds", "2", "durable-4k",
                                                                  "null P1"], "the command")
