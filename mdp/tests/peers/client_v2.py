"""A client of Majordomo 0.2 (ZeroMQ RFC 18) on pyzmq.

    client_v2.py ENDPOINT SERVICE BODY...       asks once, each BODY a frame, and prints `partial` or `final` and the frames
                                                of each reply, one reply a line
    client_v2.py ENDPOINT SERVICE --echo N      asks N times, expects each final reply to be what was sent, prints `echoed N`

Exits with 2 where no reply comes, with 1 where it is not right.
"""

import argparse
import os
import sys
import time

import zmq

HEADER = b"MDPC02"
REQUEST, PARTIAL, FINAL = b"\x01", b"\x02", b"\x03"


def ask(socket, service, body, timeout):
    """Yields each reply: its command, and the frames of its body. The last one is final."""
    socket.send_multipart([HEADER, REQUEST, service, *body])
    deadline = time.monotonic() + timeout
    while True:
        left = max(0, deadline - time.monotonic())
        if not socket.poll(left * 1000):
            print("no reply", file=sys.stderr)
            sys.exit(2)
        frames = socket.recv_multipart()
        if len(frames) < 4 or frames[0] != HEADER or frames[1] not in (PARTIAL, FINAL) or frames[2] != service:
            sys.exit(f"expected a reply of {service}, found {frames}")
        yield frames[1], frames[3:]
        if frames[1] == FINAL:
            return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("service")
    parser.add_argument("body", nargs="*")
    parser.add_argument("--echo", type=int, default=0, metavar="N")
    parser.add_argument("--frames", type=int, default=1, help="of each body that is echoed")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for each request")
    arguments = parser.parse_args()
    socket = zmq.Context().socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(arguments.endpoint)
    service = arguments.service.encode()
    for number in range(arguments.echo):
        # Any byte may be in a body, and a frame may be empty.
        body = [b"%d" % number] + [os.urandom(3) * index for index in range(arguments.frames - 1)]
        *_, (_, reply) = ask(socket, service, body, arguments.timeout)
        if reply != body:
            sys.exit(f"expected {body}, found {reply}")
    if arguments.echo:
        print(f"echoed {arguments.echo}")
        return
    for command, frames in ask(socket, service, [frame.encode() for frame in arguments.body], arguments.timeout):
        text = " ".join(frame.decode(errors="backslashreplace") for frame in frames)
        print("final" if command == FINAL else "partial", text)


main()
