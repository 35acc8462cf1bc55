#include "platform/library.h"

#include "platform/windows/wide.h"

#include <windows.h>

namespace strata::platform {
namespace {

void* open(const wchar_t* name, DWORD places, std::string& words) {
  // No box with the error: whoever serves has nobody to close it. The caller's choice comes back afterwards.
  DWORD mode = 0;
  ::SetThreadErrorMode(SEM_FAILCRITICALERRORS | SEM_NOOPENFILEERRORBOX, &mode);
  const HMODULE library = ::LoadLibraryExW(name, nullptr, places);
  const DWORD number = ::GetLastError();
  ::SetThreadErrorMode(mode, nullptr);
  if (library != nullptr) {
    HMODULE pinned = nullptr;
    ::GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, reinterpret_cast<LPCWSTR>(library), &pinned);
    return library;
  }
  words = error_words(number);
  return nullptr;
}

}  // namespace

// Its own folder first: libtorch lies there whole. An addon that is loaded later is matched by the name of the DLL.
void* open_library(const std::string& path, std::string& words) {
  void* library = open(wide_path(path).c_str(), LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS, words);
  // Windows does not say which one is missing.
  if (library == nullptr) words += "; what libtorch needs beside its own folder is the Microsoft Visual C++ Redistributable";
  return library;
}

// System32 alone: a file of that name elsewhere is nobody's driver.
void* open_system_library(const char* name, std::string& words) {
  const std::string text = name;
  return open(std::wstring(text.begin(), text.end()).c_str(), LOAD_LIBRARY_SEARCH_SYSTEM32, words);
}

void* find_symbol(void* library, const char* name) {
  return reinterpret_cast<void*>(::GetProcAddress(static_cast<HMODULE>(library), name));
}

}  // namespace strata::platform
