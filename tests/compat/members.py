"""Members of consumer groups in processes of their own: start, watch, leave, kill.

The programs are clients/group_member.py, clients/kafkajs/member.js, clients/franzgo/member.go, java/GroupMember.java and
kcat. Each prints a line per event: `assigned 0,1` (all that it holds then, or `-`), `revoked 0`, `got <partition>
<offset>`, `committed`, `left`; each commits after every poll that brought something, and leaves when its input ends. kcat says on its standard
error what it is assigned, ends by a signal, and commits from time to time.
"""
import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import programs
from runner import skip, until

SCRIPT = Path(__file__).resolve().parent / "clients" / "group_member.py"
# A member that a busy machine keeps waiting for so long is out of its group, which no test here wants.
SESSION_MS = 30000
WAIT = 180  # seconds for what comes within one or two on a quiet machine


def command_of(context, library, variant, address, topic, group):
    """argv of a member. variant: the Python environment, or the group protocol of Java's."""
    if library == "kafkajs":
        return programs.kafkajs("member.js", address, topic, group)
    if library == "franz-go":
        return programs.franz_go("member", address, topic, group)
    if library.startswith("java-"):
        return programs.java(library[5:], "GroupMember", address, topic, group, variant)
    if library == "kcat":
        if shutil.which("kcat") is None:
            skip("kcat is not installed")
        # -E: it goes on when its only broker is away
        return ["kcat", "-E", "-b", address, "-G", group, topic, "-u", "-f", "got %p %o\n",
                "-X", "auto.offset.reset=earliest", "-X", "auto.commit.interval.ms=200",
                "-X", f"session.timeout.ms={SESSION_MS}", "-X", "heartbeat.interval.ms=300"]
    return [context.python(variant), SCRIPT, library, address, topic, group]


class Member:
    def __init__(self, context, library, variant, topic, group, broker=None, session_ms=SESSION_MS):
        self.name, self.kcat = library, library == "kcat"
        self.events, self.owned = [], None
        self.errors = context.scratch / f"member-{context.name(library)}.log"
        command = command_of(context, library, variant, (broker or context.broker).address, topic, group)
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if self.kcat else errors, text=True,
                env={**os.environ, "MEMBER_SESSION_MS": str(session_ms)})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            found = re.match(r"% Group \S+ rebalanced.*: (assigned|revoked): (.*)", line)
            if found:
                numbers = sorted(map(int, re.findall(r"\[(\d+)\]", found[2])))
                line = f"{found[1]} {','.join(map(str, numbers)) or '-'}"
            word, _, rest = line.strip().partition(" ")
            self.events.append((word, rest))
            if word in ("assigned", "revoked"):
                named = [int(p) for p in rest.split(",")] if rest != "-" else []
                self.owned = named if word == "assigned" else [p for p in self.owned or () if p not in named]

    def got(self, since=0):
        """{(partition, offset)} that it read, after `since` events."""
        return {tuple(map(int, rest.split())) for word, rest in self.events[since:] if word == "got"}

    def changes(self):
        """How often it was told what it holds."""
        return sum(word in ("assigned", "revoked") for word, _ in list(self.events))

    def times(self):
        return sum(word == "got" for word, _ in list(self.events))

    def story(self):
        """What it did last, for the message of a failure."""
        last = [" ".join(event) for event in self.events[-8:]]
        errors = self.errors.read_text(errors="replace")[-1500:]
        return (f"\n  {self.name}: holds {self.owned}, got {self.times()} times {len(self.got())} records, exit status "
                f"{self.process.poll()}, last {last}\n{errors}")

    def leave(self):
        if self.process.poll() is None:
            if self.kcat:
                self.process.send_signal(signal.SIGINT)
            self.process.stdin.close()
            try:
                self.process.wait(WAIT)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"it did not leave in {WAIT} s{self.story()}") from None
        self.reader.join(5)
        if self.kcat:
            self.events.append(("left", ""))

    def kill(self):
        self.process.kill()
        self.process.wait()


def wait(condition, what, *members):
    """Until `condition` holds; a failure tells what the members did."""
    def holds():
        dead = [m for m in members if m.process.poll() is not None]
        if dead and not condition():
            raise AssertionError(f"{what}: a member ended{dead[0].story()}")
        return condition()
    try:
        until(holds, WAIT, what=what)
    except AssertionError as error:
        raise AssertionError(f"{error}{''.join(m.story() for m in members)}") from None
