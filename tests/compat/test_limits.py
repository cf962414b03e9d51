"""Limits of connections and of request bytes, at the limit, from the file and while running."""
import contextlib
import socket
import struct
import time

import client
import records
from runner import check, equal, needs, until

SMALL = 1 << 20
PATIENCE_S = 60.0  # for what comes: an answer, the end of a connection


def dial(port, source="127.0.0.1", host="127.0.0.1"):
    return socket.create_connection((host, port), timeout=PATIENCE_S, source_address=(source, 0))


def frame_of(api=18, version=0, correlation=7):
    """A request without a body: ApiVersions."""
    body = struct.pack(">hhih", api, version, correlation, -1)
    return struct.pack(">i", len(body)) + body


def served(s, timeout=PATIENCE_S):
    """Whether the connection answers; one that is refused is closed at once."""
    try:
        s.settimeout(timeout)
        s.sendall(frame_of())
        return len(s.recv(4)) == 4 and bool(s.recv(1 << 16))
    except OSError:
        return False


@contextlib.contextmanager
def opened(count, port, source="127.0.0.1"):
    """Connections opened one after the other: [(socket, whether it is served)]."""
    held = []
    try:
        for _ in range(count):
            s = dial(port, source)
            held.append((s, served(s)))
        yield held
    finally:
        for s, _ in held:
            s.close()


def good(held):
    return sum(ok for _, ok in held)


def still(held):
    """How many are served now."""
    return sum(served(s) for s, _ in held)


def alter(broker, resource, values):
    """IncrementalAlterConfigs of one broker ("1") or of all (""); None deletes a setting."""
    configs = [{"name": k, "value": v, "configOperation": 1 if v is None else 0}
               for k, v in values.items()]
    with broker.connect() as raw:
        answer = raw.request("IncrementalAlterConfigs", 1, {"validateOnly": False, "resources": [
            {"resourceType": 4, "resourceName": resource, "configs": configs}]})
        answer = answer["responses"]
    result = answer[0]
    equal(result["errorCode"], 0, f"error of {values}: {result['errorMessage']}")


@needs("sluice")
def test_limit_per_ip_overrides(context):
    """Other numbers for single addresses, also for one whose limit is 0."""
    broker = context.fresh(overrides={
        "max.connections.per.ip": "4",
        "max.connections.per.ip.overrides": "127.0.0.2:7,127.0.0.3:0"})
    for source, limit in (("127.0.0.1", 4), ("127.0.0.2", 7), ("127.0.0.3", 0), ("127.0.0.4", 4)):
        with opened(limit + 2, broker.port, source) as held:
            equal(good(held), limit, f"connections from {source}")
            equal([ok for _, ok in held], [True] * limit + [False] * 2, "the first ones")
    check("max.connections.per.ip" in broker.log_text(), "no line in the log")


def two_listeners(context, more):
    """A broker with a second listener; its port is broker.other_port."""
    from brokers import free_ports
    first, second = free_ports(2)
    broker = context.fresh(overrides={
        "listeners": f"PLAINTEXT://127.0.0.1:{first},INNER://127.0.0.1:{second}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,INNER:PLAINTEXT",
        "inter.broker.listener.name": "INNER", **more})
    broker.port, broker.other_port = first, second
    return broker


@needs("sluice")
def test_limit_of_a_listener(context):
    """listener.name.<name>.max.connections; the listener between brokers has room regardless."""
    broker = two_listeners(context, {"max.connections": "6",
                                     "listener.name.plaintext.max.connections": "3",
                                     "listener.name.inner.max.connections": "9"})
    with opened(5, broker.port) as outer:
        equal(good(outer), 3, "connections of the listener with a limit of 3")
        with opened(10, broker.other_port) as inner:
            equal(good(inner), 9, "connections of the listener with a limit of 9")
            until(lambda: still(outer) == 0, what="room made by those of the other listener")


@needs("sluice")
def test_limit_changed_while_running(context):
    """max.connections and max.connections.per.ip through IncrementalAlterConfigs, and restarts."""
    broker = context.fresh(overrides={"max.connections": "40"})
    alter(broker, "", {"max.connections.per.ip": "5",
                       "max.connections.per.ip.overrides": "127.0.0.2:8"})
    for source, limit in (("127.0.0.3", 5), ("127.0.0.2", 8)):
        with opened(limit + 2, broker.port, source) as held:
            equal(good(held), limit, f"connections from {source}")
            if limit == 5:
                alter(broker, "", {"max.connections.per.ip": "3"})
                equal(still(held), 5, "those that are there stay")
                alter(broker, "", {"max.connections.per.ip": "5"})
    alter(broker, "", {"max.connections.per.ip.overrides": None, "max.connections.per.ip": None})
    with opened(20, broker.port) as held:
        equal(good(held), 20, "connections without a limit for one address")
        time.sleep(0.3)
        survivors = held[:4]
        equal(still(survivors), 4, "a sign of life of four")
        alter(broker, "1", {"max.connections": "5"})
        until(lambda: sum(closed(s) for s, _ in held) >= 15, what="the silent ones closed")
        check(still(survivors) >= 1, "none of those with a sign of life was left")
    equal(broker.stop(), 0, "exit status")
    broker.start()
    with opened(7, broker.port) as held:
        equal(good(held), 5, "the stored limit after a restart")
    until(lambda: room(broker), what="room")
    alter(broker, "1", {"max.connections": None,
                        "listener.name.plaintext.max.connections": "12"})
    with opened(14, broker.port) as held:
        equal(good(held), 12, "the listener's own limit, set while running")


def room(broker):
    with dial(broker.port) as s:
        return served(s)


def closed(s):
    """Whether the broker has closed it (nothing else is due on it)."""
    s.settimeout(0.02)
    try:
        return s.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def push(s, size, idle):
    """Sends up to size bytes; how many went before nothing moved for `idle` seconds."""
    s.settimeout(idle)
    sent, piece = 0, bytes(1 << 16)
    with contextlib.suppress(TimeoutError):
        while sent < size:
            sent += s.send(piece[:size - sent])
    return sent


@needs("sluice")
def test_limit_queued_max_request_bytes(context):
    """Two requests of 3 MiB are admitted under 8 MiB, a third is not read until one is whole."""
    size, limit = 3 << 20, 8 << 20
    broker = context.fresh(overrides={
        "queued.max.request.bytes": str(limit), "socket.request.max.bytes": str(4 << 20),
        "sluice.shards": "1"})
    with broker.connect() as raw:
        client.create_topic(raw, "queued", 1, {"max.message.bytes": str(size + 1000)})
        frame = raw.frame("Produce", 9, client.produce_body(
            "queued", {0: records.batch([bytes(size)])}))
        whole = struct.pack(">i", len(frame)) + frame
        held, went = [], []
        for idle in (PATIENCE_S, PATIENCE_S, 0.5):  # one after the other: who comes first is admitted first
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
            s.connect(("127.0.0.1", broker.port))
            s.sendall(whole[:1000])
            held.append(s)
            went.append(push(s, size - 2000, idle))
        equal([n == size - 2000 for n in went], [True, True, False], f"taken whole, of {went}")
        check(went[2] < SMALL, f"{went[2]} bytes of the third were taken")
        held[0].sendall(whole[1000 + went[0]:])
        held[0].settimeout(PATIENCE_S)
        check(len(held[0].recv(4)) == 4, "no answer to the first")
        held[2].settimeout(PATIENCE_S)
        held[2].sendall(whole[1000 + went[2]:])
        check(len(held[2].recv(4)) == 4, "no answer to the third")
        for s in held:
            s.close()
    with broker.connect() as raw:
        big = struct.pack(">i", (4 << 20) + 1)
        raw.socket.sendall(big)
        raw.socket.settimeout(PATIENCE_S)
        equal(raw.socket.recv(1), b"", "one byte over socket.request.max.bytes")
