"""Receives webhooks for tests/lifecycle/deliveries.sh: notes each in a file once it is whole, as a line of JSON, then answers 200."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

log = open(sys.argv[1], "a", buffering=1)
lock = threading.Lock()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        record, step = body["data"]["title"].split()
        line = json.dumps({"id": self.headers["webhook-id"], "type": body["type"], "hook": self.path, "record": record, "step": int(step)})
        with lock:
            log.write(line + "\n")
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # a worker that was killed has closed its connection


server = Server(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
