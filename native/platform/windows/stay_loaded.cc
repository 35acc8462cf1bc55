// What `-z nodelete` does on Linux (CMakeLists.txt): Node closes an addon when the last thread that loaded it ends, and what lives as long as
// the process would then point into unmapped memory. The addon pins itself when it is loaded.
#include <windows.h>

namespace {

bool pin() {
  static const char here = 0;
  HMODULE self = nullptr;
  return ::GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, reinterpret_cast<LPCWSTR>(&here), &self) != 0;
}

[[maybe_unused]] const bool pinned = pin();

}  // namespace
