#include "platform/library.h"

#include <dlfcn.h>

namespace strata::platform {
namespace {

void* open(const char* name, int scope, std::string& words) {
  dlerror();
  void* library = dlopen(name, RTLD_NOW | scope | RTLD_NODELETE);
  if (library != nullptr) return library;
  const char* said = dlerror();
  words = said != nullptr ? said : "dlopen failed without a message";
  return nullptr;
}

}  // namespace

// GLOBAL: the main addon is matched by SONAME and finds the symbols.
void* open_library(const std::string& path, std::string& words) { return open(path.c_str(), RTLD_GLOBAL, words); }
void* open_system_library(const char* name, std::string& words) { return open(name, RTLD_LOCAL, words); }
void* find_symbol(void* library, const char* name) { return dlsym(library, name); }

}  // namespace strata::platform
