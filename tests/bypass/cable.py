"""A broker at the end of a memif cable whose other end comes and goes."""
import os
import signal
import subprocess
import time

from lab import Broker, check, free_port

DEPARTURES = 12
CONNECT_S = 20  # at most, until the load has its connections


class Cable:
    """Loads that are killed or ended in the middle of their work, one after another; the broker goes on."""

    def __init__(self, binary):
        self.bench = os.path.join(os.path.dirname(os.path.abspath(binary)), "sluice-bench")
        self.admin = str(free_port())
        self.broker = Broker(binary, f"listeners=CABLE://10.9.0.2:9092,HOST://127.0.0.1:{self.admin}",
                             "listener.security.protocol.map=CABLE:PLAINTEXT,HOST:PLAINTEXT", "inter.broker.listener.name=CABLE",
                             "sluice.transport=dpdk", "listener.name.host.sluice.transport=uring", "sluice.shards=1",
                             "sluice.durability=os", "sluice.poll=always", "sluice.memory=256m", f"sluice.dpdk.ports={self.port('server', 2)}")
        self.broker.wait_ready()

    def port(self, role, host):
        return f"net_memif0,role={role},socket=/sluice-cable-{os.getpid()};address=10.9.0.{host}/24"

    def close(self):
        return self.broker.stop()

    def load(self, kind, *args):
        admin = ("--admin-port", self.admin) if kind == "produce" else ()
        return subprocess.Popen([self.bench, kind, *args, *admin, "--ports", self.port("client", 1), "--host", "10.9.0.2", "--port",
                                 "9092", "--progress", "never"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def test_peers_that_leave(self):
        for i in range(DEPARTURES):
            load = self.load("produce", "--topic", "t", "--partitions", "1", "--warmup", "0", "--seconds", "60") if i % 2 else \
                self.load("idle", "--connections", "50", "--seconds", "60")
            time.sleep(0.8)
            check(load.poll() is None, f"the load ended by itself: {load.stdout.read() if load.poll() is not None else ''}")
            load.send_signal(signal.SIGKILL if i % 4 < 2 else signal.SIGTERM)
            said, _ = load.communicate(timeout=CONNECT_S)
            check(self.broker.process.poll() is None, f"the broker ended with departure {i}: {self.broker.log()} {said}")
        load = self.load("produce", "--topic", "last", "--partitions", "1", "--warmup", "0", "--seconds", "30", "--bytes",
                         "1000000")
        said, _ = load.communicate(timeout=60)
        check(load.returncode == 0, f"after them nobody is served: {said}")
