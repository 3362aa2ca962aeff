#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <limits>

#include "lock_file_posix.h"
#include "record.h"

namespace kernel_lock {
namespace {

constexpr int kOpenFlags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

constexpr mode_t kPermissionBits = 07777;

Outcome failed(const char* syscall) { return {Status::failed, kNoHandle, {syscall, errno}}; }

// Never 0, 1 or 2, which a program may have closed: child processes would inherit
// the lock as a standard stream, and what is printed would end in the record.
int open_retrying(const char* path, int flags, mode_t mode = 0) {
  constexpr int kFirstOwn = 3;
  int fd;
  do {
    fd = ::open(path, flags, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0 || fd >= kFirstOwn) return fd;
  const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, kFirstOwn);
  const int reason = errno;
  ::close(fd);
  errno = reason;
  return moved;
}

// Where the sticky bit is refused (as some file systems do), the permissions still
// have to be independent of the umask. For a file of our own making only: another
// one may have been moved here for others to read.
void set_mode(int fd) {
  if (::fchmod(fd, kFileMode) != 0) ::fchmod(fd, kFileMode & ~S_ISVTX);
}

// A creator under a strict umask makes the file readable for others an instant
// after it appears; one that was killed in between never does.
bool may_be_in_creation(const std::string& path) {
  constexpr mode_t kReadable = S_IRGRP | S_IROTH;
  constexpr time_t kSeconds = 2;
  struct stat status;
  struct timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  return ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0 &&
         (status.st_mode & kReadable) != kReadable && now.tv_sec - status.st_ctime <= kSeconds;
}

// A millisecond of those that are left; `false` where there are none.
bool take_a_moment(int& left) {
  if (left-- <= 0) return false;
  const struct timespec millisecond = {0, 1000000};
  ::nanosleep(&millisecond, nullptr);
  return true;
}

// Who may write the directory can move or link somebody's file here, and it
// must not be written. A lock file is marked, or empty as flock(1) makes them,
// or holds a record (where it could not be marked).
bool takes_record(const struct stat& status) {
  return (status.st_mode & S_ISVTX) != 0 || status.st_size == 0 ||
         status.st_size == static_cast<off_t>(kRecordBytes);
}

// A time between two looks that no rhythm of another process can be in step with.
void let_pass_some_time() {
  constexpr long kMostNs = 16384;
  struct timespec start;
  struct timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &start);
  const long wanted = start.tv_nsec % kMostNs;
  do {
    ::clock_gettime(CLOCK_MONOTONIC, &now);
  } while (now.tv_sec == start.tv_sec && now.tv_nsec - start.tv_nsec < wanted);
}

// To create a file waits for what others do to the directory just now. A lock file that
// is made by it, because none was there, is the next round's.
void let_changes_end(const std::string& path) {
  const int fd = open_retrying(path.c_str(), O_RDWR | O_CREAT | O_EXCL | kOpenFlags, kFileMode);
  if (fd < 0) return;
  set_mode(fd);
  ::close(fd);
}

// Whether this user made the file under a strict umask and was killed before others could read it.
// (One that was made so by chmod, and emptied since, looks the same; on macOS, where lock files
// have no mark, nothing tells it from one of another program.)
bool is_unfinished(const struct stat& status) {
  constexpr mode_t kReadable = S_IRGRP | S_IROTH;
  const mode_t mode = status.st_mode & kPermissionBits;
  return status.st_size == 0 && status.st_uid == ::geteuid() && (mode & S_ISVTX) != 0 &&
         (mode & ~kFileMode) == 0 && (mode & kReadable) != kReadable;
}

void mark(int fd, const struct stat& status) {
  const mode_t mode = status.st_mode & kPermissionBits;
  if (is_unfinished(status)) {
    set_mode(fd);
  } else if ((kFileMode & ~mode & S_ISVTX) != 0 && status.st_uid == ::geteuid()) {
    ::fchmod(fd, mode | S_ISVTX);
  }
}

bool still_at_path(const OpenFile& file, const std::string& path, nlink_t most_links,
                   struct stat& status) {
  return ::lstat(path.c_str(), &status) == 0 && status.st_dev == file.device &&
         status.st_ino == file.inode && status.st_nlink <= most_links;
}

}  // namespace

Outcome open_lock_file(const std::string& path, OpenFile& file) {
  constexpr int kGraceMs = 500;
  int grace = kGraceMs;
  bool created = false;
  for (int round = 0;; ++round) {
    if (round == kMaxReplacements) return {Status::unsafe, kNoHandle, {}};
    // No O_CREAT on an existing file: with fs.protected_regular that fails for
    // another user's file in a sticky directory, for root too.
    file.fd = open_retrying(path.c_str(), O_RDWR | kOpenFlags);
    if (file.fd >= 0) break;
    if (errno == EACCES || errno == EPERM || errno == EROFS) {
      const int reason = errno;
      file.fd = open_retrying(path.c_str(), O_RDONLY | kOpenFlags);
      if (file.fd >= 0) break;
      if (reason == EACCES && may_be_in_creation(path) && take_a_moment(grace)) continue;
      errno = reason;
    }
    // Somebody has a lease on it (fcntl(2), as file servers do), and is being asked to give it up.
    if (errno == EWOULDBLOCK && take_a_moment(grace)) continue;
    if (errno != ENOENT) return failed("open");
    file.fd = open_retrying(path.c_str(), O_RDWR | O_CREAT | O_EXCL | kOpenFlags, kFileMode);
    if (file.fd >= 0) {
      created = true;
      break;
    }
    if (errno != EEXIST) return failed("open");
  }

  struct stat status;
  if (::fstat(file.fd, &status) != 0) {
    const Outcome outcome = failed("fstat");
    ::close(file.fd);
    return outcome;
  }
  // A second link would make the record appear in somebody else's file.
  if (!S_ISREG(status.st_mode) || status.st_nlink > 1) {
    ::close(file.fd);
    return {Status::unsafe, kNoHandle, {}};
  }
  if (created && (status.st_mode & kPermissionBits) != kFileMode) set_mode(file.fd);
  // lstat finds the file first and counts its links then. One who links somebody's
  // file to the path and unlinks it, over and over, gets between the two now and then,
  // and stays there where the scheduler takes the processor away in the middle of an
  // unlink; so it is looked at again and again, after such an unlink has ended. What is
  // marked is a lock file.
  constexpr int kLooks = 8;
  if ((status.st_mode & S_ISVTX) == 0) file.looks = kLooks;
  file.device = status.st_dev;
  file.inode = status.st_ino;
  return {Status::acquired, file.fd, {}};
}

bool adopt(const OpenFile& file, const std::string& path, Outcome& opened) {
  struct stat status;
  for (int look = 0; look < file.looks; ++look) {
    if (file.looks > 1) {
      let_changes_end(path);
      let_pass_some_time();
    }
    if (!still_at_path(file, path, 1, status)) return false;
  }
  opened.takes_record = takes_record(status);
  if (opened.takes_record) mark(file.fd, status);
  return true;
}

Outcome try_acquire(const std::string& path, Mode mode, bool /*wait_follows*/) {
  const int operation = (mode == Mode::shared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  for (int round = 0; round < kMaxReplacements; ++round) {
    OpenFile file;
    Outcome opened = open_lock_file(path, file);
    if (opened.status != Status::acquired) return opened;
    int result;
    do {
      result = ::flock(file.fd, operation);
    } while (result != 0 && errno == EINTR);  // a file system in user space may be interrupted
    if (result != 0) {
      const Outcome outcome =
          errno == EWOULDBLOCK ? Outcome{Status::held, kNoHandle, {}} : failed("flock");
      ::close(file.fd);
      return outcome;
    }
    if (adopt(file, path, opened)) return opened;
    release(file.fd);
  }
  return {Status::unsafe, kNoHandle, {}};
}

void write_record(Handle handle, const char* record, size_t size) {
  ssize_t written;
  do {
    written = ::pwrite(static_cast<int>(handle), record, size, 0);
  } while (written < 0 && errno == EINTR);
}

void release(Handle handle) {
  // close() alone frees nothing while a child between fork and exec still has
  // a copy of the descriptor.
  ::flock(static_cast<int>(handle), LOCK_UN);
  ::close(static_cast<int>(handle));
}

void touch(Handle handle) { ::futimens(static_cast<int>(handle), nullptr); }

bool is_current(Handle handle, const std::string& path) {
  struct stat status;
  if (::fstat(static_cast<int>(handle), &status) != 0) return false;
  const OpenFile file{static_cast<int>(handle), status.st_dev, status.st_ino, 1};
  return still_at_path(file, path, std::numeric_limits<nlink_t>::max(), status);
}

bool is_same_file(const std::string& path, const std::string& other) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0) return false;
  const OpenFile file{-1, status.st_dev, status.st_ino, 1};
  return still_at_path(file, other, std::numeric_limits<nlink_t>::max(), status);
}

}  // namespace kernel_lock
