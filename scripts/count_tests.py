#!/usr/bin/env python3
"""Reads a ctest log and prints 'N passed, N failed, N skipped' as its closing line."""
import re
import sys

passed = failed = skipped = 0
for line in open(sys.argv[1], encoding="utf-8", errors="replace"):
    m = re.match(r"\s*\d+/\d+ Test\s+#\d+: .*?[ .*](Passed|Skipped|Failed|Timeout|Exception|Not Run)[^.]*\s[\d.]+ sec\s*$", line)
    if not m:
        continue
    word = m.group(1)
    if word == "Passed":
        passed += 1
    elif word == "Skipped" or "(Disabled)" in line:
        skipped += 1
    else:
        failed += 1
print(f"{passed} passed, {failed} failed, {skipped} skipped")
