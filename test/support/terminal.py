"""Runs a program on a terminal of its own that is closed, or stopped as by Ctrl+S, once it has shown something.

terminal.py closed|stopped PROGRAM… says `shown`, and ends as the program does; it has no controlling
process that would be told, as a job that was disowned.
"""

import ctypes
import os
import pty
import signal
import subprocess
import sys
import termios

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)

ours, its = pty.openpty()
program = subprocess.Popen(sys.argv[2:], stdin=its, stdout=its, stderr=its, start_new_session=True,
                           preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
os.read(ours, 4096)
if sys.argv[1] == "closed":
    os.close(its)
    os.close(ours)
else:
    termios.tcflow(its, termios.TCOOFF)
print("shown", program.pid, flush=True)
sys.exit(program.wait())
