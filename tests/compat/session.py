"""One broker's side of a scripted session: asks, and writes down what came, normalised.

Two brokers cannot give the same bytes: ports, ids and clocks differ. Everything that is replaced
before the comparison is replaced here, in `Normaliser`, and nowhere else:

    port, nodeId's host:port    <port>          equal to the broker's own port
    clusterId                   <cluster>
    finalizedFeaturesEpoch      <offset>        an offset of the metadata log, unless negative
    topic ids                   <id of NAME>    ids the broker gave to topics by name
    producer ids                <pid N>         numbered as they first appear
    fetch session ids           <session N>     numbered as they first appear
    member ids of groups        <member N>      numbered as they first appear
    leader epochs               <epoch N>       in the restart script alone: a start raises them,
                                                by how much is the controller's own affair
    times near now              <now>, in texts <time>; the tests' own times lie days back
    log directories             <log dir>       and the disk's total and usable bytes
    documentation               <text>          whether there is one is compared, not its words
    records                     parsed batches  all fields but the CRC, which must be right
    arrays of structs           sorted by name, partition and key: Kafka gives hash order
"""
import re
import time

import client
import kafkaproto
import records

KEYS = ("name", "topic", "topicName", "topicId", "key", "resourceType", "resourceName",
        "configName", "partitionIndex", "partition", "index", "apiKey", "nodeId", "brokerId",
        "producerId", "logDir", "groupId", "memberId", "errorCode")
MEMBER_ID = re.compile(r".*-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|"
                       r"[A-Za-z0-9_-]{22}")
TIMES = {"timestamp", "lastTimestamp", "logAppendTimeMs"}
ZERO_UUID = "0" * 32


class Normaliser:
    """Replaces what must differ. One per broker; it learns ids as they appear."""

    def __init__(self, broker):
        self.broker = broker
        self.topics, self.producers, self.sessions, self.members = {}, {}, {}, {}
        self.epochs = None  # a dict to have leader epochs numbered as they first appear

    def _learn(self, value):
        """Note ids beside their names anywhere in an answer."""
        if isinstance(value, dict):
            name = value.get("name") or value.get("topic")
            topic_id = value.get("topicId")
            if name and topic_id and topic_id != ZERO_UUID:
                self.topics[topic_id] = name
            for item in value.values():
                self._learn(item)
        elif isinstance(value, list):
            for item in value:
                self._learn(item)

    def _numbered(self, table, value, word):
        return f"<{word} {table.setdefault(value, len(table))}>"

    def _time(self, value):
        if isinstance(value, int) and abs(value - time.time() * 1000) < records.DAY_MS:
            return "<now>"
        return value

    def batches(self, data):
        """Record bytes as comparable structure, or as hex when they are no batches."""
        if data is None:
            return None
        try:
            parsed = records.parse(data)
        except Exception:
            return bytes(data).hex()
        out = []
        for b in parsed:
            fields = {k: v for k, v in b._asdict().items() if k not in ("crc", "length")}
            fields["max_timestamp"] = self._time(b.max_timestamp)
            fields["base_timestamp"] = self._time(b.base_timestamp)
            fields["records"] = [(r.offset, self._time(r.timestamp), r.key, r.value, r.headers)
                                 for r in b.records]
            fields["epoch"] = self._field("epoch", b.epoch)
            if b.producer_id >= 0:
                fields["producer_id"] = self._numbered(self.producers, b.producer_id, "pid")
            out.append(fields)
        rest = len(data) - sum(b.length + 12 for b in parsed)
        return out if rest == 0 else [*out, f"and {rest} bytes of a cut batch"]

    def _field(self, key, value):
        if value is None or value == []:
            return value
        if key == "port" and value == self.broker.port:
            return "<port>"
        if key == "clusterId":
            return "<cluster>"
        if key == "finalizedFeaturesEpoch" and value >= 0:
            return "<offset>"
        if key == "topicId":
            return f"<id of {self.topics[value]}>" if value in self.topics else value
        if key == "producerId" and value >= 0:
            return self._numbered(self.producers, value, "pid")
        if key == "sessionId" and value != 0:
            return self._numbered(self.sessions, value, "session")
        if key in ("epoch", "leaderEpoch") and value >= 0 and self.epochs is not None:
            return self._numbered(self.epochs, value, "epoch")
        if key in ("memberId", "leader") and isinstance(value, str) and MEMBER_ID.fullmatch(value):
            return self._numbered(self.members, value, "member")
        if key in TIMES:
            return self._time(value)
        if key == "logDir":
            return "<log dir>" if value == str(self.broker.log_dir) else value
        if key in ("totalBytes", "usableBytes") and value > 0:
            return "<bytes>"
        if key == "documentation":
            return "<text>"
        if key == "records":
            return self.batches(value)
        return self._walk(value)

    def _walk(self, value):
        if isinstance(value, dict):
            return {k: self._field(k, v) for k, v in value.items()}
        if isinstance(value, list):
            items = [self._walk(v) for v in value]
            if items and isinstance(items[0], dict):
                items.sort(key=lambda d: [str(d.get(k)).rjust(12) for k in KEYS])
            return items
        return value

    def __call__(self, answer):
        self._learn(answer)
        text = self._walk(answer)
        return self._own_names(text)

    def _in_text(self, number):
        """Times, and what is nearly the least time there is, inside a text."""
        value = int(number[0])
        near = isinstance(self._time(value), str) or value < -(1 << 62)
        return "<time>" if near else number[0]

    def _own_names(self, value):
        """The broker's own address, directory and times in texts (messages, config values)."""
        if isinstance(value, str):
            value = re.sub(r"-?\d{12,19}", self._in_text, value)
            return (value.replace(str(self.broker.log_dir), "<log dir>")
                    .replace(f":{self.broker.port}", ":<port>"))
        if isinstance(value, dict):
            return {k: self._own_names(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self._own_names(v) for v in value]
        return value


class Session:
    """Handed to a script. `log` is what it wrote down: [(name, outcome)]."""

    def __init__(self, broker, script, patience=30.0):
        self.broker, self.script, self.patience = broker, script, patience
        self.normalise = Normaliser(broker)
        self.log, self._names, self._clients = [], {}, {}
        self.protocol = kafkaproto.current()

    def close(self):
        for connection in self._clients.values():
            connection.close()

    # ---- asking

    def connection(self, which="main"):
        if which not in self._clients:
            self._clients[which] = client.Client(self.broker.address, self.patience)
        return self._clients[which]

    def note(self, name, outcome):
        """Write down anything that must be equal on both sides."""
        count = self._names[name] = self._names.get(name, 0) + 1
        self.log.append((name if count == 1 else f"{name} #{count}", outcome))

    def _outcome(self, which, action):
        """Run `action(connection)`; ('answer', dict) or how it ended. Drops a dead connection."""
        try:
            return "answer", action(self.connection(which))
        except client.Closed:
            self._clients.pop(which).close()
            return "closed", None
        except client.NoAnswer:
            self._clients.pop(which).close()
            return "no answer", None
        except (kafkaproto.DecodeError, UnicodeDecodeError) as error:
            self._clients.pop(which).close()
            return "undecodable answer", str(error)

    def ask(self, name, api, version, body, which="main", timeout=None, again=None):
        """Send, write down the normalised answer, return the raw one (None if there is none).

        `again(answer)` true: a passing state that only depends on timing; ask again.
        """
        kind, answer = self._outcome(which, lambda c: c.request(api, version, body, timeout))
        end = time.monotonic() + self.patience
        while again and kind == "answer" and again(answer) and time.monotonic() < end:
            time.sleep(0.05)
            kind, answer = self._outcome(which, lambda c: c.request(api, version, body, timeout))
        self.note(f"{name} ({api} v{version})",
                  (kind, self.normalise(answer) if kind == "answer" else answer))
        return answer if kind == "answer" else None

    def quiet(self, api, version, body, which="main", timeout=None):
        """Ask without writing down (setting up, waiting)."""
        return self.connection(which).request(api, version, body, timeout)

    def raw(self, name, data, api=None, version=None, which="raw", timeout=30.0, brief=False):
        """Send bytes as they are; the answer (if an API is named, decoded) or how it ended.

        A `timeout` of its own is for what gets no answer: a short one for an answer would be missed
        whenever a broker stands still.
        `brief`: write down only that an answer came, where it lists whatever there is.
        """
        def action(connection):
            connection.send_bytes(data)
            frame = connection.receive_frame(timeout)
            if api is None:
                return {"bytes": frame.hex()}
            correlation, answer = self.protocol.parse_response(api, version, frame)
            return {"correlation": correlation, "answer": answer}
        kind, answer = self._outcome(which, action)
        if kind == "answer":
            self.note(name, (kind, "some" if brief else self.normalise(answer)))
        else:
            self.note(name, (kind, answer))
        return answer

    def restart(self, kill=False):
        """Stop the broker (or kill it) and start it again on its data."""
        self.close()
        self._clients.clear()
        if kill:
            self.broker.kill()
        else:
            self.note("exit status", self.broker.stop())
        self.broker.start()

    # ---- things every script needs

    def versions(self, api):
        """The stable versions of an API, as advertised by Kafka 4.3."""
        low, high = self.protocol.by_name[api].stable
        return range(low, high + 1)

    def create(self, topic, partitions=1, **configs):
        """Create a topic, not written down; its id."""
        configs = {k.replace("__", "."): v for k, v in configs.items()}
        entry = client.create_topic(self.connection(), topic, partitions, configs)
        self.normalise.topics[entry["topicId"]] = topic
        return entry["topicId"]

    def produce(self, topic, *batches, partition=0):
        """Produce good batches one by one, not written down; the base offsets."""
        out = []
        for data in batches:
            answer = self.quiet("Produce", 9, client.produce_body(topic, {partition: data}))
            part = answer["responses"][0]["partitionResponses"][0]
            if part["errorCode"] != 0:
                raise AssertionError(f"setting up {topic}: {part}")
            out.append(part["baseOffset"])
        return out

    def new_producer(self):
        """(id, epoch) of a new idempotent producer, not written down."""
        while True:
            answer = self.quiet("InitProducerId", 4, {"transactionalId": None,
                                                      "transactionTimeoutMs": 60000})
            if answer["errorCode"] == 0:
                return answer["producerId"], answer["producerEpoch"]
            if answer["errorCode"] != 14:  # 14: stock Kafka is fetching its next block of ids
                raise AssertionError(f"InitProducerId: {answer}")
            time.sleep(0.05)

    def fill(self, topic, count, partition=0, base=records.BASE_TIME):
        """`count` batches of one record each, timestamps a second apart."""
        return self.produce(topic, *[records.batch([b"value %d" % n],
                                                   base_timestamp=base + n * 1000)
                                     for n in range(count)], partition=partition)

    def wait(self, what, condition, timeout=90.0):
        """Until both sides have caught up with something asynchronous."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                self.note(f"waited for {what}", "in vain")
                return
            time.sleep(0.02)

    def wait_gone(self, topic):
        def gone():
            answer = self.quiet("Metadata", 12, {"topics": [{"name": topic}],
                                                 "allowAutoTopicCreation": False})
            return answer["topics"][0]["errorCode"] == 3
        self.wait(f"{topic} gone", gone)

    def config_values(self, resource_type, resource, keys=None):
        answer = self.quiet("DescribeConfigs", 4, {"resources": [
            {"resourceType": resource_type, "resourceName": resource,
             "configurationKeys": keys}]})
        return {c["name"]: c["value"] for c in answer["results"][0]["configs"]}

    def wait_config(self, resource_type, resource, key, value):
        self.wait(f"{resource} {key}={value}",
                  lambda: self.config_values(resource_type, resource, [key]).get(key) == value)
