"""A worker of Majordomo 0.2 (ZeroMQ RFC 18) on pyzmq that replies with the request's own body.

    worker_v2.py ENDPOINT SERVICE [options]

Says `ready` whenever it has registered, `request` for each request that it takes, `disconnected` and `silent` where the
broker sends it away or is not heard of any more: it then comes again on a new socket.
"""

import argparse
import os
import signal
import time

import zmq

HEADER = b"MDPW02"
READY, REQUEST, PARTIAL, FINAL, HEARTBEAT, DISCONNECT = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05", b"\x06"


def say(word):
    print(word, flush=True)


class Worker:
    def __init__(self, arguments):
        self.arguments = arguments
        self.context = zmq.Context()
        self.socket = None
        self.requests = 0
        self.end = time.monotonic() + arguments.lifetime

    def connect(self):
        if self.socket is not None:
            self.socket.close(linger=0)
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect(self.arguments.endpoint)
        self.send(READY, self.arguments.service.encode())
        self.heard = time.monotonic()
        say("ready")

    def send(self, command, *frames):
        self.socket.send_multipart([HEADER, command, *frames])
        self.beaten = time.monotonic()

    def reply(self, client, body):
        say("request")
        if self.requests == self.arguments.die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        self.requests += 1
        time.sleep(self.arguments.slow)
        for number in range(self.arguments.partials):
            self.send(PARTIAL, client, b"", b"part %d" % number)
        self.send(FINAL, client, b"", *body)
        if self.arguments.one_too_many:
            self.send(PARTIAL, client, b"", b"after the last")

    def run(self):
        self.connect()
        while time.monotonic() < self.end:
            if self.socket.poll(self.arguments.interval * 1000):
                frames = self.socket.recv_multipart()
                self.heard = time.monotonic()
                if len(frames) >= 5 and frames[:2] == [HEADER, REQUEST] and frames[3] == b"":
                    self.reply(frames[2], frames[4:])
                elif frames == [HEADER, DISCONNECT]:
                    say("disconnected")
                    self.connect()
                elif frames != [HEADER, HEARTBEAT]:
                    raise SystemExit(f"expected a command of a broker, found {frames}")
            elif time.monotonic() - self.heard >= self.arguments.interval * self.arguments.liveness:
                say("silent")
                self.connect()
            if time.monotonic() - self.beaten >= self.arguments.interval:
                self.send(HEARTBEAT)
        # Unasked, a worker takes its leave.
        self.send(DISCONNECT)
        self.socket.close(linger=1000)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("service")
    parser.add_argument("--partials", type=int, default=0, metavar="N", help="partial replies before each final one")
    parser.add_argument("--one-too-many", action="store_true", help="a partial reply after each final one")
    parser.add_argument("--die-after", type=int, default=-1, metavar="N", help="kill itself with request N + 1 in hand")
    parser.add_argument("--slow", type=float, default=0.0, help="seconds for each request, without heartbeats")
    parser.add_argument("--interval", type=float, default=2.5, help="seconds between heartbeats")
    parser.add_argument("--liveness", type=int, default=3, help="intervals until a broker is taken for dead")
    parser.add_argument("--lifetime", type=float, default=60.0, help="seconds after which it ends, whatever happens")
    Worker(parser.parse_args()).run()


main()
