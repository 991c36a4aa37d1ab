#!/usr/bin/env python3
"""Checks that README.md's table of exit codes is the program's own (slmconv --help), or writes it with --write.
Use: readme_exit_codes.py PROGRAM [--write]"""
import pathlib
import re
import subprocess
import sys

readme = pathlib.Path(__file__).resolve().parent.parent / "README.md"
help_text = subprocess.run([sys.argv[1], "--help"], capture_output=True, text=True, check=True).stdout
rows = re.findall(r"^ +(\d+)  (.+)$", help_text.split("Exit codes:")[1], re.M)
table = "| code | meaning |\n| ---: | --- |\n" + "".join(f"| {code} | {meaning} |\n" for code, meaning in rows)
text = readme.read_text()
if "--write" in sys.argv:
    head, tail = text.split("## Exit codes\n\n", 1)
    readme.write_text(head + "## Exit codes\n\n" + table + "\n" + tail[tail.index("## Building"):])
elif table not in text:
    print("README.md's exit codes differ from slmconv --help: run", " ".join(sys.argv), "--write")
    sys.exit(1)
