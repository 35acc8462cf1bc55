#pragma once
#include <cstdint>

namespace strata::platform {

int64_t process_id();
// Sets a variable of the environment unless it is set; false when the system refuses.
bool set_default_environment(const char* name, const char* value);

}  // namespace strata::platform
