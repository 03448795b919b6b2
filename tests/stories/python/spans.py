"""A collector of OpenTelemetry's own making decodes what the server sends; then a device that is refused leaves a span that says why."""

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces", self.path
        assert self.headers["Content-Type"] == "application/x-protobuf"
        request = ExportTraceServiceRequest.FromString(body)
        # Nothing in it that the official description does not know.
        assert request.SerializeToString() == body, "read and written again it is the same"
        for of_resource in request.resource_spans:
            resource = words(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                for span in of_scope.spans:
                    tell(resource, span)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def words(attributes):
    return {pair.key: pair.value.string_value for pair in attributes}


def tell(resource, span):
    assert resource["service.name"] == "birthmark" and resource["service.version"]
    assert len(span.trace_id) == 16 and len(span.span_id) == 8 and any(span.span_id)
    assert span.end_time_unix_nano >= span.start_time_unix_nano > 1_700_000_000 * 10**9
    attributes = words(span.attributes)
    steps = ",".join(event.name for event in span.events)
    print("span", span.trace_id.hex(), span.name, "part" if span.parent_span_id else "whole",
          attributes.get("birthmark.code", attributes.get("birthmark.outcome", "-")) or "-",
          "failed" if span.status.code == 2 else "well", steps or "-", sep="\t", flush=True)


server = HTTPServer(("127.0.0.1", 0), Collector)
print("port", server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
