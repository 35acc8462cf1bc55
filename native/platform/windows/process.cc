#include "platform/process.h"

#include <windows.h>

#include <cstdlib>

namespace strata::platform {

int64_t process_id() { return ::GetCurrentProcessId(); }

// Sets the C library's copy and the process's: libtorch's libraries ask for either.
bool set_default_environment(const char* name, const char* value) { return std::getenv(name) != nullptr || ::_putenv_s(name, value) == 0; }

}  // namespace strata::platform
