"""An independent codec of the Kafka protocol, driven by Kafka's own message definitions.

Nothing here is shared with the broker under test. The definitions (JSON) come out of the
kafka-clients jar at run time, see kafka_dist.py. Field names are those of the definitions with
a small first letter. In Python a message is a dict; `bytes` and `records` are bytes, a uuid is
32 hex digits, a string is str, arrays are lists, null is None. A dict decoded from a flexible
version holds unknown tagged fields under "_tags" ({tag: bytes}), and such a dict is encoded
with them.

The encoder is deliberately lax: it writes null where null is not allowed, and takes a raw
`Bytes` anywhere (written as it is), so that tests can build bad requests.
"""
import json
import re
import struct
from functools import lru_cache
from pathlib import Path

import kafka_dist

PRIMITIVES = {"bool": ">?", "int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i",
              "uint32": ">I", "int64": ">q", "float64": ">d"}
NO_VERSIONS = (1, 0)


class DecodeError(Exception):
    """The bytes do not hold the message they should."""


class Bytes(bytes):
    """Raw bytes that the encoder writes unchanged in place of any field."""


def parse_versions(text):
    """'3-5', '3+', '3' or 'none' as an inclusive (low, high)."""
    text = text.strip()
    if text == "none":
        return NO_VERSIONS
    if text.endswith("+"):
        return int(text[:-1]), 32767
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def within(version, versions):
    return versions[0] <= version <= versions[1]


# ---- varints

def uvarint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint(value):
    """Zigzag, for records (any width up to 64 bits)."""
    return uvarint(((value << 1) ^ (value >> 63)) & 0xFFFFFFFFFFFFFFFF)


class Reader:
    """A cursor over bytes that never reads past their end."""

    def __init__(self, data, pos=0):
        self.data, self.pos = data, pos

    def left(self):
        return len(self.data) - self.pos

    def take(self, count):
        if count < 0 or count > self.left():
            raise DecodeError(f"{count} bytes wanted at {self.pos}, {self.left()} left")
        self.pos += count
        return self.data[self.pos - count:self.pos]

    def unpack(self, fmt):
        return struct.unpack(fmt, self.take(struct.calcsize(fmt)))[0]

    def uvarint(self, bits=32):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
            shift += 7
            if shift >= bits + 7:
                raise DecodeError("varint too long")

    def varint(self):
        value = self.uvarint(64)
        return (value >> 1) ^ -(value & 1)


# ---- message definitions

class Field:
    """One field of a struct; `struct` is set where the (element) type is a struct."""

    def __init__(self, spec, commons):
        self.name = spec["name"][0].lower() + spec["name"][1:]
        self.array = spec["type"].startswith("[]")
        self.type = spec["type"].removeprefix("[]")
        self.versions = parse_versions(spec["versions"])
        self.nullable = parse_versions(spec.get("nullableVersions", "none"))
        self.tagged = parse_versions(spec.get("taggedVersions", "none"))
        self.tag = spec.get("tag")
        self.flexible = spec.get("flexibleVersions")
        self.flexible = parse_versions(self.flexible) if self.flexible else None
        self.struct = None
        if self.type not in PRIMITIVES and self.type not in ("string", "bytes", "records", "uuid"):
            fields = spec.get("fields") or commons[self.type]
            self.struct = Struct(fields, commons)
        self.default = self._default(spec.get("default"))

    def _default(self, given):
        if self.array:
            return None if given == "null" else []
        if self.type in PRIMITIVES:
            if given is None or given == "":
                return False if self.type == "bool" else 0.0 if self.type == "float64" else 0
            if self.type == "bool":
                return str(given).lower() == "true"
            return float(given) if self.type == "float64" else int(str(given), 0)
        if given == "null":
            return None
        if self.struct:
            return self.struct.defaults()
        return {"string": given or "", "bytes": b"", "records": None, "uuid": "0" * 32}[self.type]


class Struct:
    def __init__(self, specs, commons):
        self.fields = [Field(s, commons) for s in specs]
        self.names = {f.name for f in self.fields}

    def defaults(self):
        return {f.name: f.default for f in self.fields}


class Message:
    """One definition file: a request, a response or a header."""

    def __init__(self, path):
        lines = Path(path).read_text().split("\n")
        spec = json.loads("\n".join(re.sub(r"^\s*//.*$", "", line) for line in lines))
        commons = {c["name"]: c["fields"] for c in spec.get("commonStructs", [])}
        self.name, self.kind = spec["name"], spec["type"]
        self.api_key = spec.get("apiKey")
        self.versions = parse_versions(spec["validVersions"])
        self.flexible = parse_versions(spec.get("flexibleVersions", "none"))
        self.unstable = spec.get("latestVersionUnstable", False)
        self.struct = Struct(spec.get("fields", []), commons)

    def is_flexible(self, version):
        return within(version, self.flexible)

    def encode(self, version, value):
        out = bytearray()
        _encode_struct(out, self.struct, version, self.is_flexible(version), value, self.name)
        return bytes(out)

    def decode(self, version, data, partial=False):
        """The dict, or with `partial` (dict, bytes consumed). Trailing bytes are an error."""
        reader = Reader(data)
        value = _decode_struct(reader, self.struct, version, self.is_flexible(version))
        if partial:
            return value, reader.pos
        if reader.left():
            raise DecodeError(f"{self.name} v{version}: {reader.left()} bytes left over")
        return value


# ---- encoding

def _encode_length(out, length, flexible, fmt):
    """Length of a string, array or bytes; None is null."""
    if flexible:
        out += uvarint(0 if length is None else length + 1)
    else:
        out += struct.pack(fmt, -1 if length is None else length)


def _encode_one(out, field, version, flexible, value, where):
    if isinstance(value, Bytes):
        out += value
    elif field.type in PRIMITIVES:
        out += struct.pack(PRIMITIVES[field.type], value)
    elif field.type == "uuid":
        out += bytes.fromhex(value)
    elif field.struct:
        if within(version, field.nullable) and not field.array:
            out.append(1 if value is not None else 0xFF)
        if value is not None:
            _encode_struct(out, field.struct, version, flexible, value, where)
    else:
        raw = value.encode() if isinstance(value, str) else value
        _encode_length(out, None if raw is None else len(raw), flexible,
                       ">h" if field.type == "string" else ">i")
        out += raw or b""


def _encode_field(out, field, version, flexible, value, where):
    if field.flexible is not None:
        flexible = within(version, field.flexible)
    if isinstance(value, Bytes):
        out += value
    elif field.array:
        _encode_length(out, None if value is None else len(value), flexible, ">i")
        for item in value or ():
            _encode_one(out, field, version, flexible, item, where)
    else:
        _encode_one(out, field, version, flexible, value, where)


def _encode_struct(out, shape, version, flexible, value, where):
    strange = value.keys() - shape.names - {"_tags"}
    if strange:
        raise KeyError(f"{where} has no field {sorted(strange)}")
    tags = dict(value.get("_tags") or {})
    for field in shape.fields:
        if not within(version, field.versions):
            continue
        item = value.get(field.name, field.default)
        place = f"{where}.{field.name}"
        if not within(version, field.tagged):
            _encode_field(out, field, version, flexible, item, place)
        elif not _is_default(field, item):
            part = bytearray()
            _encode_field(part, field, version, flexible, item, place)
            tags[field.tag] = bytes(part)
    if flexible:
        out += uvarint(len(tags))
        for tag in sorted(tags):
            out += uvarint(tag) + uvarint(len(tags[tag])) + tags[tag]


def _is_default(field, value):
    if field.struct and not field.array and value is not None and field.default is not None:
        return all(_is_default(f, value.get(f.name, f.default)) for f in field.struct.fields)
    return value == field.default


# ---- decoding

def _decode_length(reader, flexible, fmt):
    if flexible:
        length = reader.uvarint() - 1
    else:
        length = reader.unpack(fmt)
    if length < -1:
        raise DecodeError(f"length {length}")
    return None if length == -1 else length


def _decode_one(reader, field, version, flexible):
    if field.type in PRIMITIVES:
        return reader.unpack(PRIMITIVES[field.type])
    if field.type == "uuid":
        return reader.take(16).hex()
    if field.struct:
        if within(version, field.nullable) and not field.array and reader.unpack(">b") < 0:
            return None
        return _decode_struct(reader, field.struct, version, flexible)
    length = _decode_length(reader, flexible, ">h" if field.type == "string" else ">i")
    if length is None:
        return None
    raw = reader.take(length)
    return raw.decode() if field.type == "string" else bytes(raw)


def _decode_field(reader, field, version, flexible):
    if field.flexible is not None:
        flexible = within(version, field.flexible)
    if not field.array:
        return _decode_one(reader, field, version, flexible)
    count = _decode_length(reader, flexible, ">i")
    if count is None:
        return None
    if count > reader.left():
        raise DecodeError(f"array of {count} in {reader.left()} bytes")
    return [_decode_one(reader, field, version, flexible) for _ in range(count)]


def _decode_struct(reader, shape, version, flexible):
    value, tagged = {}, {}
    for field in shape.fields:
        if not within(version, field.versions):
            continue
        if within(version, field.tagged):
            tagged[field.tag] = field
            value[field.name] = field.default
        else:
            value[field.name] = _decode_field(reader, field, version, flexible)
    if flexible:
        last = -1
        for _ in range(reader.uvarint()):
            tag = reader.uvarint()
            if tag <= last:
                raise DecodeError(f"tag {tag} after {last}")
            last = tag
            part = bytes(reader.take(reader.uvarint()))
            if tag in tagged:
                sub = Reader(part)
                value[tagged[tag].name] = _decode_field(sub, tagged[tag], version, flexible)
                if sub.left():
                    raise DecodeError(f"tag {tag}: {sub.left()} bytes left over")
            else:
                value.setdefault("_tags", {})[tag] = part
    return value


# ---- the protocol: all APIs

class Api:
    """Request and response of one API key."""

    def __init__(self, request, response):
        self.key, self.request, self.response = request.api_key, request, response
        self.name = request.name.removesuffix("Request")
        self.versions = request.versions
        self.stable = (request.versions[0], request.versions[1] - bool(request.unstable))

    def request_header_version(self, version):
        if self.key == 7 and version == 0:
            return 0
        return 2 if self.request.is_flexible(version) else 1

    def response_header_version(self, version):
        if self.key == 18:
            return 0
        return 1 if self.response.is_flexible(version) else 0


class Protocol:
    """APIs by name (`by_name["Fetch"]`) and by key."""

    def __init__(self, folder):
        parts = {}
        for path in sorted(Path(folder).glob("*.json")):
            message = Message(path)
            if message.api_key is not None and message.versions != NO_VERSIONS:
                parts.setdefault(message.api_key, {})[message.kind] = message
        self.by_key = {k: Api(p["request"], p["response"]) for k, p in parts.items()}
        self.by_name = {a.name: a for a in self.by_key.values()}
        self.request_header = Message(Path(folder) / "RequestHeader.json")
        self.response_header = Message(Path(folder) / "ResponseHeader.json")

    def frame(self, api, version, body, correlation, client_id="compat"):
        """A request frame without its length word; `body` a dict or encoded bytes."""
        api = self.by_name[api] if isinstance(api, str) else self.by_key[api]
        header = {"requestApiKey": api.key, "requestApiVersion": version,
                  "correlationId": correlation, "clientId": client_id}
        head = self.request_header.encode(api.request_header_version(version), header)
        if isinstance(body, dict):
            body = api.request.encode(version, body)
        return head + body

    def parse_response(self, api, version, data):
        """(correlation id, dict) of a response frame."""
        api = self.by_name[api] if isinstance(api, str) else self.by_key[api]
        header, used = self.response_header.decode(api.response_header_version(version), data,
                                                   partial=True)
        return header["correlationId"], api.response.decode(version, data[used:])


@lru_cache
def current():
    """The protocol of the stock Kafka in the cache."""
    return Protocol(kafka_dist.messages())


@lru_cache
def old():
    """The protocol of the last 3.x, for versions that 4.0 removed."""
    return Protocol(kafka_dist.old_messages())


def to_json(value):
    """Field values as compact JSON: bytes and uuids as hex, keys in definition order."""
    def plain(item):
        if isinstance(item, (bytes, bytearray)):
            return bytes(item).hex()
        if isinstance(item, dict):
            return {str(k): plain(v) for k, v in item.items()}
        if isinstance(item, list):
            return [plain(v) for v in item]
        return item
    return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=True)
