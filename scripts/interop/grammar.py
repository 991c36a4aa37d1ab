#!/usr/bin/env python3
"""Validates sampled answers with jsonschema: lines {"schema": ..., "text": ...} that model_test wrote.

Use: grammar.py SAMPLES
"""

import json
import sys
from collections import Counter

from jsonschema import Draft202012Validator


def no_such_constant(name):
    raise ValueError(f"{name} is no JSON")


validators, counts = {}, Counter()
with open(sys.argv[1], encoding="utf-8") as samples:
    for line in samples:
        sample = json.loads(line)
        key = json.dumps(sample["schema"])
        if key not in validators:
            Draft202012Validator.check_schema(sample["schema"])
            validators[key] = Draft202012Validator(sample["schema"])
        value = json.loads(sample["text"], parse_constant=no_such_constant)
        validators[key].validate(value)
        counts[key] += 1
if not counts:
    sys.exit("no samples")
print(f"jsonschema: {sum(counts.values())} sampled answers over {len(counts)} schemas, all valid")
