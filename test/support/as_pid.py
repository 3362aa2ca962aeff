# Runs a command as the process argv[1], a number that is free, and ends as it does; exits with 75
# where the number is taken. The kernel is given the number (clone3 with set_tid, Linux 5.5, root):
# the count that all other processes get theirs from stays as it is.
import ctypes
import errno
import os
import signal
import struct
import sys

SYS_CLONE3 = 435

pid, command = int(sys.argv[1]), sys.argv[2:]
libc = ctypes.CDLL(None, use_errno=True)
numbers = (ctypes.c_int * 1)(pid)
# struct clone_args: the signal at its end is the fifth, set_tid and its length are the last ones.
arguments = struct.pack("10Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(numbers), 1)
child = libc.syscall(SYS_CLONE3, arguments, len(arguments))
if child == 0:
    os.execvp(command[0], command)
if child < 0:
    reason = ctypes.get_errno()
    sys.exit(75 if reason == errno.EEXIST else f"clone3 failed with {os.strerror(reason)}")
_, status = os.waitpid(child, 0)
if os.WIFSIGNALED(status):
    os.kill(os.getpid(), os.WTERMSIG(status))
sys.exit(os.WEXITSTATUS(status))
