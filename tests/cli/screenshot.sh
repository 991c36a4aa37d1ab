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
python3 - "$picture" "$report" <<'PY'
import re, struct, sys, zlib

data = open(sys.argv[1], "rb").read()
page = open(sys.argv[2], encoding="utf-8").read()
assert data[:8] == b"\x89PNG\r\n\x1a\n", "not a PNG"
width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
assert (width, height, depth) == (1120, 1500, 8) and kind in (2, 6), (width, height, depth, kind)
n = 3 if kind == 2 else 4
packed, at = b"", 8
while at < len(data):
    size, name = struct.unpack(">I4s", data[at:at + 8])
    if name == b"IDAT":
        packed += data[at + 8:at + 8 + size]
    at += 12 + size
raw = zlib.decompress(packed)


def rows():
    stride, above = width * n, bytes(width * n)
    for y in range(height):
        line = raw[y * (stride + 1):(y + 1) * (stride + 1)]
        how, row = line[0], bytearray(line[1:])
        for i in range(stride):
            left = row[i - n] if i >= n else 0
            up, corner = above[i], above[i - n] if i >= n else 0
            if how == 1:
                row[i] = (row[i] + left) & 255
            elif how == 2:
                row[i] = (row[i] + up) & 255
            elif how == 3:
                row[i] = (row[i] + (left + up) // 2) & 255
            elif how == 4:
                p = left + up - corner
                a, b, c = abs(p - left), abs(p - up), abs(p - corner)
                row[i] = (row[i] + (left if a <= b and a <= c else up if b <= c else corner)) & 255
        above = bytes(row)
        yield above


colour = {}
for key in ("tuned", "good"):  # the dots of the tuned model, and the word of a verdict
    value = re.search(r"--%s:#([0-9a-f]{6})" % key, page).group(1)
    colour[key] = bytes.fromhex(value)
count = dict.fromkeys(colour, 0)
dark = 0
for row in rows():
    for x in range(0, len(row), n):
        pixel = row[x:x + 3]
        dark += max(pixel) < 80
        for key, value in colour.items():
            count[key] += pixel == value
assert dark > 5000, f"hardly any text: {dark} dark pixels"
for key, pixels in count.items():
    assert pixels > 50, f"colour {key} is on {pixels} pixels: no chart, or no verdict"
print(f"screenshot {width}x{height}: {dark} dark pixels, " + ", ".join(f"{k} {v}" for k, v in count.items()))
PY
