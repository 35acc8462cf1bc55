#include "platform/process.h"

#include <cstdlib>
#include <unistd.h>

namespace strata::platform {

int64_t process_id() { return ::getpid(); }
bool set_default_environment(const char* name, const char* value) { return ::setenv(name, value, 0) == 0; }

}  // namespace strata::platform
