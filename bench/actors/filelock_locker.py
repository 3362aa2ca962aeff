"""Python's filelock in one process: python3 filelock_locker.py PATH"""

import json
import sys
import time

import filelock

MAX_SAMPLES = 4000
QUIET_SECONDS = 0.003  # as in floor.c

lock = filelock.FileLock(sys.argv[1])


def answer(value):
    print(json.dumps(value), flush=True)


def cycles(milliseconds, batch):
    samples = []
    before = time.monotonic_ns()
    end = before + milliseconds * 1_000_000
    while before < end and len(samples) < MAX_SAMPLES:
        for _ in range(batch):
            lock.acquire(timeout=0)
            lock.release()
        after = time.monotonic_ns()
        samples.append((after - before) / batch)
        before = after
    return samples


for line in sys.stdin:
    verb, *words = line.split()
    if verb == "cycle":
        answer(cycles(int(words[0]), int(words[1])))
    elif verb == "wait":
        answer({"waiting": True})
        lock.acquire(timeout=30)  # an end, should the bench be gone
        answer({"at": time.monotonic_ns()})
    elif verb == "release":
        time.sleep(QUIET_SECONDS)
        at = time.monotonic_ns()
        lock.release()
        time.sleep(QUIET_SECONDS)
        answer({"at": at})
