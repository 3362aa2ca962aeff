// From a list of arguments to what CreateProcessW takes.
#pragma once

#include <string>
#include <vector>

namespace kernel_lock {

struct CommandLine {
  std::wstring program;  // the file to start; empty where none was found
  std::wstring line;     // empty where the arguments can't be said safely
};

// Finds `arguments[0]` as a shell does, in PATH and with the usual endings, but
// not in the working directory, where anybody may have put it. A batch file is
// started by cmd.exe, with arguments that it can't take for commands.
CommandLine make_command_line(const std::vector<std::string>& arguments);

}  // namespace kernel_lock
