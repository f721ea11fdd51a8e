"""A built function, run as Lambda runs it.

    runtime.py BINARY METHOD    with the function's environment; METHOD is one that
                                the function takes at the path of a secret

Serves Lambda's Runtime API to one process of the binary and gives it events, one
after the other: requests that nobody honest sends among them. Each must be answered
with a problem document, by the same process. Prints how long the process took from
its start to its first question for an event.
"""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BINARY, METHOD = sys.argv[1:]
PATH = "/v1/workspaces/demo/secrets/pay"


def event(path=PATH, query="", headers=None, body=None, is_base64=False):
    """An event of payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "example.com"} | (headers or {}),
        "requestContext": {
            "accountId": "444455556666",
            "apiId": "api",
            "domainName": "example.com",
            "domainPrefix": "example",
            "http": {"method": METHOD, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"},
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1767225600000,
        },
        "body": body,
        "isBase64Encoded": is_base64,
    }


EVENTS = [
    ("a caller without a token", event(), 401),
    ("a control character in the query", event(query="a=\u0001 b"), None),
    ("a space in the path", event(path="/v1/a b?c"), None),
    ("a query of 70 kB", event(query="a" * 70_000), None),
    ("a bad Host", event(headers={"host": "a b@@:x"}), None),
    ("a body that is no base64", event(body="@@@", is_base64=True), None),
    ("no HTTP at all", {"workspace": "demo"}, None),
    ("a caller without a token, after all that", event(), 401),
]


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked_first = None
    given = 0
    answers = []
    done = threading.Event()

    def do_GET(self):
        Api.asked_first = Api.asked_first or time.monotonic()
        if Api.given == len(EVENTS):
            Api.done.set()
            time.sleep(60)
            return
        body = json.dumps(EVENTS[Api.given][1]).encode()
        Api.given += 1
        self.send_response(200)
        self.send_header("lambda-runtime-aws-request-id", f"request-{Api.given}")
        self.send_header("lambda-runtime-deadline-ms", str(int((time.time() + 30) * 1000)))
        self.send_header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:444455556666:function:f")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        length = self.headers.get("content-length")
        body = self.rfile.read(int(length)) if length else self.read_chunks()
        Api.answers.append((self.path, body))
        self.send_response(202)
        self.send_header("content-length", "0")
        self.end_headers()

    def read_chunks(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_):
        pass


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = os.environ | {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_address[1]}",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_LAMBDA_LOG_GROUP_NAME": "group",
    }
    started = time.monotonic()
    process = subprocess.Popen([BINARY], env=environment, stdout=subprocess.DEVNULL)
    try:
        ended = Api.done.wait(30)
        if not ended or process.poll() is not None:
            sys.exit(f"{BINARY}: it ended or hung after {len(Api.answers)} answers: {process.poll()}")
    finally:
        process.kill()
        process.wait()
    for (what, _, expected), (path, body) in zip(EVENTS, Api.answers, strict=True):
        answer = json.loads(body)
        status = answer.get("statusCode") or answer.get("status")
        problem = json.loads(answer["body"]) if "body" in answer else answer
        right = status == expected if expected else 400 <= status < 500
        if not path.endswith("/response") or not right or not problem.get("code"):
            sys.exit(f"{BINARY}: {what}: {path} {body[:500]}")
    print(f"  {len(EVENTS)} events answered by one process; {(Api.asked_first - started) * 1000:.1f} ms from its start to its first question")


main()
