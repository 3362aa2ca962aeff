/* How a lock is acquired, verified and released: native/lock_posix.cc and wait_linux.cc, step by
   step, beside others that crash, cancel, delete, rename and put back.

   A path names an inode or nothing; flock belongs to an inode. CONTENDERS processes go through it.
   -DNO_INODE_CHECK leaves out the comparison after flock.
   -DREADERS=N makes the first N readers. One more spoils the files, three times at most, when it has
   the lock.
   -DROGUE lets somebody who holds nothing touch the path; then two can be inside, and what has to
   hold is that one of them is told. */

#ifndef CONTENDERS
#define CONTENDERS 2
#endif
#ifndef READERS
#define READERS 0
#endif
#define INODES 4
#define DEEDS 3
#define NONE 0

byte path = NONE;          /* the inode that the path names */
byte moved = NONE;         /* the one that was renamed away */
byte made = 0;             /* how many inodes there are; 1 to INODES */
byte writers[INODES + 1];  /* who holds flock on it */
byte readers[INODES + 1];
byte inside[INODES + 1];   /* writers in the critical section, by the inode they hold */
byte reading[INODES + 1];
byte writing = 0;          /* in the critical section, whatever they hold */
byte looking = 0;

#define FREE(i) (writers[i] == 0 && readers[i] == 0)
#define GRANTABLE(i, shared) (writers[i] == 0 && (shared || readers[i] == 0))

#define ALONE (writing == 0 || (writing == 1 && looking == 0))
/* All that are inside and whose file is still at the path: they need not be told. */
#define UNTOLD_ALONE (path == NONE || inside[path] == 0 || (inside[path] == 1 && reading[path] == 0))

inline open_or_create(fd) {
  /* O_CREAT | O_EXCL is one step; so is opening what is there. */
  atomic {
    if
    :: path != NONE -> fd = path
    :: path == NONE && made < INODES -> made++; path = made; fd = path
    :: path == NONE && made == INODES -> goto ended /* the model's inodes are used up */
    fi
  }
}

inline unlock(fd, shared) {
  atomic {
    if
    :: shared -> readers[fd]--
    :: else -> writers[fd]--
    fi
  }
}

inline grant(fd, shared) {
  if
  :: shared -> readers[fd]++
  :: else -> writers[fd]++
  fi
}

/* What is done to the path: deleted, renamed away, put back over what is there. */
inline meddle() {
  if
  :: path != NONE -> path = NONE
  :: path != NONE -> moved = path; path = NONE
  :: moved != NONE -> path = moved; moved = NONE
  :: else
  fi
}

proctype contender(bool shared; bool spoils) {
  byte fd = NONE;
  byte deeds = 0;
start:
  open_or_create(fd);
  /* One that does not wait gives up here; one that waits may be cancelled. */
  if
  :: atomic { GRANTABLE(fd, shared) -> grant(fd, shared) }
  :: goto ended
  fi;
  /* Cancelled, but granted all the same: given back. A crash is the same step. */
  if
  :: unlock(fd, shared); goto ended
  :: skip
  fi;
#ifndef NO_INODE_CHECK
  if
  :: path != fd -> unlock(fd, shared); goto start
  :: else
  fi;
#endif
  if
  :: spoils -> /* a holder that does to the file what nobody should, and is not inside */
    atomic { meddle(); deeds++ };
    unlock(fd, shared);
    if
    :: deeds < DEEDS -> goto start
    :: goto ended
    fi
  :: else
  fi;
  atomic {
    if
    :: shared -> looking++; reading[fd]++
    :: else -> writing++; inside[fd]++
    fi;
#ifdef ROGUE
    assert(UNTOLD_ALONE)
#else
    assert(ALONE)
#endif
  };
  /* Here it works, crashes or releases: the kernel's part is the same. */
  atomic {
    if
    :: shared -> looking--; reading[fd]--
    :: else -> writing--; inside[fd]--
    fi
  };
  unlock(fd, shared);
  if
  :: goto start
  :: goto ended
  fi;
ended:
  skip
}

#ifdef ROGUE
proctype rogue() {
  byte deeds = 0;
  do
  :: deeds < DEEDS -> atomic { meddle(); deeds++; assert(UNTOLD_ALONE) }
  :: break
  od
}
#endif

init {
  byte i = 0;
  atomic {
    do
    :: i < CONTENDERS ->
      run contender(i < READERS, false);
      i++
    :: i == CONTENDERS -> break
    od;
    run contender(false, true);
#ifdef ROGUE
    run rogue()
#endif
  }
}
