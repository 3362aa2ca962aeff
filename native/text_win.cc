#include "text_win.h"

#include <windows.h>

namespace kernel_lock {
namespace {

bool starts_with(const std::wstring& text, const wchar_t* prefix) {
  return text.compare(0, std::char_traits<wchar_t>::length(prefix), prefix) == 0;
}

}  // namespace

std::wstring to_wide(const std::string& utf8) {
  const int size = static_cast<int>(utf8.size());
  const int length = ::MultiByteToWideChar(CP_UTF8, 0, utf8.data(), size, nullptr, 0);
  std::wstring wide(static_cast<size_t>(length), L'\0');
  ::MultiByteToWideChar(CP_UTF8, 0, utf8.data(), size, &wide[0], length);
  return wide;
}

std::string to_utf8(const wchar_t* text, size_t size) {
  const int length = static_cast<int>(size);
  const int bytes = ::WideCharToMultiByte(CP_UTF8, 0, text, length, nullptr, 0, nullptr, nullptr);
  std::string utf8(static_cast<size_t>(bytes), '\0');
  ::WideCharToMultiByte(CP_UTF8, 0, text, length, &utf8[0], bytes, nullptr, nullptr);
  return utf8;
}

std::string to_utf8(const std::wstring& text) { return to_utf8(text.data(), text.size()); }

std::wstring long_path(const std::string& path) {
  const std::wstring given = to_wide(path);
  // The prefix turns all normalizing off, so this comes first: slashes, dots
  // and trailing spaces then mean what they mean to every other program.
  const DWORD size = ::GetFullPathNameW(given.c_str(), 0, nullptr, nullptr);
  std::wstring full(size, L'\0');
  full.resize(::GetFullPathNameW(given.c_str(), size, &full[0], nullptr));
  if (full.empty() || full.size() >= size) return {};
  if (starts_with(full, LR"(\\.\)") || starts_with(full, LR"(\\?\)")) {
    ::SetLastError(ERROR_BAD_DEVICE);
    return {};
  }
  if (starts_with(full, LR"(\\)")) return LR"(\\?\UNC\)" + full.substr(2);
  return LR"(\\?\)" + full;
}

}  // namespace kernel_lock
