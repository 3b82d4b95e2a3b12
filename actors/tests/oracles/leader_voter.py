"""A member of a service that votes for whoever asks first, or with "attack" one that has no key and does what it can without.

It is written by what the datagrams are said to be, and shares no code with the members it speaks to.
"""

import hashlib
import hmac
import json
import os
import random
import socket
import struct
import sys
import time

settings = json.loads(sys.argv[1])
key = (settings.get("key") or "").encode()
service, scope = settings["service"].encode(), settings["scope"].encode()
me, sequence, voted = os.urandom(16), 0, 0
HERE, ASK, GRANT, LEAVE = 0, 1, 2, 5

udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", settings["listen"]))
peer = ("127.0.0.1", settings["peer"])
# magic and version, kind, flags, from, sequence, wall clock in milliseconds, term, to, echo, members, lease in microseconds
HEAD = struct.Struct("!5sBB16sQQQ16sQIQ")
MAGIC = b"PhLd\x02"
# How far a wall clock may be off.
FAR = 60 * 60 * 1000


def names(service=service):
    return bytes([len(service)]) + service + bytes([len(scope)]) + scope


def wall():
    return int(time.time() * 1000)


def written(kind, term, to=bytes(16), echo=0, flags=0, instance=me, service=service):
    global sequence
    sequence += 1
    members, lease = settings["members"], settings["lease"]
    head = HEAD.pack(MAGIC, kind, flags, instance, sequence, wall(), term, to, echo, members, lease)
    data = head + names(service)
    return data + hmac.new(key, data, hashlib.sha256).digest() if key else data


def attack():
    chance = random.Random(7)
    future = wall() + 1000
    for number in range(settings["attack"]):
        data = [
            chance.randbytes(chance.randrange(700)),
            chance.randbytes(60000),
            b"",
            # A leader of a higher term, and one who says that it is over.
            written(ASK, future + number, flags=2, instance=chance.randbytes(16)),
            written(LEAVE, future + number) + bytes(32),
            written(ASK, future)[: chance.randrange(90)],
            written(HERE, future, service=service + b"-de"),
        ][number % 7]
        udp.sendto(data, peer)
        if number % 20 == 0:
            time.sleep(0.001)


def vote():
    global voted
    begin = time.monotonic()
    udp.settimeout(settings["interval"] / 1000)
    while True:
        try:
            data = udp.recv(2048)
        except TimeoutError:
            udp.sendto(written(HERE, voted), peer)
            continue
        data, tag = data[:-32], data[-32:]
        assert hmac.compare_digest(hmac.new(key, data, hashlib.sha256).digest(), tag)
        assert data[HEAD.size :] == names()
        magic, kind, flags, instance, number, said, term, _, _, members, lease = HEAD.unpack_from(data)
        assert (magic, members, lease) == (MAGIC, settings["members"], settings["lease"])
        assert abs(said - wall()) < FAR
        if kind == ASK and time.monotonic() - begin > lease / 1e6 and term >= voted:
            voted = term
            udp.sendto(written(GRANT, term, to=instance, echo=number), peer)


attack() if "attack" in settings else vote()
