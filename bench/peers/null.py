"""sluice-bench null: the limit that client and kernel allow."""
import subprocess

import command
from peers import BENCH, START_S


class Peer:
    title = "null broker"
    promise = "none"
    topics = False

    def __init__(self, folder, durability):
        self.process, self.port = None, None

    def start(self, *options):
        self.process = subprocess.Popen([BENCH, "null", *options], stdout=subprocess.PIPE, text=True)
        self.port = int(command.first_line(self.process, START_S, self.title).rsplit(":", 1)[1])

    def destroy(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
