"""kafka-python, 2.0.2 and the newest: see clients/kafka_python_session.py for the steps."""
import subprocess
from pathlib import Path

from runner import check

SESSION = Path(__file__).resolve().parent / "clients" / "kafka_python_session.py"


def run_session(context, environment, prefix):
    text = context.scratch / "python-text"
    text.write_bytes(context.text(250_000 if context.quick else 2_000_000))
    done = subprocess.run([context.python(environment), SESSION, context.broker.address,
                           context.name(prefix), text], capture_output=True, text=True,
                          timeout=240)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    check(done.returncode == 0 and done.stdout.count("ok ") >= 9,
          "\n  ".join(["", *failed]) + f"\n{done.stderr[-3000:]}")


def test_kafka_python_2_0_2(context):
    run_session(context, "venv-kafka-python-2.0.2", "kp202")


def test_kafka_python_newest(context):
    run_session(context, "venv", "kpnew")
