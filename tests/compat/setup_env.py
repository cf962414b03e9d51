#!/usr/bin/env python3
"""Make the Python environments of the client tests in the cache (once).

`venv`: kafka-python and confluent-kafka, the newest when these lines were last changed, compression codecs, CRC32C. The test runner itself
runs in it. `venv-aiokafka`: the asynchronous client. `venv-kafka-python-2.0.2`: the old pure-Python client that many programs still pin.
"""
import sys
import venv
from pathlib import Path

import kafka_dist

CODECS = ["cramjam", "python-snappy", "lz4", "zstandard", "google-crc32c"]
ENVIRONMENTS = {
    "venv": ["kafka-python==3.0.12", "confluent-kafka==2.16.1", *CODECS],
    "venv-aiokafka": ["aiokafka==0.12.0", "cramjam"],
    "venv-kafka-python-2.0.2": ["kafka-python==2.0.2", "crc32c", *CODECS],
}


def ensure(name):
    """Path of the environment's Python; builds the environment at the first call."""
    folder = kafka_dist.cache_dir() / name
    python, stamp = folder / "bin" / "python", folder / ".complete"
    wanted = "\n".join(ENVIRONMENTS[name])
    def there():
        return stamp.exists() and stamp.read_text() == wanted and python.exists()
    if there():
        return Path(python)
    with kafka_dist.filling():
        if there():
            return Path(python)
        print(f"installing {', '.join(ENVIRONMENTS[name])} into {folder}", file=sys.stderr,
              flush=True)
        venv.EnvBuilder(with_pip=True, clear=True).create(folder)
        done = kafka_dist.fetch([python, "-m", "pip", "install", "-q", "--disable-pip-version-check",
                                 "--retries", "10", "--timeout", "60", *ENVIRONMENTS[name]])
        if done.returncode != 0:
            raise RuntimeError(f"pip failed:\n{done.stdout[-3000:]}")
        stamp.write_text(wanted)
    return Path(python)


if __name__ == "__main__":
    for environment in ENVIRONMENTS:
        print(ensure(environment))
