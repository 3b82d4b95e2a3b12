"""A party to WebSockets that stands on the PyPI package `websockets`: a client, or a server that echoes.

    web_socket_party.py client URL       sends what it is told by lines of JSON, and writes what it hears
    web_socket_party.py server PORT [CERT KEY]  writes its port, echoes, and closes with 4000 at the word `bye`

Lines: {"text": ..}, {"bytes": hex}, {"fragments": [..]}, {"ping": true}, {"close": code}.
"""

import asyncio
import json
import ssl
import sys

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve


def say(**what):
    print(json.dumps(what), flush=True)


def heard(message):
    say(**({"text": message} if isinstance(message, str) else {"bytes": message.hex()}))


async def client(url):
    loop = asyncio.get_running_loop()
    try:
        connection = await connect(url, max_size=None, proxy=None, subprotocols=["chat.v2", "chat.v1"], open_timeout=20)
    except websockets.exceptions.InvalidStatus as refused:
        return say(status=refused.response.status_code)
    say(open=connection.subprotocol)

    async def tell():
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            what = json.loads(line)
            if "text" in what:
                await connection.send(what["text"])
            elif "bytes" in what:
                await connection.send(bytes.fromhex(what["bytes"]))
            elif "fragments" in what:
                await connection.send(what["fragments"])
            elif "ping" in what:
                await (await connection.ping())
                say(pong=True)
            elif "close" in what:
                await connection.close(what["close"], "done")
                break

    telling = asyncio.create_task(tell())
    try:
        while True:
            heard(await connection.recv())
    except websockets.exceptions.ConnectionClosed:
        say(closed=connection.close_code, reason=connection.close_reason)
    telling.cancel()


async def echo(connection):
    say(path=connection.request.path, key=connection.request.headers.get("x-key"), protocol=connection.subprotocol)
    try:
        async for message in connection:
            heard(message)
            if message == "bye":
                await connection.close(4000, "bye")
            else:
                await connection.send(message)
    except websockets.exceptions.ConnectionClosed:
        pass
    say(closed=connection.close_code, reason=connection.close_reason)


async def server(port, certificate=None, key=None):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    async with serve(echo, "127.0.0.1", int(port), ssl=context, subprotocols=["chat.v1"], max_size=None) as listening:
        say(port=listening.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run({"client": client, "server": server}[sys.argv[1]](*sys.argv[2:]))
import os

# Readers of standard input do not end by themselves.
os._exit(0)
