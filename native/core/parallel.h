#pragma once
// Work shared among libtorch's own threads. at::parallel_for stands in a header and is serial in code that is compiled without -fopenmp, as
// this addon is; and linked against an OpenMP library of its own, the addon could bring a second one into the process. So the threads are
// asked of the libgomp that libtorch has brought. Where there is none (libomp on macOS), work is done by the calling thread.
#include <cstdint>

namespace strata {

using RangeTask = void (*)(const void* body, int64_t begin, int64_t end);

// Calls task(body, …) for a part of 0 … items a thread, each part at least `grain` long, and waits. The first exception is thrown on. Within
// another parallel part, or with one thread allowed, the calling thread does all.
void run_parallel(int64_t items, int64_t grain, RangeTask task, const void* body);

// False where the calling thread does all: libtorch's own operators share large work among threads there, too.
bool shares_work();

template <typename Body>
void parallel_for(int64_t items, int64_t grain, const Body& body) {
  run_parallel(items, grain, [](const void* data, int64_t begin, int64_t end) { (*static_cast<const Body*>(data))(begin, end); }, &body);
}

}  // namespace strata
