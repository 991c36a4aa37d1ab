#!/usr/bin/env python3
"""Checks the include rules of lib/README.md over the sources.

R1 a room includes only rooms listed before it, and only those it names in lib/CMakeLists.txt (or what these name).
R2 of another step (collect, scrub, cluster, select, finetune, evaluate) only its artifact.h; no artifact.h of a step
   includes a step.
R3 nothing in lib includes tools; torch headers in nn and finetune only; OpenSSL in crypto, http and core/hash.cc only;
   other third-party headers not in headers, save tl::expected, fmt and Boost.JSON.
Prints one line a violation and exits 1 if there is any.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS = {"collect", "scrub", "cluster", "select", "finetune", "evaluate"}
AFTER = {"route", "serve", "report"}
ALLOWED_IN_HEADERS = re.compile(r"^(tl/expected\.hpp|fmt/|boost/json)")
THIRD_PARTY = re.compile(
    r"^(torch/|ATen/|c10/|openssl/|sqlite3|zstd|zlib|faiss/|sentencepiece|boost/|fmt/|spdlog/|toml|valijson/|CLI/|pcre2|tl/)")


def declared_rooms():
    """Room → the set of rooms it may include, from the slm_room() table."""
    rooms = {}
    text = (ROOT / "lib/CMakeLists.txt").read_text()
    for call in re.finditer(r"^slm_room\((\w+)([^)]*)\)", text, re.M):
        words = call.group(2).split()
        deps, on = set(), False
        for word in words:
            if word in ("DEPS", "LIBS", "TORCH"):
                on = word == "DEPS"
            elif on:
                deps.add(word)
        for dep in deps:
            if dep not in rooms:
                print(f"lib/CMakeLists.txt: room {call.group(1)} depends on {dep}, which isn't listed before it")
                sys.exit(1)
        rooms[call.group(1)] = deps.union(*(rooms[d] for d in deps)) if deps else set()
    return rooms


def check_lib(rooms):
    problems = []
    for path in sorted((ROOT / "lib").rglob("*.[hc]*")):
        if path.suffix not in (".h", ".cc"):
            continue
        room = path.relative_to(ROOT / "lib").parts[0]
        where = path.relative_to(ROOT)
        for number, line in enumerate(path.read_text().splitlines(), 1):
            m = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
            if not m:
                continue
            name = m.group(1)
            say = lambda why: problems.append(f"{where}:{number}: {why}: {name}")
            target = name.split("/")[0]
            if "/" in name and target in rooms and (ROOT / "lib" / name).exists():
                if target != room:
                    if target not in rooms.get(room, set()):
                        say(f"R1: room {room} may not include room {target}")
                    if target in STEPS and path.parts[-1] == "artifact.h" and room in STEPS:
                        say("R2: an artifact.h includes a step")
                    elif target in STEPS and (room in STEPS or room in AFTER) and not name.endswith("/artifact.h"):
                        say("R2: of another step only artifact.h may be included")
            elif name.startswith(("commands/", "ui/")) or name == "command.h":
                say("R3: lib includes tools")
            if re.match(r"^(torch|ATen|c10)/", name) and room not in ("nn", "finetune"):
                say("R3: torch headers belong to nn and finetune")
            if name.startswith("openssl/") and room not in ("crypto", "http") and str(where) != "lib/core/hash.cc":
                say("R3: OpenSSL belongs to crypto and http")
            if path.suffix == ".h" and THIRD_PARTY.match(name) and not ALLOWED_IN_HEADERS.match(name):
                if not (re.match(r"^(torch|ATen|c10)/", name) and room in ("nn", "finetune")) and not (
                        name.startswith("openssl/") and room in ("crypto", "http")):
                    say("R3: third-party header in a header")
    return problems


def check_tests_mirror(rooms):
    """tests/<room>/<file>_test.cc mirrors lib/<room>."""
    extra = {"cli", "support", "interop", "fuzz", "bench", "data"}
    return [f"tests/{d.name}: no such room" for d in sorted((ROOT / "tests").iterdir())
            if d.is_dir() and d.name not in rooms and d.name not in extra]


def main():
    rooms = declared_rooms()
    problems = check_lib(rooms) + check_tests_mirror(rooms)
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
