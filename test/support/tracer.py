# Traces the process argv[1] and says `traced`. When that process has been killed, it is held at the
# very beginning of its exit, with everything that it has; then this says `exiting`, and lets go of
# it when it is told to.
import ctypes
import os
import sys

PTRACE_SEIZE = 0x4206
PTRACE_O_TRACEEXIT = 0x40
PTRACE_EVENT_EXIT = 6
PTRACE_CONT = 7

pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, data):
    if libc.ptrace(request, pid, None, data) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))


ptrace(PTRACE_SEIZE, PTRACE_O_TRACEEXIT)
print("traced", flush=True)
while True:
    _, status = os.waitpid(pid, 0x40000000)  # __WALL
    if not os.WIFSTOPPED(status):
        sys.exit("ended at once")
    if status >> 16 == PTRACE_EVENT_EXIT:
        break
    ptrace(PTRACE_CONT, os.WSTOPSIG(status) if status >> 16 == 0 else 0)
print("exiting", flush=True)
sys.stdin.readline()
