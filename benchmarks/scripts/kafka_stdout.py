"""What a user would write: `kafka_stdout.py BROKERS TOPIC GROUP COUNT`, a line for each message."""

import sys
import time

import orjson
from confluent_kafka import Consumer

from streamproc.kafka.client import CLASSIC, CONSUMER

brokers, topic, group, count = sys.argv[1:]
left = int(count)
settings = {"bootstrap.servers": brokers, "group.id": group, "auto.offset.reset": "earliest"}
consumer = Consumer(CONSUMER | CLASSIC | settings | {"enable.partition.eof": False})
consumer.subscribe([topic])
committed = time.monotonic()
while left:
    messages = consumer.consume(1000, 0.1)
    for message in messages:
        assert message.error() is None, message.error()
        orjson.loads(message.value())
    sys.stdout.buffer.write(b"".join([message.value() + b"\n" for message in messages]))
    left -= len(messages)
    if messages and (time.monotonic() > committed + 1 or not left):
        sys.stdout.buffer.flush()
        consumer.commit(offsets=consumer.position(consumer.assignment()), asynchronous=bool(left))
        committed = time.monotonic()
consumer.close()
