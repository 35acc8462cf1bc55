#pragma once
// Libraries that are opened while the program runs. Once open they stay: there is no order of destructors to get wrong at exit.
#include <string>

namespace strata::platform {

// By path. What it needs is looked for beside it, where the system does not do that itself; what is opened later finds its symbols.
// Null when it fails, with the loader's own words.
void* open_library(const std::string& path, std::string& words);
// One that the system knows by its name; its symbols are seen through find_symbol alone.
void* open_system_library(const char* name, std::string& words);
void* find_symbol(void* library, const char* name);

}  // namespace strata::platform
