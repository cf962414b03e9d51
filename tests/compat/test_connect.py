"""Kafka Connect, standalone: lines of a file go into a topic, and out of it into another file."""
import subprocess
import time

import kafka_dist
from runner import check, needs, until


def properties(path, values):
    path.write_text("".join(f"{k}={v}\n" for k, v in values.items()))
    return path


class Connect:
    """A standalone worker with the file source and the file sink."""

    def __init__(self, folder, address, topic):
        self.source, self.sink = folder / "in.txt", folder / "out.txt"
        self.log = folder / "connect.log"
        worker = properties(folder / "worker.properties", {
            "bootstrap.servers": address, "key.converter": "org.apache.kafka.connect.storage.StringConverter",
            "value.converter": "org.apache.kafka.connect.storage.StringConverter",
            "offset.storage.file.filename": folder / "offsets", "offset.flush.interval.ms": 500,
            "listeners": "http://127.0.0.1:0", "plugin.discovery": "only_scan"})
        source = properties(folder / "source.properties", {
            "name": "source", "connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector",
            "tasks.max": 1, "file": self.source, "topic": topic})
        sink = properties(folder / "sink.properties", {
            "name": "sink", "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
            "tasks.max": 1, "file": self.sink, "topics": topic})
        self.command = kafka_dist.connect_command(worker, source, sink)
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(90)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def sunk(self):
        return self.sink.read_text() if self.sink.exists() else ""

    def wait(self, text, what):
        def there():
            check(self.process.poll() is None, f"the worker ended:\n{self.log.read_text()[-2500:]}")
            return self.sunk() == text
        try:
            until(there, timeout=300, pause=0.2, what=what)
        except AssertionError as e:
            raise AssertionError(f"{e}; sink has {self.sunk()[-200:]!r}\n{self.log.read_text()[-2500:]}") from None


@needs("java", "slow")
def test_connect_file_to_file(context):
    folder = context.scratch / f"connect-{time.time_ns()}"
    folder.mkdir()
    connect = Connect(folder, context.broker.address, context.name("connect"))
    try:
        # ASCII: the file source of Connect counts characters where it should count bytes.
        lines = "".join(f"line {i} of plain text\n" for i in range(50))
        connect.source.write_text(lines)
        connect.start()
        connect.wait(lines, "what the source had")
        with connect.source.open("a") as f:
            f.write("appended while it ran\n")
        connect.wait(lines + "appended while it ran\n", "the appended line")
        connect.stop()
        with connect.source.open("a") as f:
            f.write("appended while it was down\n")
        connect.start()
        connect.wait(lines + "appended while it ran\nappended while it was down\n", "what came after the restart")
    finally:
        connect.stop()
        for path in sorted(folder.glob("*")):
            path.unlink()
        folder.rmdir()
