"""ApiVersions, unknown APIs and versions, request headers, InitProducerId, FindCoordinator."""
import struct

from kafkaproto import Bytes, uvarint

# What a one-node broker without transactions and security serves.
SERVED = ["Produce", "Fetch", "ListOffsets", "Metadata", "FindCoordinator", "ApiVersions",
          "CreateTopics", "DeleteTopics", "DeleteRecords", "InitProducerId",
          "OffsetForLeaderEpoch", "DescribeConfigs", "AlterConfigs", "DescribeLogDirs",
          "CreatePartitions", "IncrementalAlterConfigs", "ListPartitionReassignments",
          "DescribeCluster", "DescribeProducers", "DescribeTopicPartitions", "JoinGroup",
          "SyncGroup", "Heartbeat", "LeaveGroup", "OffsetCommit", "OffsetFetch", "OffsetDelete",
          "ListGroups", "DescribeGroups", "DeleteGroups", "ConsumerGroupHeartbeat",
          "ConsumerGroupDescribe"]
# Keys that were never given, were taken away, or belong to controllers alone.
NO_API = [-1, -32768, 4, 5, 6, 7, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 82, 94, 99, 1000,
          32767]
SOFTWARE = {"clientSoftwareName": "compat", "clientSoftwareVersion": "1.0"}


def api_versions(s):
    """ApiVersions v0-4: error code, ranges of the APIs served, features."""
    keys = {s.protocol.by_name[n].key: n for n in SERVED}
    for v in s.versions("ApiVersions"):
        answer = s.quiet("ApiVersions", v, SOFTWARE)
        for entry in answer.pop("apiKeys"):
            if entry["apiKey"] in keys:
                s.note(f"range of {keys[entry['apiKey']]} (ApiVersions v{v})",
                       (entry["minVersion"], entry["maxVersion"]))
        s.note(f"answer (ApiVersions v{v})", s.normalise(answer))
    for v in (3, 4):
        for number, (name, version) in enumerate([
                ("", "1.0"), ("compat", ""), ("has space", "1"), ("grüße", "1"), ("-x", "1"),
                ("x-", "1"), ("a.b-c", "1.2-3"), ("a" * 1000, "1"), ("a", "1_2"),
                ("a", "v" * 999)]):
            answer = s.quiet("ApiVersions", v, {"clientSoftwareName": name,
                                                "clientSoftwareVersion": version})
            s.note(f"software {number} (ApiVersions v{v})",
                   (answer["errorCode"], bool(answer["apiKeys"])))


def api_versions_unknown(s):
    """An ApiVersions of a version nobody has: a v0 answer with error 35 and its own range."""
    for v in (5, 6, 99, 32767, -1):
        for number, body in enumerate((b"", b"\x00", bytes.fromhex("0461626304312e3000"))):
            client = s.connection()
            frame = client.frame("ApiVersions", v, Bytes(body))
            answer = s.raw(f"version {v} body {number}", struct.pack(">i", len(frame)) + frame,
                           "ApiVersions", 0)
            if answer:
                s.note(f"version {v} body {number} works on", "yes")
    s.ask("still there", "Metadata", 12, {"topics": []}, which="raw")


def unknown_apis(s):
    """API keys and versions that are not served: the connection is closed."""
    for key in NO_API:
        frame = struct.pack(">hhihs", key, 0, 7, 1, b"c") + bytes(8)
        s.raw(f"key {key}", struct.pack(">i", len(frame)) + frame)
    for name in SERVED:
        if name == "ApiVersions":
            continue
        api = s.protocol.by_name[name]
        versions = [api.stable[1] + 1, 99, 32767, -1, -32768]
        # What 3.9 served and 4.0 removed is another matter: removed_versions below.
        versions += {"Produce": [0, 1, 2], "Fetch": [0, 1, 2, 3]}.get(name, [])
        for version in versions:
            frame = s.connection().frame(name, version, Bytes(bytes(16)))
            s.raw(f"{name} v{version}", struct.pack(">i", len(frame)) + frame)


def removed_versions(s):
    """Versions of 3.9 that 4.0 removed: stock Kafka 4.3 closes the connection."""
    for name, high in (("ListOffsets", 0), ("CreateTopics", 1), ("DeleteTopics", 0),
                       ("DescribeConfigs", 0), ("DescribeLogDirs", 0),
                       ("OffsetForLeaderEpoch", 1), ("OffsetCommit", 1), ("OffsetFetch", 0)):
        for version in range(high + 1):
            frame = s.connection().frame(name, version, Bytes(bytes(16)))
            s.raw(f"{name} v{version}", struct.pack(">i", len(frame)) + frame)


def request_headers(s):
    """Client ids, header tags, correlation ids; bytes after a request's end."""
    body = s.protocol.by_name["Metadata"].request.encode(12, {"topics": []})
    old_body = s.protocol.by_name["Metadata"].request.encode(5, {"topics": []})

    def send(name, frame, version=12):
        s.raw(name, struct.pack(">i", len(frame)) + frame, "Metadata", version)

    def head(version, correlation, client):
        return struct.pack(">hhi", 3, version, correlation) + client
    cases = {"null": b"\xff\xff", "empty": b"\0\0", "long": struct.pack(">h", 30000) + b"c" * 30000,
             "bad utf-8": b"\0\2\xff\xfe", "length -2": b"\xff\xfe", "too long": b"\x7f\xff" + b"c"}
    for name, client in cases.items():
        send(f"client id {name}", head(12, 5, client) + b"\0" + body)
        send(f"client id {name}, old header", head(5, 5, client) + old_body, 5)
    for correlation in (0, -1, 2**31 - 1, -2**31):
        send(f"correlation id {correlation}", head(12, correlation, b"\0\1c") + b"\0" + body)
    tags = {"unknown": b"\x01\x05\x02ab", "two": b"\x02\x05\x01a\x07\x01b",
            "out of order": b"\x02\x07\x01a\x05\x01b", "repeated": b"\x02\x05\x01a\x05\x01b",
            "too many": b"\xff\xff\xff\xff\x0f", "cut": b"\x01\x05\x7f",
            "long varint": b"\xff\xff\xff\xff\xff\xff\x01", "large": b"\x01\x05" +
            uvarint(5000) + b"t" * 5000}
    for name, data in tags.items():
        send(f"header tags {name}", head(12, 5, b"\0\1c") + data + body)
        send(f"body tags {name}", head(12, 5, b"\0\1c") + b"\0" + body[:-1] + data)
    send("bytes after the end", head(12, 5, b"\0\1c") + b"\0" + body + b"more")
    send("bytes after the end, old", head(5, 5, b"\0\1c") + old_body + b"more", 5)
    send("header alone", head(12, 5, b"\0\1c") + b"\0")
    send("half a header", struct.pack(">hh", 3, 12))
    send("only a key", struct.pack(">h", 3))


def empty_bodies(s):
    """A header and no body, or a body of 0xff or zeros: for every API and version."""
    for name in SERVED:
        if name in ("ApiVersions", "InitProducerId", "FindCoordinator"):
            continue  # some of these bytes are valid requests there, with lasting effects
        for version in s.versions(name):
            for what, body in (("empty", b""), ("ones", b"\xff" * 24)):
                frame = s.connection().frame(name, version, Bytes(body))
                s.raw(f"{name} v{version} {what}", struct.pack(">i", len(frame)) + frame, name,
                      version)


def init_producer_id(s):
    """InitProducerId without a transactional id."""
    def ask(name, version, **fields):
        # 14, COORDINATOR_LOAD_IN_PROGRESS: stock Kafka is fetching its next block of ids.
        s.ask(name, "InitProducerId", version, {"transactionalId": None,
                                                "transactionTimeoutMs": 60000, **fields},
              again=lambda answer: answer["errorCode"] == 14)
    for v in s.versions("InitProducerId"):
        ask("new", v)
        ask("no timeout", v, transactionTimeoutMs=0)
        ask("largest timeout", v, transactionTimeoutMs=2**31 - 1)
        ask("empty transactional id", v, transactionalId="")
        if v >= 3:
            for pid, epoch in ((-1, 0), (5, -1), (123456789, 3), (-2, -2), (-1, 32767)):
                ask(f"with id {pid} and epoch {epoch}", v, producerId=pid, producerEpoch=epoch)
    ids = [s.new_producer()[0] for _ in range(300)]
    s.note("ids are unique and rise", len(set(ids)) == 300 and ids == sorted(ids))


def find_coordinator(s):
    """FindCoordinator: kinds of keys that do not exist."""
    for v in s.versions("FindCoordinator"):
        for kind in (3, 7, -1, 127):
            s.ask(f"kind {kind}", "FindCoordinator", v, {
                "key": "k", "coordinatorKeys": ["k", "l"], "keyType": kind}) if v else None
        if v >= 4:
            s.ask("no keys", "FindCoordinator", v, {"coordinatorKeys": [], "keyType": 0})


SCRIPTS = [api_versions, api_versions_unknown, unknown_apis, removed_versions, request_headers,
           empty_bodies, init_producer_id, find_coordinator]
