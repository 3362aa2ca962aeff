// Text and paths as the Windows API wants them.
#pragma once

#include <cstddef>
#include <string>

namespace kernel_lock {

std::wstring to_wide(const std::string& utf8);
std::string to_utf8(const wchar_t* text, size_t size);
std::string to_utf8(const std::wstring& text);

// The absolute path with the prefix that lifts the limit of 260 characters.
// Empty where `path` names a device or bears that prefix already (GetLastError is
// then ERROR_BAD_DEVICE), and where the system can't resolve it.
std::wstring long_path(const std::string& path);

}  // namespace kernel_lock
