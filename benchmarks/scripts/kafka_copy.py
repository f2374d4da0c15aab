"""What a user would write: `kafka_copy.py BROKERS TOPIC GROUP COUNT OUT [SECONDS]`.

With SECONDS there is a transaction for each of them.
"""

import sys
import time

import orjson
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, Producer

from streamproc.kafka.client import CLASSIC, CONSUMER, PRODUCER

brokers, topic, group, count, out, *interval = sys.argv[1:]
left, every = int(count), float(interval[0]) if interval else 1.0
settings = {"bootstrap.servers": brokers}
transactional = {"transactional.id": group} if interval else {}
producer = Producer(PRODUCER | settings | transactional)
group_settings = {"group.id": group, "auto.offset.reset": "earliest", "enable.partition.eof": False}
consumer = Consumer(CONSUMER | CLASSIC | settings | group_settings)
delivered = 0


def on_delivery(error, _):
    global delivered  # noqa: PLW0603 - as one would
    assert error is None, error
    delivered += 1


def produce(message):
    kind, timestamp = message.timestamp()
    more = {} if kind == TIMESTAMP_NOT_AVAILABLE else {"timestamp": timestamp}
    while True:
        try:
            return producer.produce(
                out, message.value(), message.key(), headers=message.headers() or [],
                on_delivery=on_delivery, **more,
            )  # fmt: skip
        except BufferError:
            producer.poll(0.01)


def finish():
    offsets = consumer.position(consumer.assignment())
    if interval:
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata())
        producer.commit_transaction()
        producer.begin_transaction()
    else:
        producer.flush()
        consumer.commit(offsets=offsets, asynchronous=False)


if interval:
    producer.init_transactions()
    producer.begin_transaction()
consumer.subscribe([topic])
finished = time.monotonic()
while left:
    messages = consumer.consume(1000, min(0.1, every))
    for message in messages:
        assert message.error() is None, message.error()
        orjson.loads(message.value())
        produce(message)
    producer.poll(0)
    left -= len(messages)
    if consumer.assignment() and time.monotonic() > finished + every:
        finish()
        finished = time.monotonic()
finish()
assert delivered == int(count)
consumer.close()
