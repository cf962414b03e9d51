"""sluice-bench null: the limit that client and kernel allow."""
import subprocess

from peers import BENCH


class Peer:
    title = "null broker"
    promise = "none"
    topics = False

    def __init__(self, folder, durability):
        self.process, self.port = None, None

    def start(self):
        self.process = subprocess.Popen([BENCH, "null"], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def destroy(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
