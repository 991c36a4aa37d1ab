#!/usr/bin/env python3
"""What goes wrong around a store, on a real one: no space, a folder that can't be written, a lock, a clock.

Use: scripts/faults/surroundings.py PROGRAM [--calls N]

- no space: on a small file system of its own (tmpfs in a mount namespace; passed over where neither root nor user
  namespaces are to be had), filled up to so many KB; and under a bound on the size of files, which needs neither.
- a folder that can't be written: the same file system made read-only.
- a lock: held by this script.
- a clock that jumps: a library that is loaded before the C library's (passed over without a C compiler).

For each command: its exit code (41 no space, not writable; 11 locked; 2 a retention under a clock that can't be right),
a message with what and where and a next step, `store verify` after it, all calls still there, and, once the fault is
gone, the same command through. Exit code 0: all held; what was passed over is printed.
"""
import argparse
import fcntl
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec* out) {
  const int rc = (int)syscall(SYS_clock_gettime, id, out);
  const char* shift = getenv("CLOCK_SHIFT_S");
  const char* path = getenv("CLOCK_SHIFT_FILE");  /* for a process that runs while the clock jumps */
  char text[32] = {0};
  if (rc == 0 && id == CLOCK_REALTIME && path != NULL) {
    const int fd = open(path, O_RDONLY);
    if (fd >= 0 && read(fd, text, sizeof text - 1) > 0) shift = text;
    if (fd >= 0) close(fd);
  }
  if (rc == 0 && id == CLOCK_REALTIME && shift != NULL) out->tv_sec += atoll(shift);
  return rc;
}
"""
FULL, LOCKED, USAGE = 41, 11, 2


def build_clock(folder):
    """The environment of who shall have a shifted clock; None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    shim = folder / "clock.so"
    (folder / "clock.c").write_text(CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", shim, folder / "clock.c"], check=True)
    return {"LD_PRELOAD": str(shim), "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}


class Surroundings:
    def __init__(self, program, n_calls, work):
        self.program, self.n_calls, self.work = program, n_calls, work
        self.env = dict(os.environ, OMP_NUM_THREADS="1")
        self.n_checks, self.passed_over = 0, []
        self.keys = work / "keys"

    def fail(self, why):
        sys.exit(f"{why}\nthe store is left in {self.work}")

    def call(self, *args, env=None, file_bytes=None):
        def bound():
            if file_bytes is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
        return subprocess.run([self.program, "--json", *map(str, args)], env={**self.env, **(env or {})},
                              capture_output=True, text=True, preexec_fn=bound)

    def good(self, *args, **more):
        done = self.call(*args, **more)
        if done.returncode != 0:
            self.fail(f"{args}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    def refused(self, code, words, *args, **more):
        """Exit code and what the message must name."""
        done = self.call(*args, **more)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        errors = [line for line in lines if line.get("message_type") == "error"]
        if done.returncode != code or not errors:
            self.fail(f"{args}: exit code {done.returncode}, not {code}\n{done.stdout}{done.stderr}")
        text = json.dumps(errors[0], ensure_ascii=False)
        for word in words:
            if word not in text:
                self.fail(f"{args}: {text} says nothing of {word!r}")
        if not errors[0].get("hint"):
            self.fail(f"{args}: {text} says not what to do next")
        self.n_checks += 1

    def write_log(self, name, n=None):
        path = self.work / f"{name}.jsonl"
        with open(path, "w", encoding="utf-8") as out:
            for i in range(n or self.n_calls):
                print(json.dumps({"client_id": f"{name} {i % 3}",
                                  "messages": [{"role": "user", "content": f"{name} {i} " + os.urandom(300).hex()},
                                               {"role": "assistant", "content": f"answer {i}"}]}), file=out)
        return path

    def init(self, store):
        shutil.rmtree(self.keys, ignore_errors=True)
        self.good("init", store, "--keys", self.keys)

    def n_raw(self, store):
        self.good("--store", store, "store", "verify")
        return self.good("--store", store, "store", "info")["n_raw"]

    def commands(self, use, name):
        """Each with the change it makes to the number of raw calls."""
        third = len(range(0, self.n_calls, 3))
        log = self.write_log(name)
        aside = self.work / f"aside {name}"
        return [(self.n_calls, (*use, "collect", log, "--batch-calls", 40)),
                (0, (*use, "scrub", "--keep-duplicates")),
                (0, (*use, "keys", "rotate", "all")),
                (-third, (*use, "store", "erase", "--source", f"{name} 0")),
                (0, (*use, "store", "backup", aside / "log", "--keys-to", aside / "keys")),
                (0, (*use, "store", "compact")),
                (-(self.n_calls - third), (*use, "store", "retain", "--raw-days", 0))]

    def full_disk(self, store):
        """For each command ever more room, until it comes through."""
        self.init(store)
        use = ("--store", store, "--identity", self.keys)
        ballast = store.parent / "ballast"
        want = n_refused = 0
        for change, command in self.commands(use, "full"):
            for room_kb in (0, 4, 16, 40, 80, 160, 320, 640, 1280, 2560, 5120):
                free = shutil.disk_usage(store.parent).free
                ballast.write_bytes(bytes(max(0, free - (room_kb << 10))))
                done = self.call(*command)
                ballast.unlink()
                if done.returncode not in (0, FULL):
                    self.fail(f"{command}: exit code {done.returncode} with {room_kb} KB\n{done.stdout}{done.stderr}")
                n = self.n_raw(store)
                if not min(want, want + change) <= n <= max(want, want + change):
                    self.fail(f"{command}: {n} calls with {room_kb} KB, {want} before")
                if done.returncode == 0:
                    break
                n_refused += 1
                if "KB are free" not in done.stdout and "No space left" not in done.stdout:
                    self.fail(f"{command}: {done.stdout} doesn't say that the disk is full")
            self.good(*command)  # with all the room there is: as if nothing had been
            want += change
            if self.n_raw(store) != want:
                self.fail(f"{command}: {self.n_raw(store)} calls, not {want}")
        if n_refused < 5:
            self.fail(f"only {n_refused} commands met a full disk")
        self.n_checks += n_refused

    def read_only(self, store, remount):
        """A file system that can't be written: reading is logged, so nothing is read either."""
        self.good("--store", store, "--identity", self.keys, "collect", self.write_log("before"))
        want = self.n_raw(store)
        remount("ro")
        use = ("--store", store, "--identity", self.keys)
        for command in (("collect", self.write_log("ro")), ("scrub",), ("keys", "rotate", "all"),
                        ("store", "erase", "--source", "before 0"), ("store", "retain", "--raw-days", 0),
                        ("store", "compact")):
            self.refused(FULL, [str(store)], *use, *command)
        self.refused(FULL, ["new"], "init", store.parent / "new", "--keys", self.work / "new keys")
        remount("rw")
        if self.n_raw(store) != want:
            self.fail("a read-only file system lost calls")

    def bound_on_files(self, store):
        """No file may grow: as a full disk, but for this process only."""
        self.init(store)
        use = ("--store", store, "--identity", self.keys)
        want = 0
        for change, command in self.commands(use, "bound"):
            size = max(p.stat().st_size for p in store.rglob("*") if p.is_file())
            for more in (0, 16 << 10, 256 << 10):
                done = self.call(*command, file_bytes=size + more)
                if done.returncode not in (0, FULL):
                    self.fail(f"{command}: exit code {done.returncode} under a bound\n{done.stdout}{done.stderr}")
                self.n_checks += done.returncode == FULL
                n = self.n_raw(store)
                if not min(want, want + change) <= n <= max(want, want + change):
                    self.fail(f"{command}: {n} calls under a bound, {want} before")
            self.good(*command)
            want += change
            if self.n_raw(store) != want:
                self.fail(f"{command}: {self.n_raw(store)} calls, not {want}")

    def locked(self, store):
        use = ("--store", store, "--identity", self.keys)
        self.good(*use, "collect", self.write_log("locked"))
        want = self.n_raw(store)
        with open(store / "store.lock", "r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for command in (("collect", self.write_log("later")), ("scrub",), ("keys", "rotate", "all"),
                            ("store", "verify"), ("store", "info"), ("store", "compact"),
                            ("store", "erase", "--source", "locked 0"), ("store", "retain", "--raw-days", 0),
                            ("store", "backup", self.work / "b", "--keys-to", self.work / "k")):
                self.refused(LOCKED, ["store.lock", "150 ms", "SLMCONV_LOCK_WAIT_MS"], *use, *command,
                             env={"SLMCONV_LOCK_WAIT_MS": "150"})
        if self.n_raw(store) != want:
            self.fail("a lock lost calls")

    def clock(self, store):
        shifted = build_clock(self.work)
        if shifted is None:
            self.passed_over.append("clocks: no C compiler")
            return
        day = 86400

        def at(days):
            return {**shifted, "CLOCK_SHIFT_S": str(days * day)}
        self.init(store)
        use = ("--store", store, "--identity", self.keys)
        want = 0
        for i, days in enumerate((0, 40 * 365, -50 * 365, -400, 3, 0)):
            self.good(*use, "collect", self.write_log(f"clock{i}"), env=at(days))
            self.good(*use, "keys", "rotate", "all", env=at(days))
            self.good(*use, "scrub", "--keep-duplicates", env=at(-days))
            self.good(*use, "store", "anchor", "--to", self.work / "anchors", env=at(days))
            want += self.n_calls
            if self.n_raw(store) != want:
                self.fail(f"clock {days} days off: {self.n_raw(store)} calls, not {want}")
        self.good("--store", store, "store", "verify", "--anchor", self.work / "anchors", env=at(-1000))
        # Sealed under a clock that was behind, and not old: a retention of 90 days keeps all of it.
        done = self.good(*use, "store", "retain", "--raw-days", 90)
        if done["n_raw"] != 0 or self.n_raw(store) != want:
            self.fail(f"a retention took {done['n_raw']} calls for older than they are")
        other = store.parent / "other"
        self.init(other)
        use = ("--store", other, "--identity", self.keys)
        self.good(*use, "collect", self.write_log("young"))
        self.refused(USAGE, ["366 days", "clock"], *use, "store", "retain", "--raw-days", 90, env=at(2000))
        if self.n_raw(other) != self.n_calls:
            self.fail("a retention under a wrong clock took calls")
        self.good(*use, "store", "retain", "--raw-days", 90, env=at(100))
        if self.n_raw(other) != 0:
            self.fail("a retention left calls of 100 days ago")


def on_small_disk(args):
    """In a mount namespace of its own; ends with it."""
    place = pathlib.Path(args.inside)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", place / "disk"], check=True)

    def remount(mode):
        subprocess.run(["mount", "-o", f"remount,{mode}", place / "disk"], check=True)
    checks = Surroundings(args.program, args.calls, place)
    checks.full_disk(place / "disk" / "store")
    checks.read_only(place / "disk" / "store", remount)
    print(checks.n_checks)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("--calls", type=int, default=120)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    args = parser.parse_args()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if args.inside:
        on_small_disk(args)
        return
    work = pathlib.Path(tempfile.mkdtemp(prefix="slmconv-around-"))
    checks = Surroundings(args.program, args.calls, work)
    (work / "files").mkdir()
    checks.bound_on_files(work / "files" / "store")
    checks.locked(work / "files" / "store")
    (work / "clocks").mkdir()
    checks.clock(work / "clocks" / "store")
    n = checks.n_checks
    inside = work / "inside"
    (inside / "disk").mkdir(parents=True)
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    probe = [*unshare, "mount", "-t", "tmpfs", "-o", "size=1m", "none", str(inside / "disk")]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode != 0:
        checks.passed_over.append("a small and a read-only disk: no mount namespaces here")
    else:
        done = subprocess.run([*unshare, sys.executable, os.path.abspath(__file__), args.program, "--calls",
                               str(args.calls), "--inside", str(inside)], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        n += int(done.stdout)
    shutil.rmtree(work)
    print(f"{n} commands refused as they should be, nothing lost"
          + "".join(f"; passed over: {what}" for what in checks.passed_over))


if __name__ == "__main__":
    main()
