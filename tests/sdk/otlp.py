"""Collectors made of OpenTelemetry's own packages: its services over grpcio, its messages over HTTP."""

import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from upstream import PATIENCE_S

PROTOCOLS = ("http", "grpc")


class Collector:
    """Takes spans and log records. Listens from `start` to `stop`, and may be started again at the same place."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.port = 0
        self.spans: list[Span] = []
        self.logs: list = []
        self.resources: list[dict] = []
        self.headers: list[dict[str, str]] = []
        #: How often the next requests are answered with "not now".
        self.busy = 0
        self._changed = threading.Condition()
        self._server: grpc.Server | ThreadingHTTPServer | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        if self.protocol == "grpc":
            server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
            trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_GrpcTraces(self), server)
            logs_service_pb2_grpc.add_LogsServiceServicer_to_server(_GrpcLogs(self), server)
            self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
            server.start()
        else:
            server = ThreadingHTTPServer(("127.0.0.1", self.port), _http_handler(self))
            server.daemon_threads = True
            self.port = server.server_address[1]
            threading.Thread(target=server.serve_forever, name="collector", daemon=True).start()
        self._server = server

    def stop(self) -> None:
        server, self._server = self._server, None
        if isinstance(server, ThreadingHTTPServer):
            server.shutdown()
            server.server_close()
        elif server is not None:
            server.stop(None).wait(PATIENCE_S)

    def wait_for_spans(self, number: int) -> list[Span]:
        """Waits until so many spans are there."""
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.spans) >= number, PATIENCE_S)
            assert enough, f"{len(self.spans)} spans came, not {number}"
            return list(self.spans)

    def wait_for_refusal(self) -> None:
        """Waits until no request is to be refused any more."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.busy == 0, PATIENCE_S), "the collector was not asked often enough"

    def take(self, request: object, headers: dict[str, str]) -> bool:
        """Keeps what a request holds; tells whether it was taken."""
        with self._changed:
            self._changed.notify_all()
            self.headers.append(headers)
            if self.busy > 0:
                self.busy -= 1
                return False
            for of_resource in getattr(request, "resource_spans", ()):
                self.resources.append(attributes(of_resource.resource))
                for of_scope in of_resource.scope_spans:
                    self.spans.extend(of_scope.spans)
            for of_resource in getattr(request, "resource_logs", ()):
                for of_scope in of_resource.scope_logs:
                    self.logs.extend(of_scope.log_records)
            return True


class _Grpc:
    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def take(self, request: object, context: grpc.ServicerContext) -> None:
        if not self.collector.take(request, dict(context.invocation_metadata())):
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")


class _GrpcTraces(_Grpc, trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request: object, context: grpc.ServicerContext) -> object:  # noqa: N802
        self.take(request, context)
        return trace_service_pb2.ExportTraceServiceResponse()


class _GrpcLogs(_Grpc, logs_service_pb2_grpc.LogsServiceServicer):
    def Export(self, request: object, context: grpc.ServicerContext) -> object:  # noqa: N802
        self.take(request, context)
        return logs_service_pb2.ExportLogsServiceResponse()


def _http_handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    messages = {
        "/v1/traces": (trace_service_pb2.ExportTraceServiceRequest, trace_service_pb2.ExportTraceServiceResponse),
        "/v1/logs": (logs_service_pb2.ExportLogsServiceRequest, logs_service_pb2.ExportLogsServiceResponse),
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # noqa: N802
            body = self.rfile.read(int(self.headers["content-length"]))
            status, answer = 404, b""
            if self.path in messages and self.headers["content-type"] == "application/x-protobuf":
                asked, answered = messages[self.path]
                headers = {name.lower(): value for name, value in self.headers.items()}
                taken = collector.take(asked.FromString(body), headers)
                status, answer = (200, answered().SerializeToString()) if taken else (503, b"")
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def attributes(holder: object) -> dict[str, object]:
    """The attributes of a span, a record or a resource; none may be there twice."""
    found: dict[str, object] = {}
    attribute: KeyValue
    for attribute in holder.attributes:
        assert attribute.key not in found, f"{attribute.key} is there twice"
        found[attribute.key] = plain(attribute.value)
    return found


def plain(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
