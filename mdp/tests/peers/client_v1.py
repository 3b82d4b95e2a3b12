"""A client of Majordomo 0.1 (ZeroMQ RFC 7) on pyzmq.

    client_v1.py ENDPOINT SERVICE BODY...       asks once, each BODY a frame, and prints the reply's frames, one a line
    client_v1.py ENDPOINT SERVICE --echo N      asks N times, expects each reply to be what was sent, prints `echoed N`

Exits with 2 where no reply comes, with 1 where it is not right.
"""

import argparse
import os
import sys

import zmq

HEADER = b"MDPC01"


class Client:
    def __init__(self, arguments):
        self.arguments = arguments
        self.context = zmq.Context()
        self.socket = None
        self.connect()

    def connect(self):
        if self.socket is not None:
            self.socket.close(linger=0)
        self.socket = self.context.socket(zmq.REQ if self.arguments.req else zmq.DEALER)
        if self.arguments.ping:
            self.socket.heartbeat_ivl = self.arguments.ping
        self.socket.connect(self.arguments.endpoint)

    def ask(self, service, body):
        """Returns the frames of the reply's body. A REQ socket adds and takes away the empty frame by itself."""
        empty = [] if self.arguments.req else [b""]
        for _ in range(self.arguments.attempts):
            self.socket.send_multipart(empty + [HEADER, service, *body])
            if self.socket.poll(self.arguments.timeout * 1000):
                frames = self.socket.recv_multipart()
                start = empty + [HEADER, service]
                if frames[: len(start)] != start or len(frames) == len(start):
                    sys.exit(f"expected a reply that begins with {start}, found {frames}")
                return frames[len(start) :]
            # The late reply must not be taken for that to another request: it goes to a socket that is gone.
            self.connect()
        print("no reply", file=sys.stderr)
        sys.exit(2)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("service")
    parser.add_argument("body", nargs="*")
    parser.add_argument("--req", action="store_true", help="a REQ socket in place of a DEALER")
    parser.add_argument("--echo", type=int, default=0, metavar="N")
    parser.add_argument("--frames", type=int, default=1, help="of each body that is echoed")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for each attempt")
    parser.add_argument("--attempts", type=int, default=1)
    parser.add_argument("--ping", type=int, default=0, metavar="MS", help="ZMTP's own heartbeats")
    arguments = parser.parse_args()
    client = Client(arguments)
    service = arguments.service.encode()
    if arguments.echo:
        for number in range(arguments.echo):
            # Any byte may be in a body, and a frame may be empty.
            body = [b"%d" % number] + [os.urandom(3) * index for index in range(arguments.frames - 1)]
            reply = client.ask(service, body)
            if reply != body:
                sys.exit(f"expected {body}, found {reply}")
        print(f"echoed {arguments.echo}")
    else:
        for frame in client.ask(service, [frame.encode() for frame in arguments.body]):
            print(frame.decode(errors="backslashreplace"))


main()
