// What the operating system does for a lock: one non-blocking attempt, one
// interruptible wait, the record, the release. Nothing here knows JavaScript.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace kernel_lock {

// A file descriptor on POSIX.
using Handle = intptr_t;
constexpr Handle kNoHandle = -1;

enum class Mode { exclusive, shared };

// A failed system call: its name and the error number it left.
struct Failure {
  const char* syscall = nullptr;
  int code = 0;
};

enum class Status {
  acquired,
  held,         // by somebody else: a value, not an error
  interrupted,  // the wait was called off
  unsafe,       // something other than a regular file with one link stands at the path
  failed,
};

struct Outcome {
  Status status = Status::failed;
  Handle handle = kNoHandle;
  Failure failure;
  bool takes_record = true;  // `false`: the file is not this package's to write
};

// One attempt that never blocks. When it returns `acquired`, the locked file
// was the one at `path` at a moment after the lock was taken. On Windows other
// programs can be in the way of opening the file: they are given half a second,
// or, before a wait that gives it to them in a thread of its own, count as `held`.
Outcome try_acquire(const std::string& path, Mode mode, bool wait_follows = false);

// A missing record breaks nothing (a full disk, a read-only descriptor), so
// this reports no error.
void write_record(Handle handle, const char* record, size_t size);

// Frees the lock even where another process has a copy of the descriptor. On Windows the record is
// spoilt before, as the kernel names no holder to compare it with.
void release(Handle handle);

// Makes the file look used: macOS deletes files in /tmp that nobody has touched
// for three days, locked or not.
void touch(Handle handle);

// Whether the file at `path` is still the one that is locked.
bool is_current(Handle handle, const std::string& path);

// Whether both paths lead to one file.
bool is_same_file(const std::string& path, const std::string& other);

enum class LockState { unknown, free, shared, exclusive };

// Whether anybody holds the lock, this process included; a file that is not
// there is free. Where the kernel can't be asked, it is tried, for the blink of
// an eye.
LockState lock_state(const std::string& path);

// A blocking acquisition in a thread of its own. Its end may come from any
// other thread and at any moment, before the wait has begun as well; the caller
// sees to it that the waiting thread has not ended (one mutex for both).
class BlockingWait {
 public:
  BlockingWait();
  ~BlockingWait();
  BlockingWait(const BlockingWait&) = delete;
  BlockingWait& operator=(const BlockingWait&) = delete;

  // Starts `body(argument)` in a detached thread that no signal of the program
  // reaches. Returns the failure, if any.
  static Failure start_thread(void (*body)(void*), void* argument);

  Outcome acquire(const std::string& path, Mode mode);  // in that thread
  void interrupt();   // from another one: it comes back without the lock, `interrupted`
  void time_is_up();  // likewise, after a last look: with the lock, or because it is `held`
  void rearm();       // forgets either

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kernel_lock
