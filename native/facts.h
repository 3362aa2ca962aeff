// What the kernel says of processes and of open files, where there is no /proc
// to read it from. Nothing here tries a lock in the way of anybody, opens a
// file for writing, or knows JavaScript.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace kernel_lock {

// What can't be known is empty, or negative.
struct ProcessFacts {
  std::string start_token;  // differs between any two processes that had the same pid
  double started_at = -1;   // milliseconds since 1970
  std::string executable;
  std::vector<std::string> arguments;
  std::string directory;  // the working directory
  double uid = -1;        // the user's number; macOS
  std::string user;
  std::string status;
  double cpu_seconds = -1;   // used since the start, in user and kernel mode
  double memory_bytes = -1;  // resident
};

// All empty where there is no such process.
ProcessFacts process_facts(int pid);

// macOS: the processes that hold a lock on the file, as far as this user may look
// into them. Windows: the other processes that have it open, holders and waiters
// alike. `known` is false where the system won't tell.
struct Openers {
  bool known = false;
  std::vector<int> pids;
};
Openers openers_of(const std::string& path);

// What the system calls the directory's file system; empty where it won't tell.
std::string file_system_of(const std::string& directory);

}  // namespace kernel_lock
