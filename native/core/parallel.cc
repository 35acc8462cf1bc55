#include "core/parallel.h"

#include <ATen/Parallel.h>
#include <c10/util/ParallelGuard.h>

#include <algorithm>
#include <atomic>
#include <exception>

#if defined(__linux__)
#include <dlfcn.h>
#endif

namespace strata {
namespace {

// Of GCC's OpenMP run time; its interface to compiled code is fixed since GCC 4.9.
struct OpenMp {
  void (*parallel)(void (*entry)(void*), void* data, unsigned threads, unsigned flags) = nullptr;
  int (*thread)() = nullptr;
  int (*threads)() = nullptr;

  explicit operator bool() const { return parallel && thread && threads; }
};

OpenMp find_openmp() {
  OpenMp found;
#if defined(__linux__)
  // Loaded by libtorch already, never by us.
  void* library = ::dlopen("libgomp.so.1", RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return found;
  found.parallel = reinterpret_cast<decltype(found.parallel)>(::dlsym(library, "GOMP_parallel"));
  found.thread = reinterpret_cast<decltype(found.thread)>(::dlsym(library, "omp_get_thread_num"));
  found.threads = reinterpret_cast<decltype(found.threads)>(::dlsym(library, "omp_get_num_threads"));
#endif
  return found;
}

const OpenMp& openmp() {
  static const OpenMp library = find_openmp();
  return library;
}

struct Job {
  int64_t items, grain;
  RangeTask task;
  const void* body;
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  std::exception_ptr error;
};

void run_part(void* data) {
  Job& job = *static_cast<Job*>(data);
  const int64_t parts = std::min<int64_t>(openmp().threads(), (job.items + job.grain - 1) / job.grain);
  const int64_t length = (job.items + parts - 1) / parts, begin = openmp().thread() * length;
  if (begin >= job.items) return;
  try {
    const c10::ParallelGuard guard(true);
    job.task(job.body, begin, std::min(job.items, begin + length));
  } catch (...) {
    if (!job.failed.test_and_set()) job.error = std::current_exception();
  }
}

}  // namespace

bool shares_work() { return static_cast<bool>(openmp()); }

void run_parallel(int64_t items, int64_t grain, RangeTask task, const void* body) {
  if (items <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  if (items <= grain || at::in_parallel_region() || at::get_num_threads() == 1 || !openmp()) return task(body, 0, items);
  Job job{items, grain, task, body, {}, {}};
  openmp().parallel(&run_part, &job, 0, 0);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace strata
