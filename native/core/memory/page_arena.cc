#include "core/memory/page_arena.h"

#include "platform/memory.h"

#include <algorithm>
#include <iterator>

#if defined(__linux__)
#include <sys/mman.h>
#include <sys/sysinfo.h>
#endif

namespace strata {
namespace {

constexpr size_t kGrain = 32 * 1024;           // extents are whole grains
constexpr size_t kHugePage = 2 * 1024 * 1024;  // what memory is taken from and given back to the system in
constexpr size_t kGrowth = 32 * kHugePage;     // writable places grow by this much, so that the kernel is rarely asked
// Free memory that is kept: at most what was once in use at the same time, and that between these bounds.
constexpr int64_t kLeastBound = int64_t{256} << 20;
constexpr int64_t kLargestBound = int64_t{2} << 30;

size_t up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

PageArena::PageArena(char* base, size_t bytes, size_t memory)
    : base_(base), bytes_(bytes), memory_(memory), backed_(bytes / kHugePage, false) {
  add_free(0, bytes);
}

void* PageArena::take(size_t bytes) {
  const std::lock_guard lock(mutex_);
  // The reservation grants more than there is, and who touches that is killed: what cannot be held is refused here.
  if (bytes > memory_) return nullptr;
  const size_t size = up(bytes, kGrain);
  if (static_cast<size_t>(in_use_) + size > memory_) return nullptr;
  // The smallest extent that is large enough. The unused end of the reservation is the largest of all and so comes last.
  const auto found = by_size_.lower_bound({size, 0});
  if (found == by_size_.end()) return nullptr;
  const auto [whole, begin] = *found;
  if (!make_writable(begin + size)) return nullptr;
  remove_free(free_.find(begin));
  if (whole > size) add_free(begin + size, whole - size);
  mark_backed(begin, begin + size);
  used_.emplace(begin, size);
  in_use_ += static_cast<int64_t>(size);
  peak_in_use_ = std::max(peak_in_use_, in_use_);
  return base_ + begin;
}

bool PageArena::give(void* data) {
  const char* place = static_cast<char*>(data);
  if (place < base_ || place >= base_ + bytes_) return false;
  const std::lock_guard lock(mutex_);
  const auto found = used_.find(static_cast<size_t>(place - base_));
  if (found == used_.end()) return false;
  const auto [begin, bytes] = *found;
  used_.erase(found);
  in_use_ -= static_cast<int64_t>(bytes);
  add_free(begin, bytes);
  trim(std::clamp(peak_in_use_, kLeastBound, kLargestBound));
  return true;
}

void PageArena::release() {
  const std::lock_guard lock(mutex_);
  trim(0);
  peak_in_use_ = in_use_;
}

ArenaStatistics PageArena::statistics() {
  const std::lock_guard lock(mutex_);
  return {in_use_, kept()};
}

int64_t PageArena::kept() const { return backed_count_ * static_cast<int64_t>(kHugePage) - in_use_; }

void PageArena::add_free(size_t begin, size_t bytes) {
  const auto next = free_.lower_bound(begin);
  if (next != free_.end() && next->first == begin + bytes) {
    bytes += next->second;
    remove_free(next);
  }
  const auto after = free_.lower_bound(begin);
  if (after != free_.begin()) {
    const auto previous = std::prev(after);
    if (previous->first + previous->second == begin) {
      begin = previous->first;
      bytes += previous->second;
      remove_free(previous);
    }
  }
  free_.emplace(begin, bytes);
  by_size_.emplace(bytes, begin);
}

void PageArena::remove_free(std::map<size_t, size_t>::iterator extent) {
  by_size_.erase({extent->second, extent->first});
  free_.erase(extent);
}

void PageArena::mark_backed(size_t begin, size_t end) {
  for (size_t page = begin / kHugePage; page < up(end, kHugePage) / kHugePage; page++) {
    if (backed_[page]) continue;
    backed_[page] = true;
    backed_count_++;
  }
}

// The largest extents first: the end of what was ever used, which small requests have no need of.
void PageArena::trim(int64_t most) {
  for (auto extent = by_size_.rbegin(); extent != by_size_.rend() && kept() > most; ++extent) {
    const auto [bytes, begin] = *extent;
    release_pages(up(begin, kHugePage) / kHugePage, std::min(begin + bytes, writable_) / kHugePage, most);
  }
}

#if defined(__linux__)

// Of the huge pages [begin, end), all of them free: back to the system from the last one on, until `most` bytes are kept.
void PageArena::release_pages(size_t begin, size_t end, int64_t most) {
  while (end > begin && kept() > most) {
    size_t last = end;
    while (last > begin && !backed_[last - 1]) last--;
    size_t first = last;
    while (first > begin && backed_[first - 1] && kept() > most) {
      backed_[--first] = false;
      backed_count_--;
    }
    if (last > first) ::madvise(base_ + first * kHugePage, (last - first) * kHugePage, MADV_DONTNEED);
    end = first;
  }
}

bool PageArena::make_writable(size_t end) {
  if (end <= writable_) return true;
  const size_t grown = std::min(up(end, kGrowth), bytes_);
  if (::mprotect(base_ + writable_, grown - writable_, PROT_READ | PROT_WRITE) != 0) return false;
  writable_ = grown;
  return true;
}

std::unique_ptr<PageArena> PageArena::reserve() {
  if (platform::has_memory_limit()) return nullptr;
  // Addresses cost nothing: four times the machine's memory leaves room for extents that no free one fits.
  struct sysinfo machine;
  if (::sysinfo(&machine) != 0) return nullptr;
  const size_t memory = (machine.totalram + machine.totalswap) * machine.mem_unit;
  const size_t wanted = up(std::max(4 * memory, size_t{64} << 30), kGrowth);
  // One huge page more, so that an aligned part can be cut out of it.
  void* raw = ::mmap(nullptr, wanted + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* base = reinterpret_cast<char*>(up(reinterpret_cast<uintptr_t>(raw), kHugePage));
  ::madvise(base, wanted, MADV_HUGEPAGE);
  return std::unique_ptr<PageArena>(new PageArena(base, wanted, memory));
}

#else

void PageArena::release_pages(size_t, size_t, int64_t) {}
bool PageArena::make_writable(size_t) { return false; }
std::unique_ptr<PageArena> PageArena::reserve() { return nullptr; }

#endif

}  // namespace strata
