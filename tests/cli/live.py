"""A store of its own and a process that listens, for scripts that kill the recording proxy or the receiver."""
import json
import os
import signal
import subprocess
import sys


def new_store(slmconv, work):
    """The first words of every command on it."""
    os.environ["XDG_STATE_HOME"] = str(work / "state")
    os.environ.pop("SLMCONV_STORE", None)
    os.environ.pop("SLMCONV_IDENTITY", None)
    subprocess.run([slmconv, "init", str(work / "store"), "--keys", str(work / "keys")], check=True, stdout=subprocess.DEVNULL)
    return [slmconv, "--json", "--store", str(work / "store"), "--identity", str(work / "keys")]


def start(command, warned=lambda line: None):
    """The process and its port, once it listens."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        message = json.loads(line)
        if message.get("message_type") == "warning":
            warned(line)
        if "listening_port" in message:
            return process, message["listening_port"]
        if message.get("message_type") == "summary":
            sys.exit(f"it didn't start: {line}")
    sys.exit("it didn't start")


def end(process, common):
    """SIGTERM ends it well, and the store verifies."""
    process.send_signal(signal.SIGTERM)
    process.communicate()
    if process.returncode != 0:
        sys.exit(f"it ended with {process.returncode} after SIGTERM")
    verified = subprocess.run([*common, "store", "verify"], capture_output=True, text=True)
    if verified.returncode != 0:
        sys.exit(f"store verify: {verified.returncode}: {verified.stdout[-400:]}")


def stored(load, work):
    """The first message of every raw call."""
    return subprocess.run([load, "stored", str(work / "store"), str(work / "keys")], capture_output=True, text=True, check=True).stdout
