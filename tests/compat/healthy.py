"""A well-behaved client that works all the time and notices when anything goes wrong."""
import threading
import time

import client
import records
from runner import check


class Healthy:
    """Context manager: produces a record, fetches it back, again and again, in a thread.

    Leaving it fails the test when an answer was wrong, late or missing, or when nothing was done.
    """

    def __init__(self, broker, topic, patience=30.0, pause=0.01):
        self.broker, self.topic, self.patience, self.pause = broker, topic, patience, pause
        self.rounds, self.slowest, self.error = 0, 0.0, None
        self._stop = threading.Event()

    def __enter__(self):
        self.client = self.broker.connect(self.patience)
        client.create_topic(self.client, self.topic)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _round(self):
        value = b"healthy %d" % self.rounds
        put = self.client.request("Produce", 9, client.produce_body(
            self.topic, {0: records.batch([value])}))
        part = put["responses"][0]["partitionResponses"][0]
        check(part["errorCode"] == 0 and part["baseOffset"] == self.rounds,
              f"round {self.rounds}: {part}")
        got = self.client.request("Fetch", 12, client.fetch_body(
            self.topic, offset=self.rounds, max_wait=1000))["responses"][0]["partitions"][0]
        read = [r.value for b in records.parse(got["records"]) for r in b.records]
        check(got["errorCode"] == 0 and read == [value], f"round {self.rounds}: {got}")

    def _run(self):
        try:
            while not self._stop.is_set():
                begin = time.monotonic()
                self._round()
                self.slowest = max(self.slowest, time.monotonic() - begin)
                self.rounds += 1
                self._stop.wait(self.pause)
        except BaseException as error:
            self.error = error

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join(self.patience + 5)
        self.client.close()
        if kind is None:
            check(self.error is None,
                  f"the healthy client met {type(self.error).__name__}: {self.error}")
            check(not self._thread.is_alive(), "the healthy client hangs")
            check(self.rounds > 0, "the healthy client did nothing")
