"""Writes objects as Firehose's formats have them, with Python's own encoders.

encode.py CODEC IN OUT: every file below IN becomes one below OUT.
"""
import gzip
import io
import os
import sys
import zipfile


def encode(codec, name, plain):
    if codec == "none":
        return plain, ""
    if codec == "gzip":
        return gzip.compress(plain), ".gz"
    if codec == "gzip-members":
        half = len(plain) // 2
        return gzip.compress(plain[:half]) + gzip.compress(b"") + gzip.compress(plain[half:]), ".gz"
    if codec == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr(name, plain)
        return out.getvalue(), ".zip"
    if codec == "zip-streamed":
        # As a writer that cannot seek does it: lengths behind the data.
        class Pipe(io.RawIOBase):
            def __init__(self):
                self.out = bytearray()

            def writable(self):
                return True

            def write(self, b):
                self.out += bytes(b)
                return len(b)

        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as z:
            with z.open(name, "w", force_zip64=True) as entry:
                entry.write(plain)
        return bytes(pipe.out), ".zip"
    if codec == "zstd":
        import zstandard

        half = len(plain) // 2
        c = zstandard.ZstdCompressor(write_checksum=True)
        return c.compress(plain[:half]) + c.compress(plain[half:]), ".zst"
    raise SystemExit("codec " + codec)


codec, source, target = sys.argv[1:]
for folder, _, names in os.walk(source):
    for name in names:
        path = os.path.join(folder, name)
        with open(path, "rb") as f:
            body, extension = encode(codec, name, f.read())
        to = os.path.join(target, os.path.relpath(path, source) + extension)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        with open(to, "wb") as f:
            f.write(body)
