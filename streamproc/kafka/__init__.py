"""Kafka as a source and a sink. Read: settings, client, thread, source, committer, sink.

The only room that knows confluent_kafka.
"""
