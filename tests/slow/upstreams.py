"""The upstreams of clients.py, on one port: each knows its real key, and nobody else.

    /openai/…   answers, and a stream of events that waits for a signal between two of them
    /v1/…       Stripe's
    /s3/…       a bucket; the signature is calculated anew by botocore's own code
    /git/…      a repository behind `git http-backend`, git's own CGI program
"""

import base64
import hashlib
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

OPENAI_KEY = "the-real-key-for-openai-4f1d0b6c8e2a49d7"
STRIPE_KEY = "the-real-key-for-stripe-9c1b2f7d6e8a4f1d"
S3_ID, S3_KEY = "AKIDREALKEYOFS3", "the-real-key-for-s3-7e5a9d3c1b8f4e2a"
GIT_USER, GIT_KEY = "x-access-token", "the-real-key-for-git-1a2b3c4d5e6f7081"
SECRETS = (OPENAI_KEY, STRIPE_KEY, S3_KEY, GIT_KEY)
REGION = "eu-west-1"


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = []
    # Set by the client when the first event has reached it; the second is sent only then.
    first_came = threading.Event()
    objects = {}
    repositories = None

    def answer(self):
        body = self.body()
        Upstream.seen.append((self.command, self.path, dict(self.headers), body.decode("latin-1")))
        if self.path.startswith("/s3/"):
            return self.s3(body)
        if self.path.startswith("/git/"):
            return self.git(body)
        body = body.decode()
        key = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        wanted = OPENAI_KEY if self.path.startswith("/openai/") else STRIPE_KEY
        if key != wanted:
            return self.send(401, {"error": {"message": "no such key", "type": "invalid_request_error"}})
        match self.path.split("?")[0]:
            case "/openai/v1/chat/completions":
                asked = json.loads(body)
                if asked.get("stream"):
                    return self.events(asked)
                message = {"role": "assistant", "content": asked["messages"][-1]["content"].upper()}
                self.send(200, {"id": "c", "object": "chat.completion", "created": 1, "model": asked["model"], "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
            case "/openai/v1/models":
                self.send(200, {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "o"}]})
            case "/v1/customers":
                self.send(200, {"id": "cus_1", "object": "customer", "description": body})
            case _:
                self.send(404, {"error": {"message": "no such thing", "type": "invalid_request_error"}})

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def events(self, asked):
        """Two events, the second only once the first has arrived."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

        def say(text):
            data = f"data: {text}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

        for number, word in enumerate(asked["messages"][-1]["content"].upper().split(" ")):
            if number == 1 and not Upstream.first_came.wait(30):
                return self.connection.close()
            choice = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
            say(json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": asked["model"], "choices": [choice]}))
        say("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def s3(self, body):
        if not self.is_signed(body):
            return self.send(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", "application/xml")
        path = self.path.split("?")[0]
        if self.command == "PUT":
            Upstream.objects[path] = body
            return self.send(200, b"", None, {"etag": '"%s"' % hashlib.md5(body).hexdigest()})
        if path not in Upstream.objects:
            return self.send(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")
        self.send(200, Upstream.objects[path], "application/octet-stream")

    def is_signed(self, body):
        """Whether the signature is what botocore makes of this request with the real key."""
        scheme, _, rest = (self.headers.get("authorization") or "").partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        date = self.headers.get("x-amz-date") or ""
        digest = self.headers.get("x-amz-content-sha256")
        if scheme != "AWS4-HMAC-SHA256" or digest != hashlib.sha256(body).hexdigest():
            return False
        if parts["Credential"] != f"{S3_ID}/{date[:8]}/{REGION}/s3/aws4_request":
            return False
        signed = parts["SignedHeaders"].split(";")
        if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(signed):
            return False
        headers = {name: self.headers[name] for name in signed}
        request = AWSRequest(self.command, f"http://{self.headers['host']}{self.path}", headers=headers, data=body)
        request.context["timestamp"] = date
        signer = S3SigV4Auth(Credentials(S3_ID, S3_KEY), "s3", REGION)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return signer.signature(text, request) == parts["Signature"]

    def git(self, body):
        wanted = base64.b64encode(f"{GIT_USER}:{GIT_KEY}".encode()).decode()
        if self.headers.get("authorization") != f"Basic {wanted}":
            return self.send(403, b"no such key", "text/plain")
        path, _, query = self.path.removeprefix("/git").partition("?")
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(Upstream.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "REMOTE_USER": "someone",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("content-type") or "",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding") or "",
            "HTTP_GIT_PROTOCOL": self.headers.get("git-protocol") or "",
        }
        said = subprocess.run(["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE, check=True).stdout
        head, _, body = said.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split(" ")[0])
        self.send(status, body, None, headers)

    def send(self, status, value, kind="application/json", headers=None):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in (({"content-type": kind} if kind else {}) | (headers or {})).items():
            self.send_header(name, text)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve():
    """Serves them all; gives their address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"
