"""Answers each line of standard input by one line: what xmltodict makes of the document in it."""

import json
import sys

import xmltodict


def answer(question):
    try:
        if "parse" in question:
            return {"value": xmltodict.parse(question["parse"])}
        return {"value": xmltodict.unparse(question["unparse"], full_document=False, short_empty_elements=True)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
