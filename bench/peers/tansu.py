"""Tansu 0.6.0 from crates.io with its storage in memory: no disk, so its promise is less than the others'. Only on
demand (--against tansu); the first time it is compiled, which takes long. SLUICE_TANSU names a binary that is there."""
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from peers import ROOT

VERSION = "0.6.0"
START_S = 30


class Peer:
    title = "Tansu"
    topics = True

    def __init__(self, folder, durability):
        self.process, self.port, self.folder = None, None, folder
        self.promise = "memory only"
        self.binary = os.environ.get("SLUICE_TANSU") or self.build()
        if not os.access(self.binary, os.X_OK):
            raise SystemExit(f"compare: SLUICE_TANSU={self.binary} is no program")

    @staticmethod
    def build():
        root = ROOT / ".cache" / f"tansu-{VERSION}"
        if not (root / "bin" / "tansu").exists():
            if shutil.which("cargo") is None:
                raise SystemExit("compare: tansu is built with cargo, which is not here (apt-get install cargo, or rustup)")
            print(f"compare: building tansu {VERSION}, once", file=sys.stderr, flush=True)
            done = subprocess.run(["cargo", "install", "tansu", "--version", VERSION, "--features", "dynostore",
                                   "--locked", "--root", root], check=False)
            if done.returncode:
                raise SystemExit(f"compare: cargo could not build tansu {VERSION}")
        return str(root / "bin" / "tansu")

    @staticmethod
    def settings():
        return ["storage=memory"]

    @staticmethod
    def versions():
        return {"Tansu": VERSION}

    def connect(self):
        import client
        return client.Client(f"127.0.0.1:{self.port}", 10.0)

    def start(self):
        import brokers
        self.port = brokers.free_ports()[0]
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        with (Path(self.folder) / "output.txt").open("wb") as out:
            self.process = subprocess.Popen(
                [self.binary, "broker", "--listener-url", f"tcp://127.0.0.1:{self.port}", "--advertised-listener-url",
                 f"tcp://127.0.0.1:{self.port}", "--storage-engine", "memory://tansu/", "--silent", "--cluster-id",
                 "sluice-compare"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=self.folder)
        end = time.monotonic() + START_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                text = (Path(self.folder) / "output.txt").read_text(errors="replace")[-500:]
                raise RuntimeError(f"tansu did not start: {text}")
            time.sleep(0.1)

    def answers(self):
        try:
            with self.connect() as c:
                return c.request("Metadata", 12, {"topics": []})["brokers"]
        except Exception:  # nothing there yet, or only half
            return False

    def destroy(self):
        if self.process:
            self.process.kill()
            self.process.wait()
