"""Reads cases [{"draft", "schema", "instance"}] and writes, for each, the JSON pointers of what is wrong."""

import json
import sys

import jsonschema

VALIDATORS = {
    "4": jsonschema.Draft4Validator,
    "6": jsonschema.Draft6Validator,
    "7": jsonschema.Draft7Validator,
    "2019-09": jsonschema.Draft201909Validator,
    "2020-12": jsonschema.Draft202012Validator,
}


def pointer(path):
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def verdict(case):
    validator = VALIDATORS[case["draft"]]
    validator.check_schema(case["schema"])
    errors = validator(case["schema"], format_checker=validator.FORMAT_CHECKER).iter_errors(case["instance"])
    return sorted(pointer(error.absolute_path) for error in errors)


json.dump([verdict(case) for case in json.load(sys.stdin)], sys.stdout)
