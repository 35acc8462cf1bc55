#include "core/memory/caching_allocator.h"

#include "platform/memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <list>
#include <map>
#include <mutex>
#include <string_view>
#include <unordered_map>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace strata {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kLarge = 256 * 1024;  // smaller blocks go to malloc
// Kept blocks together: at most what was once in use at the same time, and that between these bounds. Batches whose lengths vary ask for
// ever new sizes, and without a bound one block of each would stay.
constexpr int64_t kLeastBound = int64_t{256} << 20;
constexpr int64_t kLargestBound = int64_t{2} << 30;

// Sizes are rounded to sixteenths of a power of two, so that near sizes share blocks: at most 6.25 % is lost.
size_t rounded(size_t bytes) {
  const size_t step = std::bit_floor(bytes) / 16;
  return (bytes + step - 1) / step * step;
}

class CachingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, nullptr, &free_small, cpu};
    if (bytes < kLarge) {
      void* data = platform::allocate_aligned(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
      TORCH_CHECK(data != nullptr, "can't allocate memory: you tried to allocate ", bytes, " bytes");
      return {data, data, &free_small, cpu};
    }
    // Context and data are one pointer: oneDNN allocates through raw_allocate, which asks for that.
    void* data = take(rounded(bytes));
    return {data, data, &free_large, cpu};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &free_any; }
  void copy_data(void* destination, const void* source, size_t count) const override { std::memcpy(destination, source, count); }

  AllocatorStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

  void release_cached() {
    const std::lock_guard lock(mutex_);
    release_cached_locked();
  }

 private:
  static CachingAllocator& instance();
  static void free_small(void* data) { platform::free_aligned(data); }
  static void free_large(void* data) { instance().give(data); }
  static void free_any(void* data) {
    if (!instance().give(data)) platform::free_aligned(data);
  }
  friend CachingAllocator& caching_allocator();

  void* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    // A kept block up to an eighth larger will do; where another one would be too much, up to twice as large.
    const auto found = kept_.lower_bound(bytes);
    const bool full = statistics_.bytes_cached + static_cast<int64_t>(bytes) > bound();
    if (found != kept_.end() && found->first <= bytes + (full ? bytes : bytes / 8)) {
      const auto [size, age] = *found;
      void* data = age->data;
      by_age_.erase(age);
      kept_.erase(found);
      used_.emplace(data, size);
      statistics_.bytes_cached -= static_cast<int64_t>(size);
      count_in_use(size);
      return data;
    }
    // What was not asked for the longest goes first.
    trim_locked(bound() - static_cast<int64_t>(bytes));
    void* data = map(bytes);
    if (data == nullptr) {
      release_cached_locked();
      data = map(bytes);
    }
    TORCH_CHECK(data != nullptr, "can't allocate memory: you tried to allocate ", bytes, " bytes");
    used_.emplace(data, bytes);
    count_in_use(bytes);
    return data;
  }

  // False when the block is not one of ours.
  bool give(void* data) {
    const std::lock_guard lock(mutex_);
    const auto found = used_.find(data);
    if (found == used_.end()) return false;
    const size_t bytes = found->second;
    used_.erase(found);
    statistics_.bytes_in_use -= static_cast<int64_t>(bytes);
    by_age_.push_back({data, bytes});
    by_age_.back().by_size = kept_.emplace(bytes, std::prev(by_age_.end()));
    statistics_.bytes_cached += static_cast<int64_t>(bytes);
    trim_locked(bound());
    return true;
  }

  void count_in_use(size_t bytes) {
    statistics_.bytes_in_use += static_cast<int64_t>(bytes);
    peak_in_use_ = std::max(peak_in_use_, statistics_.bytes_in_use);
  }

  int64_t bound() const { return std::clamp(peak_in_use_, kLeastBound, kLargestBound); }

  void trim_locked(int64_t most) {
    while (statistics_.bytes_cached > most && !by_age_.empty()) {
      const Kept& oldest = by_age_.front();
      unmap(oldest.data, oldest.bytes);
      statistics_.bytes_cached -= static_cast<int64_t>(oldest.bytes);
      kept_.erase(oldest.by_size);
      by_age_.pop_front();
    }
  }

  void release_cached_locked() {
    trim_locked(-1);
    peak_in_use_ = statistics_.bytes_in_use;
  }

#if defined(__linux__)
  static constexpr size_t kHugePage = 2 * 1024 * 1024;

  static void* map(size_t bytes) {
    // One huge page more than asked for, so that an aligned part can be cut out of it.
    const size_t slack = bytes >= kHugePage ? kHugePage : 0;
    void* raw = ::mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) return nullptr;
    if (slack == 0) return raw;
    const auto address = reinterpret_cast<uintptr_t>(raw);
    const uintptr_t aligned = (address + kHugePage - 1) / kHugePage * kHugePage;
    if (aligned > address) ::munmap(raw, aligned - address);
    const uintptr_t page = 4096, end = (aligned + bytes + page - 1) / page * page, raw_end = address + bytes + slack;
    if (raw_end > end) ::munmap(reinterpret_cast<void*>(end), raw_end - end);
    ::madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
    return reinterpret_cast<void*>(aligned);
  }
  static void unmap(void* data, size_t bytes) { ::munmap(data, bytes); }
#else
  static void* map(size_t bytes) { return platform::allocate_aligned(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment); }
  static void unmap(void* data, size_t) { platform::free_aligned(data); }
#endif

  std::mutex mutex_;
  struct Kept;
  using ByAge = std::list<Kept>;
  using BySize = std::multimap<size_t, ByAge::iterator>;
  struct Kept {
    void* data;
    size_t bytes;
    BySize::iterator by_size{};
  };
  ByAge by_age_;  // given back last: at the end
  BySize kept_;
  int64_t peak_in_use_ = 0;                     // since all kept blocks were last given back
  std::unordered_map<void*, size_t> used_;

  AllocatorStatistics statistics_;
};

// Never destroyed: tensors may outlive every static destructor.
CachingAllocator& caching_allocator() {
  static auto* allocator = new CachingAllocator();
  return *allocator;
}

CachingAllocator& CachingAllocator::instance() { return caching_allocator(); }

}  // namespace

void use_caching_allocator() {
  static std::once_flag once;
  std::call_once(once, [] {
    const char* choice = std::getenv("STRATABERT_ALLOCATOR");
    if (choice != nullptr && std::string_view(choice) == "system") return;
    c10::SetCPUAllocator(&caching_allocator(), 1);
  });
}

AllocatorStatistics allocator_statistics() { return caching_allocator().statistics(); }
void release_cached_memory() { caching_allocator().release_cached(); }

}  // namespace strata
