"""A worker of Majordomo 0.1 (ZeroMQ RFC 7) on pyzmq that replies with the request's own body.

    worker_v1.py ENDPOINT SERVICE [options]

Says `ready` whenever it has registered, `request` for each request that it takes, `disconnected` and `silent` where the
broker sends it away or is not heard of any more: it then comes again on a new socket.
"""

import argparse
import os
import signal
import time

import zmq

HEADER = b"MDPW01"
READY, REQUEST, REPLY, HEARTBEAT, DISCONNECT = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"


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
        self.socket.send_multipart([b"", HEADER, command, *frames])
        self.beaten = time.monotonic()

    def beat_if_due(self):
        if time.monotonic() - self.beaten >= self.arguments.interval:
            self.send(HEARTBEAT)

    def work(self):
        """Is as slow as it was told to be, and dies where it was told to."""
        say("request")
        if self.requests == self.arguments.die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        self.requests += 1
        if self.arguments.silent_while_busy:
            time.sleep(self.arguments.slow)
        else:
            done = time.monotonic() + self.arguments.slow
            while time.monotonic() < done:
                time.sleep(min(0.05, self.arguments.interval))
                self.beat_if_due()

    def run(self):
        self.connect()
        while time.monotonic() < self.end:
            if self.socket.poll(self.arguments.interval * 1000):
                frames = self.socket.recv_multipart()
                self.heard = time.monotonic()
                if len(frames) < 3 or frames[:2] != [b"", HEADER]:
                    raise SystemExit(f"expected a command of a broker, found {frames}")
                if frames[2] == REQUEST and len(frames) >= 6 and frames[4] == b"":
                    self.work()
                    self.send(REPLY, frames[3], b"", *frames[5:])
                elif frames[2:] == [DISCONNECT]:
                    say("disconnected")
                    self.connect()
                elif frames[2:] != [HEARTBEAT]:
                    raise SystemExit(f"expected a command of a broker, found {frames}")
            elif time.monotonic() - self.heard >= self.arguments.interval * self.arguments.liveness:
                say("silent")
                self.connect()
            self.beat_if_due()
        # Unasked, a worker takes its leave.
        self.send(DISCONNECT)
        self.socket.close(linger=1000)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("service")
    parser.add_argument("--die-after", type=int, default=-1, metavar="N", help="kill itself with request N + 1 in hand")
    parser.add_argument("--slow", type=float, default=0.0, help="seconds for each request")
    parser.add_argument("--silent-while-busy", action="store_true", help="no heartbeats meanwhile")
    parser.add_argument("--interval", type=float, default=2.5, help="seconds between heartbeats")
    parser.add_argument("--liveness", type=int, default=3, help="intervals until a broker is taken for dead")
    parser.add_argument("--lifetime", type=float, default=60.0, help="seconds after which it ends, whatever happens")
    Worker(parser.parse_args()).run()


main()
