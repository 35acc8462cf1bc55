#pragma once
// A CPU allocator that takes large blocks from an arena whose memory stays with the process, on huge pages (page_arena.h). A training step
// asks for the same sizes again and again; the system's allocator gives such blocks back to the kernel, which then clears each page anew.
#include <cstdint>

namespace strata {

struct AllocatorStatistics {
  int64_t bytes_in_use = 0;  // large blocks handed out
  int64_t bytes_cached = 0;  // large blocks kept for reuse
};

// Makes it libtorch's CPU allocator, once a process. STRATABERT_ALLOCATOR=system in the environment leaves libtorch's own, and so do systems
// other than Linux and a limit on the process's memory (`ulimit -v`, `ulimit -d`).
void use_caching_allocator();
AllocatorStatistics allocator_statistics();
// Gives all kept blocks back to the system.
void release_cached_memory();

}  // namespace strata
