"""Reads an event stream as the HTML standard says (9.2.6), and writes each event as a line of JSON, until the stream ends.

It knows nothing of the server but its address, and stands on Python's own HTTP client.
"""

import http.client
import json
import sys

host, path, last = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None
connection = http.client.HTTPConnection(host, timeout=20)
headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
if last:
    headers["Last-Event-ID"] = last
connection.request("GET", path, headers=headers)
answer = connection.getresponse()
kind = answer.headers.get_content_type()
print(json.dumps({"status": answer.status, "type": kind}), flush=True)
if answer.status != 200 or kind != "text/event-stream":
    sys.exit()


def lines():
    """Lines end with CR LF, LF or CR; a CR at the end of what has come may be half of one."""
    rest = ""
    while piece := answer.read1(65536).decode("utf-8"):
        rest += piece
        while rest:
            ends = [place for place in (rest.find("\n"), rest.find("\r")) if place >= 0]
            if not ends or (rest[min(ends)] == "\r" and min(ends) + 1 == len(rest)):
                break
            end = min(ends)
            width = 2 if rest[end : end + 2] == "\r\n" else 1
            yield rest[:end]
            rest = rest[end + width :]


event, data, identity = "", "", ""
for line in lines():
    if not line:
        if data:
            print(json.dumps({"event": event or "message", "data": data[:-1], "id": identity}), flush=True)
        event, data = "", ""
        continue
    if line.startswith(":"):
        continue
    field, _, value = line.partition(":")
    value = value.removeprefix(" ")
    if field == "event":
        event = value
    elif field == "data":
        data += value + "\n"
    elif field == "id" and "\0" not in value:
        identity = value
    elif field == "retry" and value.isdigit():
        print(json.dumps({"retry": int(value)}), flush=True)
