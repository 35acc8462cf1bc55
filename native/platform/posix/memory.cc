#include "platform/memory.h"

#include <sys/resource.h>

#include <cstdlib>
#include <initializer_list>

namespace strata::platform {

void* allocate_aligned(size_t alignment, size_t bytes) { return std::aligned_alloc(alignment, bytes); }
void free_aligned(void* data) { std::free(data); }

bool has_memory_limit() {
  for (const auto resource : {RLIMIT_AS, RLIMIT_DATA}) {
    rlimit limit{};
    if (::getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) return true;
  }
  return false;
}

}  // namespace strata::platform
