"""Ask a Neo4j for RETURN 1 over Bolt; exit 0 if it answers, 1 with a reason if not.

Usage: NEO4J_URL=bolt://[USER:PASSWORD@]HOST:PORT python3 ping.py

The address comes by the environment so that no password shows in a list of
processes. A port that accepts a
connection proves little, since Neo4j listens before its database is up, so
this runs a query. Bolt 4.4, the standard library alone: it must work before
anything of the project is built.
"""

import os
import socket
import struct
import sys
from urllib.parse import unquote, urlsplit

HELLO, RUN, PULL = 0x01, 0x10, 0x3F
SUCCESS, RECORD = 0x70, 0x71


def pack(value):
    """Encode the few PackStream types this conversation needs."""
    if isinstance(value, int):  # -16 to 127
        return struct.pack(">b", value)
    if isinstance(value, str):
        data = value.encode()
        return b"\xd0" + struct.pack(">B", len(data)) + data
    if isinstance(value, dict):
        return bytes([0xA0 + len(value)]) + b"".join(
            pack(k) + pack(v) for k, v in value.items()
        )
    raise TypeError(type(value))


def send(sock, tag, *fields):
    message = bytes([0xB0 + len(fields), tag]) + b"".join(map(pack, fields))
    sock.sendall(struct.pack(">H", len(message)) + message + b"\0\0")


def read(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError("the connection was closed")
        data += part
    return data


def receive(sock):
    """Return the tag of the next message and its fields, still encoded."""
    message = b""
    while True:
        (size,) = struct.unpack(">H", read(sock, 2))
        if size:
            message += read(sock, size)
        elif message:  # an empty chunk with nothing before it is a keep-alive
            return message[1], message[2:]


def expect(sock, wanted):
    tag, fields = receive(sock)
    if tag != wanted:
        raise ConnectionError("refused: " + fields.decode("utf-8", "replace"))


def ping(url):
    with socket.create_connection((url.hostname, url.port), timeout=5) as sock:
        sock.sendall(bytes.fromhex("6060b017" "00000404") + bytes(12))
        if read(sock, 4) != b"\0\0\x04\x04":
            raise ConnectionError("what listens there does not speak Bolt 4.4")
        login = {"scheme": "none"}
        if url.username:
            login = {
                "scheme": "basic",
                "principal": unquote(url.username),
                "credentials": unquote(url.password or ""),
            }
        send(sock, HELLO, {"user_agent": "trellis-services/1", **login})
        expect(sock, SUCCESS)
        send(sock, RUN, "RETURN 1", {}, {})
        expect(sock, SUCCESS)
        send(sock, PULL, {"n": -1})
        expect(sock, RECORD)
        expect(sock, SUCCESS)


if __name__ == "__main__":
    address = urlsplit(os.environ["NEO4J_URL"])
    try:
        ping(address)
    except OSError as err:
        sys.exit(f"no answer from {address.hostname}:{address.port}: {err}")
