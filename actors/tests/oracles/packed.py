"""Compresses or unpacks standard input: `packed.py pack gzip`, `packed.py unpack br`. With `packed.py first HOST PORT CODING` it asks
for `/`, prints what it can read of the answer's first piece, and the rest when there is no more."""
import gzip
import http.client
import sys
import zlib

import brotli
import zstandard


def pack(coding, data):
    if coding == "gzip":
        return gzip.compress(data)
    if coding == "br":
        # Better ones take minutes for what the tests send.
        return brotli.compress(data, quality=4)
    return zstandard.ZstdCompressor().compress(data)


def unpacker(coding):
    if coding == "gzip":
        return zlib.decompressobj(31).decompress
    if coding == "br":
        return brotli.Decompressor().process
    return zstandard.ZstdDecompressor().decompressobj().decompress


if sys.argv[1] == "first":
    host, port, coding = sys.argv[2:]
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request("GET", "/", headers={"Accept-Encoding": coding})
    answer = connection.getresponse()
    assert answer.headers["Content-Encoding"] == coding, answer.headers
    unpack = unpacker(coding)
    while True:
        packed = answer.read1()
        if not packed:
            break
        text = unpack(packed).decode()
        if text:
            print(text, end="", flush=True)
elif sys.argv[1] == "pack":
    sys.stdout.buffer.write(pack(sys.argv[2], sys.stdin.buffer.read()))
else:
    sys.stdout.buffer.write(unpacker(sys.argv[2])(sys.stdin.buffer.read()))
