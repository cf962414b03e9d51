"""A network namespace, a broker on a port of ours inside it, and what goes wrong told in one line."""
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "compat"))
import brokers  # noqa: E402

# Bounds for what hangs: a busy machine takes its time.
START_S = 180
STOP_S = 120
INSIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inside.py")


class Failed(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


def run(*args, stdin=None, timeout=180, ok=True):
    done = subprocess.run(args, input=stdin, capture_output=True, timeout=timeout)
    if ok and done.returncode != 0:
        raise Failed(f"{' '.join(args)}: {done.stderr.decode(errors='replace').strip()}")
    return done


def cannot():
    """Why there can be no namespace with a tap here; None if there can."""
    if os.geteuid() != 0:
        return "not root"
    name = f"sluice-probe-{os.getpid()}"
    try:
        for command in (["ip", "netns", "add", name],
                        ["ip", "-n", name, "tuntap", "add", "mode", "tap", "name", "probe0"]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            if done.returncode != 0:
                return f"{' '.join(command)}: {done.stderr.strip()}"
    except (OSError, subprocess.TimeoutExpired) as e:
        return str(e)
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return None


def free_port():
    """One of 127.0.0.1 that nobody listens on now, and none that the kernel gives to a client meanwhile."""
    return brokers.free_ports()[0]


def lines(seed, count, most):
    rng = random.Random(seed)
    return b"".join(b"%d:" % i + bytes(rng.choices(b"abcdefgh", k=rng.randrange(most))) + b"\n"
                    for i in range(count))


def round_trip(ns, broker, topic, data):
    ns.kcat(broker, "-P", "-t", topic, stdin=data)
    got = ns.kcat(broker, "-C", "-t", topic, "-e", "-q").stdout
    check(got == data, f"{topic}: {len(got)} bytes came back of {len(data)}, or others")


class Namespace:
    """Made and removed by the test; everything in it goes with it. One that a killed run left is in nobody's way."""

    def __init__(self, name, own=True):
        self.name = f"{name}-{os.getpid()}" if own else name
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *args, ok=True):
        return run("ip", "-n", self.name, *args, ok=ok).stdout.decode()

    def sysctl(self, **values):
        for key, value in values.items():
            self.run("sysctl", "-qw", f"{key.replace('__', '.')}={value}")

    def run(self, *args, **kw):
        return run("ip", "netns", "exec", self.name, *args, **kw)

    def python(self, *args, **kw):
        return self.run(sys.executable, INSIDE, *args, **kw)

    def python_begin(self, *args):
        return subprocess.Popen(["ip", "netns", "exec", self.name, sys.executable, INSIDE, *args],
                                stdout=subprocess.PIPE, text=True)

    def kcat(self, broker, *args, **kw):
        return self.run("kcat", "-b", broker, "-m", "60", *args, **kw)

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


class Broker:
    def __init__(self, binary, *overrides, user=None):
        self.dir = tempfile.mkdtemp(prefix="sluice-bypass-")
        if user:
            os.chmod(self.dir, 0o777)
        args = [binary, "--override", f"log.dirs={self.dir}/data"]
        for text in overrides:
            args += ["--override", text]
        self.log_path = os.path.join(self.dir, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=log,
                                            user=user, extra_groups=[] if user else None)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def wait_ready(self):
        os.set_blocking(self.process.stdout.fileno(), False)
        end = time.monotonic() + START_S
        text = b""
        while time.monotonic() < end:
            text += self.process.stdout.read() or b""
            if b"sluiced ready" in text:
                return text.decode()
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise Failed(f"the broker did not start:\n{self.log()}")

    def refused(self):
        """The line with which a start was refused."""
        try:
            code = self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            raise Failed("the start was not refused")
        check(code == 1, f"exit code {code} instead of 1")
        said = [line for line in self.log().splitlines() if "the start is refused" in line]
        check(len(said) == 1, f"{len(said)} lines say why:\n{self.log()}")
        return said[0]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Failed("the broker did not stop")
        code = self.process.returncode
        shutil.rmtree(self.dir, ignore_errors=True)
        return code
