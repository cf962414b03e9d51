"""The null broker that also hands each batch to the operating system to write, with no order and no promise."""
import subprocess
from pathlib import Path

from peers import BENCH, null


class Peer(null.Peer):
    title = "null broker that writes"

    def __init__(self, folder, durability):
        super().__init__(folder, durability)
        self.folder = Path(folder)

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen([BENCH, "null", "--write", self.folder], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
