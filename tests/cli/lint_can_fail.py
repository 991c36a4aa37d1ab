#!/usr/bin/env python3
"""The include lint finds a violation of each rule when one is planted in a copy of the sources."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PLANTED = [
    ("lib/core/planted.cc", '#include "store/store.h"\n', "R1"),
    ("lib/scrub/planted.cc", '#include "cluster/discover.h"\n', "R1"),
    ("lib/evaluate/planted.cc", '#include "finetune/trainer.h"\n', "R2"),
    ("lib/score/planted.cc", '#include <torch/types.h>\n', "R3"),
    ("lib/score/planted.h", '#include <openssl/evp.h>\n', "R3"),
    ("lib/score/planted.cc", '#include "command.h"\n', "R3"),
]
for name, text, rule in PLANTED:
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        for part in ("lib", "scripts"):
            shutil.copytree(ROOT / part, copy / part)
        (copy / "tests").mkdir()
        (copy / name).write_text(text)
        ran = subprocess.run([sys.executable, str(copy / "scripts/lint_includes.py")], capture_output=True, text=True)
        if ran.returncode == 0 or not any(name in line and rule in line for line in ran.stdout.splitlines()):
            print(f"{rule} planted in {name} was not found:\n{ran.stdout}")
            sys.exit(1)
print(f"{len(PLANTED)} planted violations found")
