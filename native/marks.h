// What the operating system watches: single files, directories and links, for what happens to
// themselves and not to what is in them.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

namespace kernel_lock {

constexpr int kNoMark = -1;

// Before all else; once more where it failed.
bool open_marks();

// Marks what is at `path`, not what a link there leads to; `status` is lstat's. kNoMark where it
// can't be watched. A mark that was handed out before means the same inode.
int add_mark(const std::string& path, const struct stat& status);
void remove_mark(int mark);

// Blocks until something was moved or deleted that is marked; empty where that may be anything.
std::vector<int> wait_for_marks();

}  // namespace kernel_lock
