"""The null broker that also hands each batch to the operating system to write, with no order and no promise."""
from pathlib import Path

from peers import null


class Peer(null.Peer):
    title = "null broker that writes"

    def __init__(self, folder, durability):
        super().__init__(folder, durability)
        self.folder = Path(folder)

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        super().start("--write", self.folder)
