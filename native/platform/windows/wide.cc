#include "platform/windows/wide.h"

#include <windows.h>

#include <cerrno>

namespace strata::platform {
namespace {

// CreateDirectory's limit, the lowest one: MAX_PATH less a file name of the old form.
constexpr size_t kShortPath = MAX_PATH - 12;

std::wstring wide(const std::string& text) {
  const int bytes = static_cast<int>(text.size());
  std::wstring result(static_cast<size_t>(::MultiByteToWideChar(CP_UTF8, 0, text.data(), bytes, nullptr, 0)), L'\0');
  ::MultiByteToWideChar(CP_UTF8, 0, text.data(), bytes, result.data(), static_cast<int>(result.size()));
  return result;
}

std::string narrow(const wchar_t* text, size_t length) {
  const int units = static_cast<int>(length);
  std::string result(static_cast<size_t>(::WideCharToMultiByte(CP_UTF8, 0, text, units, nullptr, 0, nullptr, nullptr)), '\0');
  ::WideCharToMultiByte(CP_UTF8, 0, text, units, result.data(), static_cast<int>(result.size()), nullptr, nullptr);
  return result;
}

int errno_of(DWORD number) {
  switch (number) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_DRIVE:
    case ERROR_BAD_NETPATH:
    case ERROR_BAD_PATHNAME:
    case ERROR_INVALID_NAME: return ENOENT;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION:
    case ERROR_USER_MAPPED_FILE: return EACCES;
    case ERROR_WRITE_PROTECT: return EROFS;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL:
    case 1295:  // ERROR_DISK_QUOTA_EXCEEDED, which not all headers have
      return ENOSPC;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_COMMITMENT_LIMIT: return ENOMEM;
    case ERROR_TOO_MANY_OPEN_FILES: return EMFILE;
    case ERROR_INVALID_PARAMETER: return EINVAL;
    default: return EIO;
  }
}

}  // namespace

std::wstring wide_path(const std::string& path) {
  const std::wstring text = wide(path);
  std::wstring full(::GetFullPathNameW(text.c_str(), 0, nullptr, nullptr), L'\0');
  // Without the NUL this time.
  full.resize(::GetFullPathNameW(text.c_str(), static_cast<DWORD>(full.size()), full.data(), nullptr));
  if (full.empty()) return text;
  if (full.size() < kShortPath || full.rfind(L"\\\\?\\", 0) == 0) return full;
  return full.rfind(L"\\\\", 0) == 0 ? L"\\\\?\\UNC" + full.substr(1) : L"\\\\?\\" + full;
}

void set_errno() { errno = errno_of(::GetLastError()); }

std::string error_words(unsigned long number) {
  wchar_t text[512];
  DWORD length = ::FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, nullptr, number, 0, text,
                                  static_cast<DWORD>(sizeof text / sizeof *text), nullptr);
  while (length > 0 && (text[length - 1] == L'\n' || text[length - 1] == L'\r' || text[length - 1] == L' ' || text[length - 1] == L'.')) --length;
  const std::string code = "Windows error " + std::to_string(number);
  return length == 0 ? code : narrow(text, length) + " (" + code + ")";
}

}  // namespace strata::platform
