#include "core/error.h"
#include "core/pruning/method.h"

namespace strata {

const PruningMethod& find_pruning_method(const std::string& name) {
  std::string known;
  for (const PruningMethod* method : {&kMagnitude, &kMovement, &kSoftMovement, &kHardConcrete}) {
    if (name == method->name) return *method;
    known += (known.empty() ? "" : ", ") + std::string(method->name);
  }
  fail("UNSUPPORTED", "pruning.method is '", name, "'; one of ", known, " was expected");
}

}  // namespace strata
