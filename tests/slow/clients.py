"""Independent clients of the local stack: boto3 as the customer, the operator and a
thief; and through the pass-through, unmodified, the packages `openai` (which streams),
`stripe` and `boto3` for S3, and git, against the upstreams of upstreams.py.

    clients.py BINARY    target/debug/local

Starts the stack on free ports in a folder of its own, and leaves nothing behind.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import openai
import stripe
import upstreams
from botocore.config import Config
from botocore.exceptions import ClientError
from upstreams import GIT_KEY, GIT_USER, OPENAI_KEY, REGION, S3_ID, S3_KEY, SECRETS, STRIPE_KEY, Upstream


def check(true, what):
    if not true:
        raise SystemExit(f"clients: {what}")


def said(text):
    print(f"  {text}", flush=True)


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
    upstream = upstreams.serve()
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
                run(json.loads((state / "local.json").read_text()), state, upstream, Path(folder))
            finally:
                process.terminate()
                process.wait(30)
            log.seek(0)
            text = log.read()
            check("answered" in text, "the stack logged nothing")
            for secret in SECRETS:
                check(secret not in text, "a secret is in the log")


def run(stack, state, upstream, folder):
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

    uses += aws(workspace, upstream)
    uses += git(workspace, upstream, folder)
    uses += programs(workspace, kms, key, grant)
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


def put_for(workspace, name, value, destination, inject):
    workspace.must("PUT", f"/secrets/{name}", value | {"policy": {"destinations": [{"url": destination}], "inject": inject}})
    Upstream.seen.clear()


def check_seen(workspace, what):
    """How many requests reached the upstream, none with the broker's token."""
    for _, path, headers, body in Upstream.seen:
        for form in (workspace.token, base64.b64encode(workspace.token.encode()).decode()[:40]):
            check(form not in json.dumps([path, headers, body]), f"{what}: the broker's token reached the upstream")
    return len(Upstream.seen)


def aws(workspace, upstream):
    """boto3 with a broker's token for its access key; what it signs is signed anew."""
    value = {"value_json": {"id": S3_ID, "key": S3_KEY}}
    sigv4 = {"region": REGION, "service": "s3", "access_key_id": "/id", "secret_access_key": "/key"}
    put_for(workspace, "s3", value, f"{upstream}/s3/", {"sigv4": sigv4})

    def client(token):
        return boto3.client(
            "s3",
            endpoint_url=f"{workspace.base}/via/s3",
            region_name="us-east-1",
            aws_access_key_id=token,
            aws_secret_access_key="anything",
            config=Config(
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    s3 = client(workspace.token)
    for key, body in (("a b/c+d.txt", b"some text"), ("bytes", bytes(range(256)) * 4096)):
        s3.put_object(Bucket="bucket", Key=key, Body=body, Metadata={"of": "the client"})
        check(s3.get_object(Bucket="bucket", Key=key)["Body"].read() == body, f"S3: {key}")
        check(s3.head_object(Bucket="bucket", Key=key)["ContentLength"] == len(body), f"S3: the length of {key}")
    try:
        s3.get_object(Bucket="bucket", Key="absent")
        check(False, "what is absent was there")
    except ClientError as error:
        check(error.response["Error"]["Code"] == "NoSuchKey", f"S3: {error}")
    try:
        client("AKIDSTRANGER").get_object(Bucket="bucket", Key="bytes")
        check(False, "a strange access key worked")
    except ClientError as error:
        check(error.response["ResponseMetadata"]["HTTPHeaders"]["byok-error"] == "unauthenticated", f"S3: {error}")
    seen = check_seen(workspace, "S3")
    check(seen == 7, f"seven requests reached S3: {seen}")
    said(f"boto3 {boto3.__version__}: put, get and head objects, each signed anew with the real key")
    return seen


def git(workspace, upstream, folder):
    """git itself, with a broker's token for its password."""
    put_for(workspace, "git", {"value": GIT_KEY}, f"{upstream}/git/", {"basic": {"username": GIT_USER}})
    Upstream.repositories = folder / "repositories"
    environment = os.environ | {
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com",
    }

    def run_git(*arguments, expected=0):
        ended = subprocess.run(["git", *arguments], env=environment, capture_output=True, text=True, timeout=60)
        check(ended.returncode == expected, f"git {arguments[0]}: {ended.returncode} {ended.stderr}")
        return ended.stdout.strip()

    bare = Upstream.repositories / "project.git"
    run_git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    scheme, _, rest = workspace.base.partition("://")

    def url(token):
        return f"{scheme}://me:{token}@{rest}/via/git/project.git"

    one, two = str(folder / "one"), str(folder / "two")
    run_git("clone", "--quiet", url(workspace.token), one)
    # More than git sends in one piece, so that the push is chunked.
    (Path(one) / "file").write_bytes(os.urandom(3 * 1024 * 1024))
    run_git("-C", one, "add", "file")
    run_git("-C", one, "commit", "--quiet", "-m", "a file")
    run_git("-C", one, "push", "--quiet", "origin", "HEAD:main")
    run_git("clone", "--quiet", url(workspace.token), two)
    check((Path(two) / "file").read_bytes() == (Path(one) / "file").read_bytes(), "git: another file came back")
    run_git("clone", "--quiet", url("nobody"), str(folder / "three"), expected=128)
    check(any(headers.get("transfer-encoding") == "chunked" for _, _, headers, _ in Upstream.seen), "git: the push was chunked")
    seen = check_seen(workspace, "git")
    said(f"{run_git('version')}: clone, push of 3 MiB in chunks, clone, through {seen} uses")
    return seen


def programs(workspace, kms, key, grant):
    """Programs that change their base URL and their API key, and nothing else."""
    via = f"{workspace.base}/via"
    Upstream.seen.clear()
    chat = openai.OpenAI(base_url=f"{via}/openai/", api_key=workspace.token)
    answer = chat.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
    check(answer.choices[0].message.content == "HELLO", f"openai: {answer}")
    check([model.id for model in chat.models.list()] == ["m"], "openai: models")
    words = []
    for event in chat.chat.completions.create(model="m", messages=[{"role": "user", "content": "one two"}], stream=True):
        words.append(event.choices[0].delta.content)
        Upstream.first_came.set()
    check(words == ["ONE", "TWO"], f"openai: the events {words}")
    said("openai streams: its first event arrives before the upstream sends the second")

    stripe.api_base, stripe.api_key = f"{via}/stripe", workspace.token
    customer = stripe.Customer.create(description="a & b", email="a@example.com")
    check(customer.id == "cus_1" and "email=a%40example.com" in customer.description, f"stripe: {customer}")
    check(check_seen(workspace, "openai and stripe") == 4, "four requests reached the upstream")

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
    check(len(Upstream.seen) == 4, "nothing reached the upstream after the cut")
    kms.create_grant(KeyId=key, **grant)
    said(f"openai {openai.VERSION} and stripe {stripe.VERSION} through the pass-through; both are cut by RevokeGrant")
    return 4


def thief(tables):
    """Who reads both tables learns no secret."""
    items = []
    for table in ("broker", "audit"):
        for page in tables.get_paginator("scan").paginate(TableName=table):
            items += page["Items"]
    # Binary attributes as they are, and as text.
    stored = json.dumps(items, default=lambda value: (bytes(value) if not isinstance(value, bytes) else value).decode("latin-1"))
    check("S#openai" in stored, "the secrets' records are there")
    for secret in SECRETS:
        for form in (secret, secret[-16:], base64.b64encode(secret.encode()).decode().rstrip("="), secret.encode().hex()):
            check(form not in stored, "a secret is in the tables")
    said(f"{len(items)} records in both tables, none with a secret in it")


main(sys.argv[1])
