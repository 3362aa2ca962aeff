// The directories that the system has for the machine's and the user's data,
// whatever the environment says.
#pragma once

#include <string>

#include "lock.h"

namespace kernel_lock {

enum class Scope { machine, user };

struct Folder {
  std::string path;
  Failure failure;
};
Folder known_folder(Scope scope);

// Makes the directory of a scope's locks. The one that all users share: everybody
// can create and open lock files in it, and nobody but administrators can delete
// or replace one. One that is there already is left as it is; a link in its place
// is a failure.
Failure make_directory(const std::string& path, Scope scope);

}  // namespace kernel_lock
