"""Makes v1/mac.json, or compares it where it is there, from the description of the MAC's message alone."""
import hashlib
import json
import pathlib
import sys

FILE = pathlib.Path(__file__).parent / "v1" / "mac.json"


def digest(kind, broker, pk, sk, body):
    message = b"byok/v1/mac"
    for part in (kind.encode(), broker.encode(), pk.encode(), sk.encode(), body):
        message += len(part).to_bytes(8, "big") + part
    return hashlib.sha256(message).hexdigest()


BASE = ("binding", "prod", "W#acme", "KEY", b'{"revision":1}')
RECORDS = [
    ("base", *BASE),
    ("kind_token", "token", *BASE[1:]),
    ("kind_job", "job", *BASE[1:]),
    ("kind_alert_target", "alert_target", *BASE[1:]),
    ("broker", "binding", "prob", *BASE[2:]),
    ("pk", "binding", "prod", "W#acmf", *BASE[3:]),
    ("sk", "binding", "prod", "W#acme", "KEZ", BASE[4]),
    ("bytes", *BASE[:4], b'{"revision":2}'),
    ("no_bytes", *BASE[:4], b""),
    ("a_byte_from_broker_to_pk", "binding", "pro", "dW#acme", *BASE[3:]),
    ("a_byte_from_pk_to_sk", "binding", "prod", "W#acm", "eKEY", BASE[4]),
    ("a_byte_from_sk_to_bytes", *BASE[:3], "KE", b'Y{"revision":1}'),
    ("all_of_sk_to_bytes", *BASE[:3], "", b'KEY{"revision":1}'),
    ("all_of_bytes_to_sk", *BASE[:3], 'KEY{"revision":1}', b""),
    ("bytes_that_are_no_text", *BASE[:4], bytes(range(256))),
    ("bytes_whose_length_needs_two_bytes", *BASE[:4], b"x" * 300),
]


def main():
    vectors = [
        {"id": name, "kind": kind, "broker": broker, "pk": pk, "sk": sk, "bytes": body.hex(),
         "digest": digest(kind, broker, pk, sk, body)}
        for name, kind, broker, pk, sk, body in RECORDS
    ]
    about = "Records that give authority, and the SHA-256 digests that their MACs are over."
    text = json.dumps({"about": about, "vectors": vectors}, indent=1) + "\n"
    if FILE.exists():
        sys.exit(0 if FILE.read_text() == text else f"{FILE} differs")
    FILE.write_text(text)


main()
