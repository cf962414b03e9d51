"""kafka-python, 2.0.2 and the newest: see clients/kafka_python_session.py for the steps."""
import programs
import test_clients
from runner import equal
from test_kcat import batches_on_disk, stored_with


def run_session(context, environment, prefix):
    text, prefix = context.scratch / "python-text", context.name(prefix)
    text.write_bytes(context.text(250_000 if context.quick else 2_000_000))
    session = programs.CLIENTS / "kafka_python_session.py"
    test_clients.run_session(context, [context.python(environment), session, context.broker.address, prefix, text],
                             prefix, session.read_text().count("\ndef step_"), codecs=())
    for codec in test_clients.CODECS:
        stored_with(context.broker, f"{prefix}-{codec}", codec)
    return prefix


def test_kafka_python_2_0_2(context):
    run_session(context, "venv-kafka-python-2.0.2", "kp202")


def test_kafka_python_newest(context):
    prefix = run_session(context, "venv", "kpnew")
    equal([b.producer_id for b in batches_on_disk(context.broker, f"{prefix}-idempotent") if b.producer_id < 0], [],
          "batches of the idempotent producer without an id")
