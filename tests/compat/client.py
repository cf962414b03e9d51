"""A raw Kafka connection: frames out, frames in, nothing hidden, nothing retried."""
import socket
import struct
import time

import kafkaproto


class Closed(Exception):
    """The broker closed the connection (or reset it)."""


class NoAnswer(Exception):
    """Nothing came within the time."""


def endpoint(address):
    host, _, port = address.rpartition(":")
    return host, int(port)


class Client:
    """One connection. `request()` is send and receive; the parts are there for odd uses."""

    def __init__(self, address, timeout=30.0, client_id="compat"):
        self.timeout, self.client_id = timeout, client_id
        self.protocol = kafkaproto.current()
        self.correlation = 0
        self.sent = {}  # correlation id -> (api, version), answers outstanding
        self.socket = socket.create_connection(endpoint(address), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send_bytes(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(str(error)) from None

    def send_frame(self, frame):
        self.send_bytes(struct.pack(">i", len(frame)) + frame)

    def frame(self, api, version, body):
        """The frame of a request with the next correlation id; `body` a dict or bytes."""
        self.correlation += 1
        return self.protocol.frame(api, version, body, self.correlation, self.client_id)

    def send(self, api, version, body):
        """Send a request and return its correlation id."""
        frame = self.frame(api, version, body)
        self.sent[self.correlation] = (api, version)
        self.send_frame(frame)
        return self.correlation

    def _fill(self, count, deadline):
        while len(self.buffer) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise NoAnswer()
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 20)
            except TimeoutError:
                raise NoAnswer() from None
            except ConnectionResetError as error:
                raise Closed(str(error)) from None
            if not data:
                raise Closed(f"with {len(self.buffer)} bytes of an answer" if self.buffer else "")
            self.buffer += data

    def receive_frame(self, timeout=None):
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        self._fill(4, deadline)
        size = struct.unpack_from(">i", self.buffer)[0]
        if size < 4:
            raise kafkaproto.DecodeError(f"answer of length {size}")
        self._fill(4 + size, deadline)
        frame = bytes(self.buffer[4:4 + size])
        del self.buffer[:4 + size]
        return frame

    def receive(self, timeout=None):
        """The next answer, decoded: (correlation id, dict)."""
        frame = self.receive_frame(timeout)
        correlation = struct.unpack_from(">i", frame)[0]
        if correlation not in self.sent:
            raise kafkaproto.DecodeError(f"answer to unknown correlation id {correlation}")
        api, version = self.sent.pop(correlation)
        return self.protocol.parse_response(api, version, frame)

    def request(self, api, version, body, timeout=None):
        wanted = self.send(api, version, body)
        got, answer = self.receive(timeout)
        if got != wanted:
            raise kafkaproto.DecodeError(f"answer to {got}, wanted {wanted}")
        return answer


# ---- small conversations that several tests need

def produce_body(topic, batches, acks=-1, timeout=30000, topic_id=None):
    """Body for Produce; `batches` is {partition: bytes}."""
    name = {"name": topic} if topic_id is None else {"topicId": topic_id}
    return {"acks": acks, "timeoutMs": timeout, "topicData": [{**name, "partitionData": [
        {"index": p, "records": data} for p, data in batches.items()]}]}


def fetch_body(topic, partition=0, offset=0, max_wait=500, min_bytes=1, max_bytes=1 << 20,
               **more):
    part = {"partition": partition, "fetchOffset": offset, "partitionMaxBytes": max_bytes}
    return {"maxWaitMs": max_wait, "minBytes": min_bytes, "maxBytes": max_bytes,
            "topics": [{"topic": topic, "partitions": [part]}], **more}


def leaders_serve(client, topic, partitions):
    """Whether every partition answers: stock Kafka names leaders a moment before they serve."""
    answer = client.request("ListOffsets", 7, {"replicaId": -1, "topics": [{
        "name": topic, "partitions": [{"partitionIndex": p, "timestamp": -1}
                                      for p in range(partitions)]}]})
    return all(p["errorCode"] == 0 for p in answer["topics"][0]["partitions"])


def wait_topic(client, topic, partitions=None, timeout=90.0):
    """Wait until every partition of the topic has a leader that serves; its Metadata entry."""
    end = time.monotonic() + timeout
    while True:
        answer = client.request("Metadata", 12, {"topics": [{"name": topic}],
                                                 "allowAutoTopicCreation": False})
        entry = answer["topics"][0]
        parts = entry["partitions"]
        if entry["errorCode"] == 0 and parts and all(
                p["errorCode"] == 0 and p["leaderId"] >= 0 for p in parts):
            if partitions in (None, len(parts)) and leaders_serve(client, topic, len(parts)):
                return entry
        if time.monotonic() > end:
            raise AssertionError(f"topic {topic} did not come up: {entry}")
        time.sleep(0.02)


def create_topic(client, topic, partitions=1, configs=None):
    """Create a topic and wait for its leaders; its Metadata entry."""
    answer = client.request("CreateTopics", 7, {"topics": [{
        "name": topic, "numPartitions": partitions, "replicationFactor": 1,
        "configs": [{"name": k, "value": str(v)} for k, v in (configs or {}).items()]}],
        "timeoutMs": 30000, "validateOnly": False})
    result = answer["topics"][0]
    if result["errorCode"] != 0:
        raise AssertionError(f"creating {topic}: {result}")
    return wait_topic(client, topic, partitions)


def delete_topic(client, topic):
    return client.request("DeleteTopics", 3, {"topicNames": [topic], "timeoutMs": 30000})
