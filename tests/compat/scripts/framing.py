"""Length words and half requests: what the first bytes of a connection do."""
import socket
import struct

import client

LENGTHS = (0, -1, -2**31, 2**31 - 1, 1, 3, 104_857_601)


def lengths(s):
    """Impossible lengths close the connection, at once or when more cannot follow."""
    for length in LENGTHS:
        waits = 0 < length < 100  # for the rest: no answer, and no end
        s.raw(f"length {length}", struct.pack(">i", length), timeout=1.0 if waits else 30.0)
        s.raw(f"length {length} and bytes", struct.pack(">i", length) + b"\0" * 64)
        s.ask(f"another connection after {length}", "Metadata", 12, {"topics": []})


def half_requests(s):
    """A request cut anywhere gets no answer while open; the rest of it gets one."""
    frame = s.connection("half").frame("Metadata", 12, {"topics": []})
    data = struct.pack(">i", len(frame)) + frame
    for cut in range(1, len(data)):
        with client.Client(s.broker.address) as half:
            half.send_bytes(data[:cut])
            if cut in (1, 4, 9, len(data) - 1):
                try:
                    half.receive_frame(0.1)
                    s.note(f"cut at {cut}", "answered")
                except client.NoAnswer:
                    s.note(f"cut at {cut}", "no answer")
            half.send_bytes(data[cut:])
            answer = s.protocol.parse_response("Metadata", 12, half.receive_frame())[1]
            s.note(f"rest after {cut}", s.normalise(answer))
    for cut in range(0, len(data), 5):
        with client.Client(s.broker.address) as half:
            half.send_bytes(data[:cut])
            half.socket.shutdown(socket.SHUT_WR)
            try:
                half.receive_frame()
                s.note(f"ended at {cut}", "answered")
            except client.Closed:
                s.note(f"ended at {cut}", "closed")


def wrong_lengths(s):
    """A length word that disagrees with the request inside it."""
    frame = s.connection("half").frame("Metadata", 12, {"topics": []})
    for less in (1, 2, 5, 9):
        s.raw(f"{less} too short", struct.pack(">i", len(frame) - less) + frame, "Metadata", 12)
    for more in (1, 7, 100):
        s.raw(f"{more} too long, with bytes", struct.pack(">i", len(frame) + more) + frame +
              b"\0" * more, "Metadata", 12)
    for more in (1, 7):
        s.raw(f"{more} too long, without bytes", struct.pack(">i", len(frame) + more) + frame,
              "Metadata", 12, timeout=0.5)


def huge_counts(s):
    """Arrays and strings that claim far more than the request holds."""
    names = {"Metadata": 1, "Fetch": 4, "Produce": 3, "ListOffsets": 1, "CreateTopics": 2,
             "DeleteTopics": 1, "DescribeConfigs": 1, "CreatePartitions": 0, "DeleteRecords": 0,
             "OffsetForLeaderEpoch": 2, "AlterConfigs": 0, "IncrementalAlterConfigs": 0,
             "DescribeLogDirs": 1}
    head = {"Fetch": 17, "Produce": 8, "ListOffsets": 4}
    for name, version in names.items():
        skip = head.get(name, 0)
        for count in (10**9, 2**31 - 1, 65536, -2, -2**31):
            body = b"\0" * skip
            if name == "Produce":
                body = b"\xff\xff\xff\xff\0\0\0\0"
            body += struct.pack(">i", count) + b"\0\1a" * 4
            frame = s.connection("counts").frame(name, version, client.kafkaproto.Bytes(body))
            # A negative count is null to stock Kafka, and null lists everything there is.
            s.raw(f"{name} v{version} count {count}", struct.pack(">i", len(frame)) + frame, name,
                  version, brief=name in ("Metadata", "DescribeLogDirs"))
    for name, version in {"Metadata": 12, "Fetch": 12, "Produce": 9, "CreateTopics": 7,
                          "DescribeTopicPartitions": 0, "ListPartitionReassignments": 0}.items():
        for count in (b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x07", b"\x80\x80\x80\x80\x10",
                      b"\xff\xff\xff\xff\xff\xff\xff\x01"):
            lead = {"Fetch": b"\0" * 25, "Produce": b"\0\xff\xff\0\0\0\0",
                    "ListPartitionReassignments": b"\0\0\0\0"}.get(name, b"")
            frame = s.connection("counts").frame(name, version, client.kafkaproto.Bytes(
                lead + count + b"\2a\0\0"))
            s.raw(f"{name} v{version} count {count.hex()}", struct.pack(">i", len(frame)) + frame,
                  name, version, brief=name == "Metadata")


def not_kafka(s):
    """Other protocols' first bytes."""
    hellos = {"TLS": bytes.fromhex("16030100c8010000c40303") + bytes(range(200)),
              "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "SSH": b"SSH-2.0-test\r\n",
              "newlines": b"\r\n" * 20, "zeros": bytes(100), "ones": b"\xff" * 100}
    for name, data in hellos.items():
        s.raw(name, data)
        s.ask(f"another connection after {name}", "Metadata", 12, {"topics": []})


SCRIPTS = [lengths, half_requests, wrong_lengths, huge_counts, not_kafka]
