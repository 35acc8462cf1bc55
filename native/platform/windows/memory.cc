#include "platform/memory.h"

#include <malloc.h>

namespace strata::platform {

// The C library has no aligned_alloc: its free could not tell such a block from others.
void* allocate_aligned(size_t alignment, size_t bytes) { return ::_aligned_malloc(bytes, alignment); }
void free_aligned(void* data) { ::_aligned_free(data); }

// A job's limit is not looked at.
bool has_memory_limit() { return false; }

}  // namespace strata::platform
