#pragma once
// One stretch of reserved addresses, handed out in extents. Neighbours that are free become one extent, so that memory given back in one
// size serves requests of any other: what the process holds stays near the most that was in use at once. Its pages stay with the process
// when their extent is given back, since clearing them anew in each training step costs more than most kernels.
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace strata {

struct ArenaStatistics {
  int64_t bytes_in_use = 0;  // extents handed out
  int64_t bytes_kept = 0;    // free, yet backed by memory
};

class PageArena {
 public:
  // Null where addresses can't be reserved: no Linux, or a limit on the process's memory, of which a reservation would take too much.
  static std::unique_ptr<PageArena> reserve();

  // Null when there is no memory: all that is handed out never exceeds what the machine has, swap included.
  void* take(size_t bytes);
  // False when the extent is not one of ours.
  bool give(void* data);
  // Gives all free memory back to the system.
  void release();
  ArenaStatistics statistics();

  PageArena(const PageArena&) = delete;
  PageArena& operator=(const PageArena&) = delete;

 private:
  PageArena(char* base, size_t bytes, size_t memory);

  bool make_writable(size_t end);
  void mark_backed(size_t begin, size_t end);
  void trim(int64_t most);
  void release_pages(size_t begin, size_t end, int64_t most);
  void add_free(size_t begin, size_t bytes);
  void remove_free(std::map<size_t, size_t>::iterator extent);
  int64_t kept() const;

  // Places count in bytes from the base.
  char* const base_;
  const size_t bytes_;
  const size_t memory_;
  std::mutex mutex_;
  size_t writable_ = 0;                           // places below are readable and writable
  std::vector<bool> backed_;                      // of each huge page: handed out since it was last given back to the system
  int64_t backed_count_ = 0;
  std::map<size_t, size_t> free_;                 // begin to bytes
  std::set<std::pair<size_t, size_t>> by_size_;   // (bytes, begin) of the same extents
  std::unordered_map<size_t, size_t> used_;       // begin to bytes
  int64_t in_use_ = 0;
  int64_t peak_in_use_ = 0;                       // since all free memory was last given back
};

}  // namespace strata
