#!/usr/bin/env python3
"""A Kafka cluster for tests: librdkafka's mock cluster, which speaks the protocol on real sockets and keeps records in memory.

    kafka_cluster.py <brokers>

Needs librdkafka (Debian: kcat brings it). Prints one line with the brokers' addresses. Then each line that is read is a command,
which is answered by `ok`, or by the text of an error:

    topic <name> <partitions> <replicas>
    broken <topic> <code>                    answers questions about the topic with this error; 0 ends it
    leader <topic> <partition> <broker>      lets this broker lead the partition; brokers count from 1
    down <broker>                            closes its listener and its connections; what it has stored stays
    up <broker>
    slow <broker> <milliseconds>             answers that much later; 0 ends it
    errors <request> <code> ...              answers the next requests of this number with these errors, wherever they are sent
    versions <request> <lowest> <highest>    knows these versions of a request only; -1 -1: does not know it
"""

import ctypes
import ctypes.util
import sys

MISSING = "librdkafka is missing: run tests/prepare, or install kcat"


def main():
    library = ctypes.util.find_library("rdkafka")
    if library is None:
        sys.exit(MISSING)
    rdkafka = ctypes.CDLL(library)
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(rdkafka, name).restype = ctypes.c_void_p
    for name in ("rd_kafka_mock_cluster_bootstraps", "rd_kafka_err2str"):
        getattr(rdkafka, name).restype = ctypes.c_char_p

    # A client that is never used: the cluster runs beside it.
    reason = ctypes.create_string_buffer(512)
    settings = ctypes.c_void_p(rdkafka.rd_kafka_conf_new())
    client = rdkafka.rd_kafka_new(0, settings, reason, ctypes.c_size_t(512))
    if not client:
        sys.exit(reason.value.decode())
    cluster = ctypes.c_void_p(
        rdkafka.rd_kafka_mock_cluster_new(ctypes.c_void_p(client), int(sys.argv[1]))
    )
    print(rdkafka.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)

    for line in sys.stdin:
        command, *words = line.split()
        number = [int(word) if word.lstrip("-").isdigit() else word.encode() for word in words]
        if command == "topic":
            error = rdkafka.rd_kafka_mock_topic_create(cluster, *number)
        elif command == "broken":
            rdkafka.rd_kafka_mock_topic_set_error(cluster, *number)
            error = 0
        elif command == "leader":
            error = rdkafka.rd_kafka_mock_partition_set_leader(cluster, *number)
        elif command == "down":
            error = rdkafka.rd_kafka_mock_broker_set_down(cluster, *number)
        elif command == "up":
            error = rdkafka.rd_kafka_mock_broker_set_up(cluster, *number)
        elif command == "slow":
            error = rdkafka.rd_kafka_mock_broker_set_rtt(cluster, *number)
        elif command == "errors":
            request, *codes = number
            errors = (ctypes.c_int * len(codes))(*codes)
            rdkafka.rd_kafka_mock_push_request_errors_array(
                cluster, ctypes.c_int16(request), ctypes.c_size_t(len(codes)), errors
            )
            error = 0
        elif command == "versions":
            error = rdkafka.rd_kafka_mock_set_apiversion(
                cluster, *(ctypes.c_int16(value) for value in number)
            )
        else:
            sys.exit(f"no command is called {command}")
        print("ok" if error == 0 else rdkafka.rd_kafka_err2str(error).decode(), flush=True)


main()
