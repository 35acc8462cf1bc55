// GCC 12 gave std::condition_variable::wait a new symbol version (GLIBCXX_3.4.30) when it dropped noexcept from it. It is the one symbol
// that would keep the addon from RHEL 9 and Amazon Linux 2023 (GLIBCXX_3.4.29). CMakeLists.txt wraps its calls (--wrap); they go to the
// older version here, which every libstdc++ since GCC 4.4 exports. The difference, a thread cancelled inside wait, does not happen: no thread
// is ever cancelled.
#include <condition_variable>
#include <mutex>

#if defined(__linux__) && defined(__GLIBCXX__)

extern "C" {

void strata_older_wait(std::condition_variable*, std::unique_lock<std::mutex>*);
__asm__(".symver strata_older_wait, _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE@GLIBCXX_3.4.11");

__attribute__((visibility("hidden"))) void __wrap__ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE(
    std::condition_variable* self, std::unique_lock<std::mutex>* lock) {
  strata_older_wait(self, lock);
}

}  // extern "C"

#endif
