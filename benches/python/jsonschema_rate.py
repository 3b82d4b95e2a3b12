"""How fast jsonschema validates `document.json` of a folder by its `schema.json`.

Each line of standard input, `validate SECONDS`, is answered by documents a second.
"""

import json
import pathlib
import sys
import time

import jsonschema

folder = pathlib.Path(sys.argv[1])
schema, document = (json.loads((folder / name).read_bytes()) for name in ("schema.json", "document.json"))
validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())

for line in sys.stdin:
    seconds = float(line.split()[1])
    done, begin = 0, time.perf_counter()
    while True:
        assert not list(validator.iter_errors(document))
        done += 1
        elapsed = time.perf_counter() - begin
        if elapsed >= seconds:
            break
    print(done / elapsed, flush=True)
