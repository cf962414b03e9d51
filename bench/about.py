"""about: what a comparison says of itself: the machine, what was compared in which version and with which settings, and the
command that repeats it."""
import os
import platform
import subprocess
from pathlib import Path

import peers

ASK_S = 60


def git_commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=peers.ROOT, capture_output=True, text=True, timeout=ASK_S,
                          check=False)
    return done.stdout.strip()


def rdkafka():
    """librdkafka's version and its binding's, as the loads find them."""
    import setup_env
    done = subprocess.run([setup_env.ensure("venv"), "-c", "import confluent_kafka as c; "
                           "print(f'{c.libversion()[0]} (confluent-kafka {c.__version__})')"],
                          capture_output=True, text=True, timeout=ASK_S, check=False)
    return done.stdout.strip()


def versions(options, started):
    """{name: text}; what does not tell its version is left out."""
    found = {"sluice-bench": git_commit()}
    for broker in started.values():
        if hasattr(broker, "versions"):
            found |= broker.versions()
    if any(options.all[n].get("tool", "").startswith("rdkafka") for n in options.names):
        found["librdkafka"] = rdkafka()
    return {k: v for k, v in found.items() if v}


def seconds_text(lengths):
    return " and ".join(f"{s:g}" for s in lengths)


def command(options):
    """As it was asked for, with what was left to defaults filled in; the results' folder belongs to the machine."""
    words = ["./dev compare", f"--rounds {options.rounds}"]
    words.append(f"--seconds {options.durations[0]:g}" if len(options.durations) == 1
                 else "--durations " + ",".join(f"{s:g}" for s in options.durations))
    if options.durability != "os":
        words.append(f"--durability {options.durability}")
    return " ".join([*words, "--against", options.against or "''", *options.words])


def machine(options, started):
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    told = {k: {"title": b.title, "promise": b.promise, "start_s": round(b.start_s, 2)} for k, b in started.items()}
    for k, b in started.items():
        if hasattr(b, "settings"):
            told[k]["settings"] = b.settings()
    lengths = options.durations
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            "durability": options.durability, "rounds": options.rounds, "durations": lengths,
            "seconds": lengths[0] if len(lengths) == 1 else seconds_text(lengths), "warmup_s": options.warmup,
            "versions": versions(options, started), "peers": told, "command": command(options)}
