# Holds the lock 'bot' in argv[1], says `ready`, and ends its first thread alone.
import ctypes
import fcntl
import platform
import sys
import threading
import time

SYS_EXIT = {"x86_64": 60, "aarch64": 93}[platform.machine()]

file = open(f"{sys.argv[1]}/bot.lock", "w")
fcntl.flock(file, fcntl.LOCK_EX)
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
ctypes.CDLL(None).syscall(SYS_EXIT, 0)
