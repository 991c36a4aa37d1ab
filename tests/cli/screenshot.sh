#!/usr/bin/env bash
# Takes a picture of the quickstart's report in a headless browser and checks that it isn't empty. Skipped (77) without one.
set -euo pipefail
root=$1
report=$root/build/quickstart-test/report.html
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || { echo "skipped: no headless browser here"; exit 77; }
[ -f "$report" ] || { echo "skipped: the quickstart made no report"; exit 77; }
picture=$root/build/quickstart-test/report.png
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
"$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$profile" --window-size=1120,1500 --screenshot="$picture" "file://$report" >/dev/null 2>&1
python3 - "$picture" <<'PY'
import struct, sys, zlib
data = open(sys.argv[1], "rb").read()
assert data[:8] == b"\x89PNG\r\n\x1a\n", "not a PNG"
width, height = struct.unpack(">II", data[16:24])
packed, at = b"", 8
while at < len(data):
    size, kind = struct.unpack(">I4s", data[at:at + 8])
    if kind == b"IDAT":
        packed += data[at + 8:at + 8 + size]
    at += 12 + size
pixels = zlib.decompress(packed)
assert (width, height) == (1120, 1500), (width, height)
# A page with text and coloured marks has many different byte values after filtering; an empty one has few.
assert len(set(pixels)) > 100, "the page looks empty"
print(f"screenshot {width}x{height}, {len(data)} bytes")
PY
