#include "command_line_win.h"

#include <windows.h>

#include "text_win.h"

namespace kernel_lock {
namespace {

constexpr const wchar_t* kEndings[] = {L".com", L".exe", L".bat", L".cmd"};

bool is_file(const std::wstring& path) {
  const DWORD attributes = ::GetFileAttributesW(path.c_str());
  return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) == 0;
}

std::wstring variable(const wchar_t* name) {
  std::wstring value;
  DWORD size = ::GetEnvironmentVariableW(name, nullptr, 0);
  while (size > value.size()) {
    value.resize(size);
    size = ::GetEnvironmentVariableW(name, &value[0], static_cast<DWORD>(value.size()));
  }
  value.resize(size);
  return value;
}

bool has_ending(const std::wstring& path) {
  const size_t dot = path.find_last_of(L'.');
  const size_t slash = path.find_last_of(L"\\/:");
  return dot != std::wstring::npos && (slash == std::wstring::npos || dot > slash);
}

// Without an ending a file is not a program: beside `npm.cmd` lies a shell
// script that is called `npm`.
std::wstring with_ending(const std::wstring& path) {
  if (has_ending(path) && is_file(path)) return path;
  for (const wchar_t* ending : kEndings) {
    if (is_file(path + ending)) return path + ending;
  }
  return {};
}

std::wstring find_program(const std::wstring& name) {
  if (name.empty()) return {};
  if (name.find_first_of(L"\\/:") != std::wstring::npos) return with_ending(name);
  const std::wstring path = variable(L"PATH");
  size_t start = 0;
  while (start < path.size()) {
    size_t end = path.find(L';', start);
    if (end == std::wstring::npos) end = path.size();
    std::wstring directory = path.substr(start, end - start);
    if (directory.size() > 1 && directory.front() == L'"' && directory.back() == L'"') {
      directory = directory.substr(1, directory.size() - 2);
    }
    if (!directory.empty()) {
      const std::wstring found = with_ending(directory + L'\\' + name);
      if (!found.empty()) return found;
    }
    start = end + 1;
  }
  return {};
}

bool is_batch(const std::wstring& program) {
  const std::wstring ending = program.size() < 4 ? L"" : program.substr(program.size() - 4);
  return ::lstrcmpiW(ending.c_str(), L".bat") == 0 || ::lstrcmpiW(ending.c_str(), L".cmd") == 0;
}

// The rules of CommandLineToArgvW: backslashes count only before a quote.
void append_argument(std::wstring& line, const std::wstring& argument) {
  line += L' ';
  if (!argument.empty() && argument.find_first_of(L" \t\n\v\"") == std::wstring::npos) {
    line += argument;
    return;
  }
  line += L'"';
  size_t backslashes = 0;
  for (const wchar_t letter : argument) {
    if (letter == L'\\') {
      ++backslashes;
    } else {
      if (letter == L'"') line.append(backslashes + 1, L'\\');
      backslashes = 0;
    }
    line += letter;
  }
  line.append(backslashes, L'\\');
  line += L'"';
}

// cmd.exe reads the line before the batch file does: only quotes keep & | < > ^
// from it, a quote is doubled, and `%` expands even inside quotes, unless an
// expression that yields nothing is put behind it (CVE-2024-24576).
void append_batch_argument(std::wstring& line, const std::wstring& argument) {
  line += L" \"";
  size_t backslashes = 0;
  for (const wchar_t letter : argument) {
    if (letter == L'\\') {
      ++backslashes;
    } else {
      if (letter == L'"') {
        line.append(backslashes, L'\\');
        line += L'"';
      } else if (letter == L'%') {
        line += L"%%cd:~,";
      }
      backslashes = 0;
    }
    line += letter;
  }
  line.append(backslashes, L'\\');
  line += L'"';
}

std::wstring command_interpreter() {
  wchar_t directory[MAX_PATH];
  const UINT size = ::GetSystemDirectoryW(directory, MAX_PATH);
  return std::wstring(directory, size < MAX_PATH ? size : 0) + L"\\cmd.exe";
}

}  // namespace

CommandLine make_command_line(const std::vector<std::string>& arguments) {
  std::vector<std::wstring> wide;
  bool one_line = true;
  for (const std::string& argument : arguments) {
    if (argument.find('\0') != std::string::npos) return {L"?", {}};
    one_line = one_line && argument.find_first_of("\r\n") == std::string::npos;
    wide.push_back(to_wide(argument));
  }
  if (wide.empty()) return {};
  const std::wstring program = find_program(wide[0]);
  if (program.empty()) return {};

  if (!is_batch(program)) {
    CommandLine command{program, L"\"" + program + L"\""};
    for (size_t i = 1; i < wide.size(); ++i) append_argument(command.line, wide[i]);
    return command;
  }
  if (!one_line) return {program, {}};
  CommandLine command{command_interpreter(),
                      L"cmd.exe /e:ON /v:OFF /d /s /c \"\"" + program + L"\""};
  for (size_t i = 1; i < wide.size(); ++i) append_batch_argument(command.line, wide[i]);
  command.line += L'"';
  return command;
}

}  // namespace kernel_lock
