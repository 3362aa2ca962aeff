"""A partner of the interop cases: Python's filelock. See partner.mjs for what it is told and says."""

import os
import sys

import filelock

path = sys.argv[1]
lock = filelock.FileLock(path)


def say(word):
    print(word, flush=True)


def acquire(wait):
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if not wait:
            return say("refused")
        say("polls")
        lock.acquire(poll_interval=0.005)
    say(f"held {os.getpid()}")


def count(file, times):
    for _ in range(times):
        with lock.acquire(poll_interval=0.0005):
            with open(file) as counter:
                value = int(counter.read())
            with open(file, "w") as counter:
                counter.write(str(value + 1))
    say("counted")


say("ready")
for line in sys.stdin:
    verb, *words = line.split()
    if verb in ("lock", "try"):
        if words == ["sh"]:
            say("unsupported")
        else:
            acquire(verb == "lock")
    elif verb == "unlock":
        lock.release()
        say("unlocked")
    elif verb == "count":
        count(words[0], int(words[1]))
