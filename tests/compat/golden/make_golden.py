#!/usr/bin/env python3
"""Write tests/golden/: one text file per API with example bytes of every version.

See tests/golden/README.md for the format. The values are random but seeded, so the files come
out the same each time:

    python3 tests/compat/golden/make_golden.py           write
    python3 tests/compat/golden/make_golden.py --check   fail if the files are not current
"""
import random
import string
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import kafkaproto  # noqa: E402
import records  # noqa: E402
from kafkaproto import within  # noqa: E402

OUT = HERE.parents[1] / "golden"
SEED = "sluice golden 1"

# API -> versions served: the union of what 3.9 and 4.3 call stable.
APIS = {
    "Produce": (3, 13), "Fetch": (4, 18), "ListOffsets": (0, 11), "Metadata": (0, 13),
    "FindCoordinator": (0, 6), "ApiVersions": (0, 4), "CreateTopics": (0, 7),
    "DeleteTopics": (0, 6), "DeleteRecords": (0, 2), "InitProducerId": (0, 5),
    "OffsetForLeaderEpoch": (0, 4), "DescribeConfigs": (0, 4), "AlterConfigs": (0, 2),
    "DescribeLogDirs": (0, 5), "CreatePartitions": (0, 3), "IncrementalAlterConfigs": (0, 1),
    "ListPartitionReassignments": (0, 0), "DescribeCluster": (0, 2),
    "DescribeProducers": (0, 0), "DescribeTopicPartitions": (0, 0),
    "JoinGroup": (0, 9), "SyncGroup": (0, 5), "Heartbeat": (0, 4), "LeaveGroup": (0, 5),
    "OffsetCommit": (1, 10), "OffsetFetch": (1, 10), "OffsetDelete": (0, 0),
    "DeleteGroups": (0, 2), "ListGroups": (0, 5), "DescribeGroups": (0, 6),
    "ConsumerGroupHeartbeat": (0, 1), "ConsumerGroupDescribe": (0, 1),
    "ListConfigResources": (0, 1),
}

WIDTH = {"int8": 8, "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64}
WORDS = ["orders", "payments.v2", "a", "_internal-9", "grüße", "кафка", "話題", "x" * 130]


def random_value(rng, field):
    kind = field.type
    if kind == "bool":
        return not field.default if field.tag is not None else rng.random() < 0.5
    if kind == "float64":
        return rng.uniform(-1e9, 1e9)
    if kind in WIDTH:
        bits = WIDTH[kind]
        low = 0 if kind.startswith("u") else -(1 << bits - 1)
        high = (1 << bits) - 1 if kind.startswith("u") else (1 << bits - 1) - 1
        pick = rng.random()
        if pick < 0.1:
            return low if low != field.default else high
        if pick < 0.2:
            return high
        if pick < 0.6:
            return rng.randrange(1, 120)
        return rng.randint(low, high)
    if kind == "string":
        if rng.random() < 0.4:
            return rng.choice(WORDS)
        return "".join(rng.choices(string.ascii_letters + string.digits, k=rng.randint(1, 12)))
    if kind == "bytes":
        return rng.randbytes(rng.randint(1, 20))
    if kind == "uuid":
        return rng.randbytes(16).hex()
    assert kind == "records", kind
    values = [rng.randbytes(rng.randint(0, 30)) for _ in range(rng.randint(1, 4))]
    return records.batch(values, keys=[rng.choice([None, b"k", b""]) for _ in values],
                         headers=[(b"h", b"v"), (b"n", None)],
                         base_timestamp=rng.randrange(1 << 41))


def filled(rng, shape, version, depth=0):
    """Every field of the version, with values that differ from the defaults, some nulls within."""
    out = {}
    for field in shape.fields:
        if not within(version, field.versions):
            continue
        if depth and within(version, field.nullable) and rng.random() < 0.2:
            out[field.name] = None
            continue

        def one():
            if field.struct:
                return filled(rng, field.struct, version, depth + 1)
            return random_value(rng, field)
        out[field.name] = [one() for _ in range(rng.randint(2, 3))] if field.array else one()
    return out


def minimal(shape, version):
    """Null where null may be, else the default, empty arrays."""
    out = {}
    for field in shape.fields:
        if not within(version, field.versions):
            continue
        tagged = within(version, field.tagged)
        if within(version, field.nullable) and not tagged:
            out[field.name] = None
        elif field.struct and not field.array and field.default is not None:
            out[field.name] = minimal(field.struct, version)
        else:
            out[field.name] = field.default
    return out


def sprinkle_tags(rng, shape, version, value):
    """Unknown tagged fields in every struct of a flexible message."""
    value["_tags"] = {rng.randrange(60, 120): rng.randbytes(3), 1000: b"",
                      rng.randrange(20000, 30000): rng.randbytes(130)}
    for field in shape.fields:
        if field.struct and within(version, field.versions):
            item = value.get(field.name)
            for part in item if isinstance(item, list) else [item] if item else []:
                sprinkle_tags(rng, field.struct, version, part)
    return value


def case(message, kind, version, variant, value):
    body = message.encode(version, value)
    assert message.encode(version, message.decode(version, body)) == body, (message.name, version)
    return f"{kind} v{version} {variant} {body.hex() or '-'} {kafkaproto.to_json(value)}\n"


def lines_of(message, kind, version):
    rng = random.Random(f"{SEED} {message.name} {version}")
    main = [case(message, kind, version, "minimal", minimal(message.struct, version)),
            case(message, kind, version, "filled", filled(rng, message.struct, version))]
    tags = []
    if message.is_flexible(version):
        value = sprinkle_tags(rng, message.struct, version,
                              filled(rng, message.struct, version))
        tags = [case(message, kind, version, "unknown-tags", value)]
    return main, tags


def build():
    """{relative file name: text}"""
    now, old, out = kafkaproto.current(), kafkaproto.old(), {}
    for name, (low, high) in APIS.items():
        texts = {"": [], "unknown_tags/": [], "removed/": []}
        for kind in ("request", "response"):
            for version in range(low, high + 1):
                api = now.by_name[name]
                folder = "" if within(version, api.versions) else "removed/"
                if folder:
                    api = old.by_name[name]
                main, tags = lines_of(getattr(api, kind), kind, version)
                texts[folder] += main
                texts["unknown_tags/"] += tags
        for folder, lines in texts.items():
            if lines:
                out[f"{folder}{name}.txt"] = "".join(lines)
    for header, kind in ((now.request_header, "request"), (now.response_header, "response")):
        lines, low, high = [], *header.versions
        for version in range(low, high + 1):
            lines += lines_of(header, kind, version)[0]
        out[f"{header.name}.txt"] = "".join(lines)
    return out


def main():
    files, wrong = build(), []
    for name, text in files.items():
        path = OUT / name
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                wrong.append(name)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    strange = {str(p.relative_to(OUT)) for p in OUT.rglob("*.txt")} - files.keys()
    if wrong or strange:
        sys.exit(f"not current: {sorted(wrong)}; not known: {sorted(strange)}")
    print(f"{len(files)} files, {sum(t.count(chr(10)) for t in files.values())} cases")


if __name__ == "__main__":
    main()
