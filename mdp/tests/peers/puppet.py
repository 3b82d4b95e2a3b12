"""A socket of libzmq that does what it is told: `puppet.py KIND bind|connect ADDRESS [OPTION=VALUE ...]`.

It first writes the address that it has. Then each line of its input is a command, and each gets one line of output:

    send FRAME ...     sends a message; frames are hex, `-` is an empty one
    receive            waits for a message and writes its frames
    subscribe FRAME    subscribes to a prefix
"""

import sys

import zmq

TEXT = {"IDENTITY", "CURVE_PUBLICKEY", "CURVE_SECRETKEY", "CURVE_SERVERKEY", "PLAIN_USERNAME", "PLAIN_PASSWORD"}


def main():
    kind, way, address, *options = sys.argv[1:]
    context = zmq.Context()
    socket = context.socket(getattr(zmq, kind))
    socket.rcvtimeo = socket.sndtimeo = 20_000
    socket.linger = 5_000
    for option in options:
        name, value = option.split("=", 1)
        socket.set(getattr(zmq, name), value.encode() if name in TEXT else int(value))
    if way == "bind":
        socket.bind(address)
        say(socket.last_endpoint.decode())
    else:
        socket.connect(address)
        say(address)
    for line in sys.stdin:
        command, *frames = line.split()
        frames = [b"" if frame == "-" else bytes.fromhex(frame) for frame in frames]
        if command == "send":
            socket.send_multipart(frames)
            say("sent")
        elif command == "subscribe":
            socket.subscribe(frames[0])
            say("subscribed")
        elif command == "receive":
            say(" ".join(frame.hex() or "-" for frame in socket.recv_multipart()))


def say(text):
    print(text, flush=True)


main()
