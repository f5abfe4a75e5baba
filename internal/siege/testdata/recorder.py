# An HTTP server that prints what it sees, a line of JSON for each request.
import http.server, json, sys, threading

lock = threading.Lock()


class Recorder(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            out = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0].strip(), 16)
                if size == 0:
                    while self.rfile.readline().strip():
                        pass
                    return out
                piece = self.rfile.read(size)
                if len(piece) != size or self.rfile.readline() != b"\r\n":
                    raise EOFError
                out += piece
        length = int(self.headers.get("Content-Length", "0"))
        out = self.rfile.read(length)
        if len(out) != length:
            raise EOFError
        return out

    def any(self):
        try:
            body = self.body()
        except (EOFError, ValueError):
            self.close_connection = True
            return
        seen = {"trace": self.headers.get("Traceparent", ""), "method": self.command, "target": self.path, "body": body.hex()}
        with lock:
            print(json.dumps(seen), flush=True)
        text = b"" if self.command == "HEAD" else self.path.encode("latin-1")
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = any

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


server = Server(("127.0.0.1", 0), Recorder)
print(json.dumps({"port": server.server_port}), flush=True)
server.serve_forever()
