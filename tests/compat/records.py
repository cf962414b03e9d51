"""Record batches (magic 2) and the message sets before them (magic 0 and 1).

Builds batches with every field settable, good or deliberately wrong, and parses what a broker
returns. Only gzip works with the standard library alone; the other codecs need the `cramjam`
and `lz4` packages (setup_env.py installs them).
"""
import gzip
import struct
import time
import zlib
from collections import namedtuple

from kafkaproto import DecodeError, Reader, varint

try:  # a fast CRC32C where it is installed, else the table below
    from google_crc32c import extend as _extend
    def crc32c(data):
        return _extend(0, bytes(data))
except ImportError:
    def _table():
        out = []
        for i in range(256):
            for _ in range(8):
                i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
            out.append(i)
        return out
    _TABLE = _table()

    def crc32c(data):
        crc = 0xFFFFFFFF
        for byte in data:
            crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
        return crc ^ 0xFFFFFFFF

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"none": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
# Default time of records: some days ago, so that it is not taken for the broker's own clock, and
# within the default retention of a week, so that nothing is deleted under a test.
DAY_MS = 86_400_000
BASE_TIME = (int(time.time() * 1000) // DAY_MS - 3) * DAY_MS
HEAD = 61  # bytes before the records
XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)

Record = namedtuple("Record", "offset timestamp key value headers")
Batch = namedtuple("Batch", "base_offset length epoch magic crc attributes last_offset_delta "
                            "base_timestamp max_timestamp producer_id producer_epoch "
                            "base_sequence count records crc_ok")


def compress(codec, data):
    if codec == NONE:
        return data
    if codec == GZIP:
        return gzip.compress(data, mtime=0)
    import cramjam
    if codec == SNAPPY:
        block = bytes(cramjam.snappy.compress_raw(data))
        return XERIAL + struct.pack(">i", len(block)) + block
    if codec == LZ4:  # Kafka reads only independent blocks
        import lz4.frame
        return lz4.frame.compress(data, block_linked=False)
    return bytes(cramjam.zstd.compress(data))


def decompress(codec, data):
    if codec == NONE:
        return data
    if codec == GZIP:
        return gzip.decompress(data)
    import cramjam
    if codec == SNAPPY:
        if data[:8] != XERIAL[:8]:
            return bytes(cramjam.snappy.decompress_raw(data))
        out, pos = b"", 16
        while pos < len(data):
            size = struct.unpack_from(">i", data, pos)[0]
            out += bytes(cramjam.snappy.decompress_raw(data[pos + 4:pos + 4 + size]))
            pos += 4 + size
        return out
    if codec == LZ4:
        return bytes(cramjam.lz4.decompress(data))
    return bytes(cramjam.zstd.decompress(data))


def record(offset_delta, value, key=None, timestamp_delta=0, headers=(), attributes=0,
           length_error=0):
    """One record; `length_error` is added to the true length."""
    def blob(data):
        return varint(-1) if data is None else varint(len(data)) + data
    body = struct.pack(">b", attributes) + varint(timestamp_delta) + varint(offset_delta)
    body += blob(key) + blob(value) + varint(len(headers))
    for name, data in headers:
        body += varint(len(name)) + name + blob(data)
    return varint(len(body) + length_error) + body


def batch(values=(b"value",), *, keys=None, codec=NONE, base_offset=0, epoch=-1, magic=2,
          attributes=None, base_timestamp=BASE_TIME, max_timestamp=None,
          producer_id=-1, producer_epoch=-1, base_sequence=-1, headers=(), count=None,
          last_offset_delta=None, length=None, crc=None, raw_records=None, timestamp_step=1,
          records=None):
    """A batch of magic 2. Every number that is normally derived can be set wrongly.

    `records` are encoded records in place of `values`; `raw_records` replaces the bytes that
    follow the head (already compressed, or rubbish).
    """
    if records is None:
        keys = keys or [None] * len(values)
        records = [record(i, v, k, i * timestamp_step, headers)
                   for i, (v, k) in enumerate(zip(values, keys))]
    number = len(records)
    payload = compress(codec, b"".join(records)) if raw_records is None else raw_records
    after_crc = struct.pack(
        ">hiqqqhii", codec if attributes is None else attributes,
        number - 1 if last_offset_delta is None else last_offset_delta, base_timestamp,
        base_timestamp + (number - 1) * timestamp_step if max_timestamp is None
        else max_timestamp,
        producer_id, producer_epoch, base_sequence, number if count is None else count) + payload
    checksum = crc32c(after_crc) if crc is None else crc
    if length is None:
        length = 9 + len(after_crc)
    return struct.pack(">qiibI", base_offset, length, epoch, magic, checksum) + after_crc


def old_message(value=b"value", key=None, magic=1, offset=0, timestamp=BASE_TIME,
                attributes=0, crc=None):
    """One message of magic 0 or 1, as a message set of its own."""
    def blob(data):
        return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data
    body = struct.pack(">bb", magic, attributes)
    if magic == 1:
        body += struct.pack(">q", timestamp)
    body += blob(key) + blob(value)
    checksum = zlib.crc32(body) if crc is None else crc
    return struct.pack(">qiI", offset, len(body) + 4, checksum) + body


def _records(data, base_offset, base_timestamp, count):
    reader, out = Reader(data), []
    for _ in range(count):
        end = reader.varint() + reader.pos
        reader.take(1)
        timestamp, offset = base_timestamp + reader.varint(), base_offset + reader.varint()
        blobs = []
        for _ in range(2):
            size = reader.varint()
            blobs.append(None if size < 0 else bytes(reader.take(size)))
        headers = []
        for _ in range(reader.varint()):
            name = bytes(reader.take(reader.varint()))
            size = reader.varint()
            headers.append((name, None if size < 0 else bytes(reader.take(size))))
        if reader.pos != end:
            raise DecodeError("record length disagrees with its content")
        out.append(Record(offset, timestamp, blobs[0], blobs[1], headers))
    if reader.left():
        raise DecodeError("bytes after the last record")
    return out


def parse(data, whole_only=True):
    """Batches in `data`. A cut batch at the end (allowed in a fetch) is left out."""
    out, pos = [], 0
    data = bytes(data or b"")
    while pos + 17 <= len(data):
        base, length = struct.unpack_from(">qi", data, pos)
        end = pos + 12 + length
        if end > len(data):
            if whole_only:
                break
            raise DecodeError("cut batch")
        epoch, magic, crc = struct.unpack_from(">ibI", data, pos + 12)
        if magic != 2:
            raise DecodeError(f"magic {magic}")
        (attributes, last_delta, first_ts, max_ts, pid, pepoch, sequence,
         count) = struct.unpack_from(">hiqqqhii", data, pos + 21)
        body = decompress(attributes & 7, data[pos + HEAD:end])
        records = _records(body, base, first_ts, count)
        if attributes & 8:  # LogAppendTime: the batch's time is every record's
            records = [r._replace(timestamp=max_ts) for r in records]
        out.append(Batch(base, length, epoch, magic, crc, attributes, last_delta, first_ts,
                         max_ts, pid, pepoch, sequence, count, records,
                         crc32c(data[pos + 21:end]) == crc))
        pos = end
    return out
