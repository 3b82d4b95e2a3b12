"""How fast xmltodict converts the documents of a folder, `*.xml` and `*.json`.

Each line of standard input is answered by one line: `parse SECONDS` and `unparse SECONDS` by documents a second, `parsed` and
`unparsed` by what becomes of the first document.
"""

import json
import pathlib
import sys
import time

import xmltodict

folder = pathlib.Path(sys.argv[1])
xml = [path.read_bytes() for path in sorted(folder.glob("*.xml"))]
values = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]


def unparse(value):
    return xmltodict.unparse(value, full_document=False, short_empty_elements=True)


def rate(convert, documents, seconds):
    done, begin = 0, time.perf_counter()
    while True:
        for document in documents:
            convert(document)
        done += len(documents)
        elapsed = time.perf_counter() - begin
        if elapsed >= seconds:
            return done / elapsed


for line in sys.stdin:
    match line.split():
        case ["parse", seconds]:
            answer = rate(xmltodict.parse, xml, float(seconds))
        case ["unparse", seconds]:
            answer = rate(unparse, values, float(seconds))
        case ["parsed"]:
            answer = json.dumps(xmltodict.parse(xml[0]), ensure_ascii=False, separators=(",", ":"))
        case ["unparsed"]:
            answer = unparse(values[0])
    print(answer, flush=True)
