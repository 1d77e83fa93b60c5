"""usage: damage.py IMAGE OUT SEED|inodes -- a copy of an ext image with damage that follows from SEED.

Only blocks that hold metadata or directories are worth damaging: all of the first 256 KiB, and places drawn at random.
`inodes` spoils the checksum of many inodes instead, but not the root's.
"""

import random
import struct
import sys


def main():
    image, out, seed = sys.argv[1:]
    with open(image, "rb") as file:
        data = bytearray(file.read())
    if seed == "inodes":
        block_size = 1024 << struct.unpack_from("<I", data, 1024 + 24)[0]
        inode_size = struct.unpack_from("<H", data, 1024 + 88)[0]
        group = block_size if block_size > 1024 else 2048
        table = struct.unpack_from("<I", data, group + 8)[0] * block_size
        for inode in range(12, 200):
            data[table + (inode - 1) * inode_size + 0x20] ^= 0xFF
    else:
        draw = random.Random(int(seed))
        for _ in range(draw.choice([1, 5, 50, 500])):
            offset = draw.randrange(1024, draw.choice([2048, 8192, 1 << 18, len(data)]))
            length = draw.choice([1, 2, 4, 4, 8, 64])
            kind = draw.randrange(4)
            value = draw.randbytes(length) if kind < 2 else (b"\xff" if kind == 2 else b"\0") * length
            data[offset : offset + length] = value[: len(data) - offset]
    with open(out, "wb") as file:
        file.write(data)


if __name__ == "__main__":
    main()
