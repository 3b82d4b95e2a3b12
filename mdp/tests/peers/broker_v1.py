"""A broker of Majordomo 0.1 (ZeroMQ RFC 7, and 8's `mmi.service`) on pyzmq.

    broker_v1.py ENDPOINT [options]

Says `listening on ENDPOINT` with the port that it got.
"""

import argparse
import time
from collections import defaultdict, deque

import zmq

CLIENT, WORKER = b"MDPC01", b"MDPW01"
READY, REQUEST, REPLY, HEARTBEAT, DISCONNECT = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"


class Worker:
    def __init__(self, service):
        self.service = service
        self.client = None  # whose request it holds


class Broker:
    def __init__(self, arguments):
        self.arguments = arguments
        self.socket = zmq.Context().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(arguments.endpoint)
        self.workers = {}  # by identity
        self.idle = defaultdict(deque)  # by service: identities, the one that has been idle for longest first
        self.requests = defaultdict(deque)  # by service: client and body, the oldest first

    def send(self, worker, command, *frames):
        self.socket.send_multipart([worker, b"", WORKER, command, *frames])

    def dispatch(self, service):
        while self.requests[service] and self.idle[service]:
            identity = self.idle[service].popleft()
            client, body = self.requests[service].popleft()
            self.workers[identity].client = client
            self.send(identity, REQUEST, client, b"", *body)

    def rest(self, identity):
        worker = self.workers[identity]
        worker.client = None
        self.idle[worker.service].append(identity)
        self.dispatch(worker.service)

    def remove(self, identity):
        worker = self.workers.pop(identity, None)
        if worker is not None and worker.client is None:
            self.idle[worker.service].remove(identity)

    def from_client(self, client, service, body):
        if service == b"mmi.service":
            known = any(worker.service == body[0] for worker in self.workers.values())
            self.socket.send_multipart([client, b"", CLIENT, service, b"200" if known else b"404"])
        elif service.startswith(b"mmi."):
            self.socket.send_multipart([client, b"", CLIENT, service, b"501"])
        else:
            self.requests[service].append((client, body))
            self.dispatch(service)

    def from_worker(self, identity, command, frames):
        worker = self.workers.get(identity)
        if worker is not None:
            worker.heard = time.monotonic()
        if command == READY and worker is None and len(frames) == 1:
            self.workers[identity] = Worker(frames[0])
            self.workers[identity].heard = time.monotonic()
            self.rest(identity)
        elif command == REPLY and worker and len(frames) >= 3 and frames[:2] == [worker.client, b""]:
            self.socket.send_multipart([worker.client, b"", CLIENT, worker.service, *frames[2:]])
            self.rest(identity)
        elif command == DISCONNECT:
            self.remove(identity)
        elif command != HEARTBEAT or worker is None:
            self.remove(identity)
            self.send(identity, DISCONNECT)

    def receive(self):
        identity, *frames = self.socket.recv_multipart()
        if len(frames) >= 4 and frames[:2] == [b"", CLIENT]:
            self.from_client(identity, frames[2], frames[3:])
        elif len(frames) >= 3 and frames[:2] == [b"", WORKER]:
            self.from_worker(identity, frames[2], frames[3:])

    def run(self):
        interval = self.arguments.interval
        end = time.monotonic() + self.arguments.lifetime
        next_beat = time.monotonic() + interval
        while time.monotonic() < end:
            if self.socket.poll(max(0, next_beat - time.monotonic()) * 1000):
                self.receive()
            if time.monotonic() >= next_beat:
                silent = time.monotonic() - interval * self.arguments.liveness
                for identity in [identity for identity, worker in self.workers.items() if worker.heard < silent]:
                    self.remove(identity)
                for identity in self.workers:
                    self.send(identity, HEARTBEAT)
                next_beat = time.monotonic() + interval


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("--interval", type=float, default=2.5, help="seconds between heartbeats")
    parser.add_argument("--liveness", type=int, default=3, help="intervals until a worker is taken for dead")
    parser.add_argument("--lifetime", type=float, default=60.0, help="seconds after which it ends, whatever happens")
    broker = Broker(parser.parse_args())
    print("listening on", broker.socket.last_endpoint.decode(), flush=True)
    broker.run()


main()
