"""Independent clients of the local stack: boto3 as the customer, the operator and a
thief, and the unmodified packages `openai` and `stripe` through the pass-through.

    clients.py BINARY    target/debug/local

Starts the stack on free ports in a folder of its own, and leaves nothing behind.
"""

import base64
import json
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import openai
import stripe
from botocore.config import Config

OPENAI_KEY = "the-real-key-for-openai-4f1d0b6c8e2a49d7"
STRIPE_KEY = "the-real-key-for-stripe-9c1b2f7d6e8a4f1d"


def check(true, what):
    if not true:
        raise SystemExit(f"clients: {what}")


def said(text):
    print(f"  {text}", flush=True)


class Upstream(BaseHTTPRequestHandler):
    """Knows the two real keys, and nobody else."""

    protocol_version = "HTTP/1.1"
    seen = []

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length).decode()
        Upstream.seen.append((self.command, self.path, dict(self.headers), body))
        key = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        wanted = OPENAI_KEY if self.path.startswith("/openai/") else STRIPE_KEY
        if key != wanted:
            return self.send(401, {"error": {"message": "no such key", "type": "invalid_request_error"}})
        match self.path.split("?")[0]:
            case "/openai/v1/chat/completions":
                asked = json.loads(body)
                message = {"role": "assistant", "content": asked["messages"][-1]["content"].upper()}
                self.send(200, {"id": "c", "object": "chat.completion", "created": 1, "model": asked["model"], "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
            case "/openai/v1/models":
                self.send(200, {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "o"}]})
            case "/v1/customers":
                self.send(200, {"id": "cus_1", "object": "customer", "description": body})
            case _:
                self.send(404, {"error": {"message": "no such thing", "type": "invalid_request_error"}})

    do_GET = do_POST = answer

    def send(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Workspace:
    """A workspace's own API, over plain HTTP."""

    def __init__(self, base, name, token):
        self.base, self.name, self.token = f"{base}/v1/workspaces/{name}", name, token

    def call(self, method, path, body=None):
        """The status, the code of a refusal, and the answer."""
        request = urllib.request.Request(self.base + path, method=method, headers={"authorization": f"Bearer {self.token}"})
        if body is not None:
            request.add_header("content-type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, "", json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("byok-error") or "", json.loads(error.read())

    def must(self, method, path, body=None):
        status, code, answer = self.call(method, path, body)
        check(status < 300, f"{method} {path}: {status} {code} {answer}")
        return answer

    def must_be_refused(self, expected, method, path, body=None):
        status, code, answer = self.call(method, path, body)
        check((status, code) == expected, f"{method} {path}: {expected} expected: {status} {code} {answer}")


def main(binary):
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    upstream.daemon_threads = True
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="byok-clients-") as folder:
        state = Path(folder) / "state"
        anywhere = "127.0.0.1:0"
        command = [binary, "--state", state, "--http", anywhere, "--kms", anywhere, "--dynamodb", anywhere]
        with open(Path(folder) / "log", "w+", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
            try:
                for line in process.stdout:
                    if line == "ready\n":
                        break
                else:
                    log.seek(0)
                    raise SystemExit(f"clients: the stack did not start: {log.read()}")
                run(json.loads((state / "local.json").read_text()), state, f"http://127.0.0.1:{upstream.server_address[1]}")
            finally:
                process.terminate()
                process.wait(30)
            log.seek(0)
            text = log.read()
            check("answered" in text, "the stack logged nothing")
            for secret in (OPENAI_KEY, STRIPE_KEY):
                check(secret not in text, "a secret is in the log")


def run(stack, state, upstream):
    def client(service, address, principal):
        keys = stack["principals"][principal]
        return boto3.client(
            service,
            endpoint_url=stack[address],
            region_name=stack["region"],
            aws_access_key_id=keys["accessKeyId"],
            aws_secret_access_key=keys["secretAccessKey"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    functions = client("lambda", "http", "operator")

    def opened(name):
        answer = functions.invoke(FunctionName="open-workspace", Payload=json.dumps({"workspace": name}).encode())
        return Workspace(stack["http"], name, json.load(answer["Payload"])["token"])

    # A second customer, in an account of its own.
    kms = client("kms", "kms", "other-customer")
    key = kms.create_key(Description="KEK of the clients' workspace")["KeyMetadata"]["Arn"]
    account = key.split(":")[4]
    workspace = opened("clients")
    said(f"CreateKey in account {account}; Invoke open-workspace: clients")

    def paste(statements):
        owner = {"Sid": "Owner", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "kms:*", "Resource": "*"}
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps({"Version": "2012-10-17", "Statement": [owner, *statements]}))

    denied = (424, "key_access_denied")
    workspace.must_be_refused(denied, "PUT", "/key", {"key": key})
    written = workspace.must("GET", "/key/policy")
    paste(written["statements"])
    workspace.must("PUT", "/key", {"key": key})
    said("bind: refused before the policy of GET /key/policy is pasted, done after")

    for name, secret, prefix in (("openai", OPENAI_KEY, "/openai/v1/"), ("stripe", STRIPE_KEY, "/")):
        workspace.must("PUT", f"/secrets/{name}", {"value": secret, "policy": {"destinations": [{"url": upstream + prefix}]}})
    use = ("POST", "/secrets/openai/use", {"request": {"method": "GET", "url": f"{upstream}/openai/v1/models"}})
    uses = 0

    def use_works():
        nonlocal uses
        answer = workspace.must(*use)
        check(answer["status"] == 200 and answer["receipt"]["kmsRequestId"], f"a use: {answer}")
        check(OPENAI_KEY not in json.dumps(answer), "the caller saw the secret")
        uses += 1

    use_works()
    said("put two secrets, use one: the upstream took its real key, the caller never saw it")

    paste([])
    workspace.must_be_refused(denied, *use)
    grant = written["grant"]
    kms.create_grant(KeyId=key, **grant)
    use_works()
    live = kms.list_grants(KeyId=key)["Grants"]
    check([one["GranteePrincipal"] for one in live] == [written["role"]], f"one grant, to the broker's role: {live}")
    kms.revoke_grant(KeyId=key, GrantId=live[0]["GrantId"])
    workspace.must_be_refused(denied, *use)
    check(kms.list_grants(KeyId=key)["Grants"] == [], "no grant is left")
    said("the same by a grant; RevokeGrant: the next use is 424 key_access_denied")

    kms.create_grant(KeyId=key, **grant)
    use_works()
    kms.disable_key(KeyId=key)
    workspace.must_be_refused((424, "key_disabled"), *use)
    kms.enable_key(KeyId=key)
    use_works()
    paste([written["cut"]])
    workspace.must_be_refused(denied, *use)
    paste([])
    use_works()
    said("DisableKey and a Deny cut likewise; EnableKey and the Deny taken out bring it back")

    other = opened("clients-other")
    other.must_be_refused(denied, "PUT", "/key", {"key": key})
    said("the same key for another workspace: refused by the fence")

    own = kms.encrypt(KeyId=key, Plaintext=b"the customer's own", EncryptionContext={"a": "b"})["CiphertextBlob"]
    check(kms.decrypt(CiphertextBlob=own, EncryptionContext={"a": "b"})["Plaintext"] == b"the customer's own", "the customer's own use of the key")
    try:
        kms.decrypt(CiphertextBlob=own, EncryptionContext={"a": "c"})
        check(False, "another context opened the customer's own")
    except kms.exceptions.InvalidCiphertextException:
        pass
    said("Encrypt and Decrypt of the customer's own; another context does not open it")

    uses += programs(workspace, kms, key, grant, upstream)
    thief(client("dynamodb", "dynamodb", "operator"))

    events = [json.loads(line) for line in (state / "cloudtrail.jsonl").read_text().splitlines()]
    seen = [
        event
        for event in events
        if event["eventName"] == "Decrypt" and not event.get("errorCode") and event["requestParameters"]["encryptionContext"].get("byok:workspace") == "clients"
        and event["requestParameters"]["encryptionContext"]["byok:secret"] != "$probe"
    ]
    check(len(seen) == uses, f"{uses} uses, but {len(seen)} in the customer's log")
    said(f"the customer's log has every one of the {uses} uses, by name")


def programs(workspace, kms, key, grant, upstream):
    """Programs that change their base URL and their API key, and nothing else."""
    via = f"{workspace.base}/via"
    Upstream.seen.clear()
    chat = openai.OpenAI(base_url=f"{via}/openai/", api_key=workspace.token)
    answer = chat.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
    check(answer.choices[0].message.content == "HELLO", f"openai: {answer}")
    check([model.id for model in chat.models.list()] == ["m"], "openai: models")

    stripe.api_base, stripe.api_key = f"{via}/stripe", workspace.token
    customer = stripe.Customer.create(description="a & b", email="a@example.com")
    check(customer.id == "cus_1" and "email=a%40example.com" in customer.description, f"stripe: {customer}")
    check(len(Upstream.seen) == 3, "three requests reached the upstream")
    for _, path, headers, body in Upstream.seen:
        check(workspace.token not in json.dumps([path, headers, body]), "the broker's token reached the upstream")

    strange = openai.OpenAI(base_url=f"{via}/openai/", api_key=workspace.token[:-1] + ("A" if workspace.token[-1] != "A" else "B"))
    try:
        strange.models.list()
        check(False, "a strange token worked")
    except openai.AuthenticationError as error:
        check(error.response.headers["byok-error"] == "unauthenticated", "openai: the broker's own 401")

    for one in kms.list_grants(KeyId=key)["Grants"]:
        kms.revoke_grant(KeyId=key, GrantId=one["GrantId"])
    try:
        chat.models.list()
        check(False, "a revoked key worked")
    except openai.APIStatusError as error:
        check((error.status_code, error.response.headers["byok-error"]) == (424, "key_access_denied"), f"openai: {error}")
    try:
        stripe.Customer.create(description="after the cut")
        check(False, "a revoked key worked")
    except stripe.StripeError as error:
        check(error.http_status == 424 and '"key_access_denied"' in error.http_body, f"stripe: {error}")
    check(len(Upstream.seen) == 3, "nothing reached the upstream after the cut")
    kms.create_grant(KeyId=key, **grant)
    said(f"openai {openai.VERSION} and stripe {stripe.VERSION} through the pass-through; both are cut by RevokeGrant")
    return 3


def thief(tables):
    """Who reads both tables learns no secret."""
    items = []
    for table in ("broker", "audit"):
        for page in tables.get_paginator("scan").paginate(TableName=table):
            items += page["Items"]
    # Binary attributes as they are, and as text.
    stored = json.dumps(items, default=lambda value: (bytes(value) if not isinstance(value, bytes) else value).decode("latin-1"))
    check("S#openai" in stored, "the secrets' records are there")
    for secret in (OPENAI_KEY, STRIPE_KEY):
        for form in (secret, secret[-16:], base64.b64encode(secret.encode()).decode().rstrip("="), secret.encode().hex()):
            check(form not in stored, "a secret is in the tables")
    said(f"{len(items)} records in both tables, none with a secret in it")


main(sys.argv[1])
