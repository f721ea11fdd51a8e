"""Makes the vectors of the sealed format, version 1, from its description alone.

Shares no code with the crate: HKDF-Expand is written out on hmac and hashlib,
AES-256-GCM is the PyPI package `cryptography` (OpenSSL). Everything is
deterministic. A file that exists is compared, never overwritten:

    python3 -m venv /tmp/vectors && /tmp/vectors/bin/pip install cryptography
    /tmp/vectors/bin/python make.py
"""

import base64
import hashlib
import hmac
import json
import pathlib
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = pathlib.Path(__file__).parent / "v1"
HEADER, TAG = 2 + 32 + 12, 16
SECRET_MAX = 64 * 1024


# --- the format ---------------------------------------------------------------

def expand(key, info, length=32):
    """HKDF-Expand-SHA-256 (RFC 5869, section 2.3)."""
    block, output, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.new(key, block + info + bytes([counter]), hashlib.sha256).digest()
        output, counter = output + block, counter + 1
    return output[:length]


def encryption_key(dek, suite=1):
    return expand(dek, b"byok/v1/encrypt" + bytes([suite]))


def commitment(dek, suite=1):
    return expand(dek, b"byok/v1/commit" + bytes([suite]))


def aad_parts(place, version=1, suite=1):
    return {
        "label": b"byok/v1/aad",
        "format": bytes([version]),
        "suite": bytes([suite]),
        "broker": place["broker"].encode(),
        "workspace": place["workspace"].encode(),
        "name": place["name"].encode(),
        "version": struct.pack(">I", place["version"]),
    }


def prefixed(parts, length=">H"):
    return b"".join(struct.pack(length, len(part)) + part for part in parts)


def aad(place, version=1, suite=1):
    return prefixed(aad_parts(place, version, suite).values())


def record(dek, place, nonce, value, *, version=1, suite=1, with_aad=None, key=None, commit=None):
    """The sealed bytes; the keyword arguments make wrong ones."""
    key = encryption_key(dek, suite) if key is None else key
    commit = commitment(dek, suite) if commit is None else commit
    with_aad = aad(place, version, suite) if with_aad is None else with_aad
    return bytes([version, suite]) + commit + nonce + AESGCM(key).encrypt(nonce, value, with_aad)


def opens(dek, place, sealed):
    """Opens a record as the description says, or gives None."""
    if sealed[:2] != b"\x01\x01" or len(sealed) < HEADER + TAG or len(sealed) > HEADER + TAG + SECRET_MAX:
        return None
    if sealed[2:34] != commitment(dek):
        return None
    try:
        return AESGCM(encryption_key(dek)).decrypt(sealed[34:46], sealed[46:], aad(place))
    except InvalidTag:
        return None


# --- deterministic ingredients ------------------------------------------------

def pattern(seed, length):
    """SHA-256(seed | counter as 4 bytes, big-endian), block after block, cut to length."""
    blocks = (hashlib.sha256(seed.encode() + struct.pack(">I", i)).digest() for i in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def dek(label):
    return pattern("data key " + label, 32)


def nonce_of(label):
    return pattern("nonce " + label, 12)


PLACE = {"broker": "prod", "workspace": "acme", "name": "db-password", "version": 7}
LONGEST = {"broker": "b" * 63, "workspace": "w" + "-" * 62, "name": "0" + "._-z" * 31 + "end", "version": 9_999_999}


def value_of(spec):
    (kind, content), = spec.items()
    if kind == "text":
        return content.encode()
    if kind == "hex":
        return bytes.fromhex(content)
    return pattern(content["seed"], content["length"])


# --- one ciphertext, two keys -------------------------------------------------

def multiply(x, y):
    """In GCM's field (NIST SP 800-38D, section 6.3)."""
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return product


def power(x, exponent):
    result = 1 << 127
    while exponent:
        if exponent & 1:
            result = multiply(result, x)
        x, exponent = multiply(x, x), exponent >> 1
    return result


def two_key_body(keys, nonce, associated):
    """Two blocks of ciphertext and a tag that are right under both keys."""
    def blocks(data):
        data += bytes(-len(data) % 16)
        return [int.from_bytes(data[i:i + 16], "big") for i in range(0, len(data), 16)]

    def encrypt_block(key, block):
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        return int.from_bytes(encryptor.update(block), "big")

    def tag(key, ciphertext):
        h, total = encrypt_block(key, bytes(16)), 0
        lengths = struct.pack(">QQ", len(associated) * 8, len(ciphertext) * 8)
        for block in blocks(associated) + blocks(ciphertext) + blocks(lengths):
            total = multiply(total ^ block, h)
        return total ^ encrypt_block(key, nonce + b"\x00\x00\x00\x01")

    first = pattern("two keys", 16)
    # The second block stands two places before the end: its factor is H squared.
    difference = tag(keys[0], first + bytes(16)) ^ tag(keys[1], first + bytes(16))
    factor = 0
    for key in keys:
        factor ^= power(encrypt_block(key, bytes(16)), 2)
    second = multiply(difference, power(factor, 2**128 - 2)).to_bytes(16, "big")
    ciphertext = first + second
    assert tag(keys[0], ciphertext) == tag(keys[1], ciphertext)
    return ciphertext + tag(keys[0], ciphertext).to_bytes(16, "big")


# --- what opens ---------------------------------------------------------------

def opening():
    vectors = []

    def add(name, comment, value, *, place=PLACE, nonce=None, key=None):
        key, nonce = key or dek(name), nonce or nonce_of(name)
        sealed = record(key, place, nonce, value_of(value))
        assert opens(key, place, sealed) == value_of(value)
        large = len(sealed) > 1024
        vectors.append({
            "id": name,
            "comment": comment,
            "expect": "opens",
            "key": key.hex(),
            "place": place,
            "nonce": nonce.hex(),
            "value": value,
            "encryption_key": encryption_key(key).hex(),
            "commitment": commitment(key).hex(),
            "aad": aad(place).hex(),
            "sealed": {"sha256": hashlib.sha256(sealed).hexdigest(), "length": len(sealed)} if large
            else {"hex": sealed.hex()},
        })

    add("empty", "no bytes at all: header and tag only", {"hex": ""})
    add("one-byte", "the shortest value that has bytes", {"hex": "00"})
    add("short", "the base of most failures", {"text": "hello"})
    add("text", "text beyond ASCII, not normalized", {"text": "p\u00e4ssw\u00f6rd \u2713 e\u0301\n"})
    add("json", "JSON comes back as it was, its spaces too", {"text": "{ \"user\": \"app\",  \"password\": \"x\" }"})
    add("binary", "NULs, and bytes that are not UTF-8", {"hex": "00ff00fe0080c3280000"})
    add("one-block", "exactly one block of AES", {"pattern": {"seed": "one block", "length": 16}})
    add("two-blocks-and-one", "one byte more than two blocks", {"pattern": {"seed": "two blocks", "length": 33}})
    add("largest", "64 KiB, the largest value", {"pattern": {"seed": "largest", "length": SECRET_MAX}})
    add("zero-key", "the key that is all zeros is a key", {"text": "zero"}, key=bytes(32))
    add("zero-nonce", "the lowest nonce", {"text": "low"}, nonce=bytes(12))
    add("full-nonce", "the highest nonce", {"text": "high"}, nonce=b"\xff" * 12)
    add("shortest-ids", "every id at its shortest, the first version", {"text": "short ids"},
        place={"broker": "b0", "workspace": "w0", "name": "0", "version": 1})
    add("longest-ids", "every id at its longest, the last version", {"text": "long ids"}, place=LONGEST)
    for version in (255, 256, 65_536):
        add(f"version-{version}", "the version's number as four bytes", {"text": "numbered"},
            place=PLACE | {"version": version})

    keys, nonce = (dek("two-keys a"), dek("two-keys b")), nonce_of("two-keys")
    body = two_key_body([encryption_key(key) for key in keys], nonce, aad(PLACE))
    values = [AESGCM(encryption_key(key)).decrypt(nonce, body, aad(PLACE)) for key in keys]
    assert values[0] != values[1]
    add("two-keys", "ciphertext and tag are right under a second key too: see the failure of this name",
        {"hex": values[0].hex()}, key=keys[0], nonce=nonce)
    assert vectors[-1]["sealed"]["hex"].endswith(body.hex())
    return vectors


# --- what does not ------------------------------------------------------------

def refusals(positive):
    vectors = []
    bases = {vector["id"]: vector for vector in positive}

    def add(name, comment, change, base="short", cases=1):
        vectors.append({"id": name, "comment": comment, "expect": "refused", "base": base,
                        "change": change, "cases": cases})

    def moved(vector, comment, **place):
        key, sealed = bytes.fromhex(bases["short"]["key"]), bytes.fromhex(bases["short"]["sealed"]["hex"])
        assert opens(key, PLACE | place, sealed) is None
        add("moved-" + vector, comment, {"place": place})

    def other(name, comment, sealed, base="short", key=None):
        key = key or bytes.fromhex(bases[base]["key"])
        assert opens(key, PLACE, sealed) is None, name
        add(name, comment, {"record": sealed.hex()}, base)

    # Opened in another place.
    moved("broker", "another deployment", broker="prod2")
    moved("workspace", "another workspace", workspace="acme-2")
    moved("workspace-last-letter", "a workspace that differs in its last letter", workspace="acmf")
    moved("name", "another secret of the workspace", name="db-passwore")
    moved("name-longer", "a name that begins with the secret's", name="db-password-")
    moved("version", "the next version", version=8)
    moved("version-second-byte", "a version that differs in its second byte alone", version=7 + 256)
    moved("version-third-byte", "a version that differs in its third byte alone", version=7 + 65_536)
    moved("broker-workspace-boundary", "the same letters, cut elsewhere", broker="proda", workspace="cme")
    moved("workspace-name-boundary", "the same letters, cut elsewhere", workspace="acmed", name="b-password")
    moved("swapped", "broker and workspace exchanged", broker="acme", workspace="prod")

    # Sealed for another place, or for none: key, commitment, nonce are right.
    key, nonce, value = dek("short"), nonce_of("short"), b"hello"
    parts = aad_parts(PLACE)
    for left_out in parts:
        rest = [part for name, part in parts.items() if name != left_out]
        other(f"aad-without-{left_out}", "the AAD lacks one of its parts",
              record(key, PLACE, nonce, value, with_aad=prefixed(rest)))
        empty = [b"" if name == left_out else part for name, part in parts.items()]
        other(f"aad-empty-{left_out}", "one part of the AAD is empty",
              record(key, PLACE, nonce, value, with_aad=prefixed(empty)))
    other("aad-format-2", "the AAD names format version 2",
          record(key, PLACE, nonce, value, with_aad=aad(PLACE, version=2)))
    other("aad-suite-2", "the AAD names suite 2", record(key, PLACE, nonce, value, with_aad=aad(PLACE, suite=2)))
    other("aad-none", "no AAD", record(key, PLACE, nonce, value, with_aad=b""))
    other("aad-without-lengths", "the parts follow each other without lengths",
          record(key, PLACE, nonce, value, with_aad=b"".join(parts.values())))
    other("aad-little-endian-lengths", "the lengths are little-endian",
          record(key, PLACE, nonce, value, with_aad=prefixed(parts.values(), "<H")))
    other("aad-decimal-version", "the version's number as digits",
          record(key, PLACE, nonce, value, with_aad=prefixed((parts | {"version": b"7"}).values())))
    other("aad-other-order", "name before workspace", record(
        key, PLACE, nonce, value,
        with_aad=prefixed([parts[n] for n in ("label", "format", "suite", "broker", "name", "workspace", "version")])))
    other("aad-longer", "one part more", record(key, PLACE, nonce, value, with_aad=aad(PLACE) + b"\x00\x01x"))

    # Other keys.
    add("other-key", "another data key", {"key": dek("another").hex()})
    add("key-bits", "each bit of the data key turned", {"flip_each_bit_of_key": None}, cases=256)
    add("two-keys", "the tag is right under this key too: only the commitment tells",
        {"key": dek("two-keys b").hex()}, base="two-keys")
    foreign = commitment(dek("another"))
    other("commitment-of-another-key", "all else is right", record(key, PLACE, nonce, value, commit=foreign))
    add("commitment-of-another-key-opened-with-it", "the other key finds its commitment, and a tag that is not its own",
        {"record_and_key": {"record": record(key, PLACE, nonce, value, commit=foreign).hex(),
                            "key": dek("another").hex()}})
    other("commitment-of-another-suite", "the commitment is derived for suite 2",
          record(key, PLACE, nonce, value, commit=commitment(key, 2)))
    other("commitment-is-encryption-key", "the labels are confused",
          record(key, PLACE, nonce, value, commit=encryption_key(key)))
    other("commitment-zero", "no commitment", record(key, PLACE, nonce, value, commit=bytes(32)))
    other("encryption-key-is-data-key", "sealed under the data key itself", record(key, PLACE, nonce, value, key=key))
    other("encryption-key-is-commitment", "the labels are confused",
          record(key, PLACE, nonce, value, key=commitment(key)))
    other("encryption-key-of-suite-2", "the encryption key is derived for suite 2",
          record(key, PLACE, nonce, value, key=encryption_key(key, 2)))
    extracted = hmac.new(bytes(32), key, hashlib.sha256).digest()
    other("with-extract", "derived with HKDF's extract step", record(
        key, PLACE, nonce, value, key=encryption_key(extracted), commit=commitment(extracted)))

    # Other versions and suites.
    other("format-2", "sealed throughout as format version 2", record(key, PLACE, nonce, value, version=2))
    other("format-0", "sealed throughout as format version 0", record(key, PLACE, nonce, value, version=0))
    other("suite-2", "sealed throughout as suite 2", record(key, PLACE, nonce, value, suite=2))
    other("suite-0", "sealed throughout as suite 0", record(key, PLACE, nonce, value, suite=0))
    add("every-other-format", "the first byte is any other", {"set_byte_to_each_other": 0}, cases=255)
    add("every-other-suite", "the second byte is any other", {"set_byte_to_each_other": 1}, cases=255)

    # Damage.
    sealed = record(key, PLACE, nonce, value)
    fields = {"format": (0, 1), "suite": (1, 2), "commitment": (2, 34), "nonce": (34, 46),
              "ciphertext": (46, 46 + len(value)), "tag": (46 + len(value), len(sealed))}
    for name, (start, end) in fields.items():
        add(f"{name}-bits", f"each bit of the {name} turned", {"flip_each_bit_of": {"from": start, "to": end}},
            cases=8 * (end - start))
    for name in ("commitment", "nonce", "tag"):
        start, end = fields[name]
        other(f"{name}-from-elsewhere", f"another {name}, all else as it was",
              sealed[:start] + pattern("elsewhere " + name, end - start) + sealed[end:])
    other("tag-zero", "no tag", sealed[:-TAG] + bytes(TAG))
    other("ciphertext-longer", "one byte more between ciphertext and tag", sealed[:-TAG] + b"\x00" + sealed[-TAG:])
    other("twice", "the record, twice", sealed + sealed)
    add("every-truncation", "cut to each shorter length", {"truncate_to_each": {"from": 0, "to": len(sealed)}},
        cases=len(sealed))
    add("every-truncation-of-empty", "header and tag alone, cut to each shorter length",
        {"truncate_to_each": {"from": 0, "to": HEADER + TAG}}, base="empty", cases=HEADER + TAG)
    for name, extra in (("nul", "00"), ("newline", "0a"), ("byte", "ff"), ("block", "00" * 16)):
        add(f"trailing-{name}", "something after the tag", {"append": extra})
    add("trailing-after-empty", "a byte after a record without ciphertext", {"append": "00"}, base="empty")

    # Too long.
    for over in (1, 4096):
        spec = {"seed": f"too long by {over}", "length": SECRET_MAX + over}
        key, nonce = dek("largest"), nonce_of("largest")
        sealed = record(key, PLACE, nonce, pattern(**spec))
        add(f"too-long-by-{over}", "rightly sealed, and longer than a value may be",
            {"seal_of": {"value": {"pattern": spec}, "sha256": hashlib.sha256(sealed).hexdigest()}}, base="largest")
    return vectors


# --- the encryption context ---------------------------------------------------

POLICY = ('{"destinations":[{"methods":["GET","POST"],"url":"https://api.example.com/v1/"}],'
          '"inject":{"format":"Bearer {secret}","header":"authorization"},"reveal":false}')


def contexts():
    def vector(name, comment, changed=None, place=PLACE, policy=POLICY):
        digest = base64.urlsafe_b64encode(hashlib.sha256(policy.encode()).digest()).decode().rstrip("=")
        return {
            "id": name, "comment": comment, "changed": changed, "place": place, "policy": policy,
            "pairs": {
                "byok:broker": place["broker"],
                "byok:workspace": place["workspace"],
                "byok:secret": place["name"],
                "byok:version": str(place["version"]),
                "byok:policy": digest,
            },
        }

    return [
        vector("base", "what the others are compared with"),
        vector("broker", "another deployment", "byok:broker", PLACE | {"broker": "prod2"}),
        vector("workspace", "another workspace", "byok:workspace", PLACE | {"workspace": "acme-2"}),
        vector("name", "another secret", "byok:secret", PLACE | {"name": "db-passwore"}),
        vector("version", "another version", "byok:version", PLACE | {"version": 8}),
        vector("version-longer", "a version that begins with the other's digits", "byok:version",
               PLACE | {"version": 70}),
        vector("policy-wider", "a shorter prefix of the URL", "byok:policy", policy=POLICY.replace("/v1/", "/")),
        vector("policy-reveal", "the value may be read back", "byok:policy",
               policy=POLICY.replace("false", "true")),
        vector("policy-space", "the digest is of the exact bytes", "byok:policy", policy=POLICY + " "),
        vector("policy-empty", "no bytes", "byok:policy", policy=""),
        vector("longest", "every id at its longest, the last version", None, LONGEST),
    ]


def write(name, about, vectors, **more):
    text = json.dumps({"about": about, **more, "vectors": vectors}, indent=2, ensure_ascii=True) + "\n"
    path = HERE / name
    if not path.exists():
        path.write_text(text)
        print("made", name)
    elif path.read_text() != text:
        sys.exit(f"{name} differs from what this script makes: a file here is never edited; make the next version")
    else:
        print("same", name)
    print("    ", len(vectors), "vectors, sha256", hashlib.sha256(text.encode()).hexdigest())


def main():
    positive = opening()
    negative = refusals(positive)
    for vectors in (positive, negative):
        assert len({vector["id"] for vector in vectors}) == len(vectors)
    write("opens.json", "Sealed secrets, format version 1, suite 1, that open.", positive)
    write("refused.json", "Sealed secrets, format version 1, suite 1, that do not open.", negative,
          cases=sum(vector["cases"] for vector in negative))
    write("context.json", "The encryption context of a place and a policy.", contexts())


main()
