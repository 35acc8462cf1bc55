#pragma once
// Files by UTF-8 path, of 4 GiB and more too. What fails says so with errno set, on Windows as well.
#include <cstddef>
#include <cstdint>
#include <string>

namespace strata::platform {

struct FileStatus {
  uint64_t bytes = 0;
  bool plain = false;
  bool folder = false;
};

class File {
 public:
  enum class Access { Read, Create };  // Create: to write; made, or emptied when it is there

  File(const std::string& path, Access access);
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  explicit operator bool() const { return handle_ != kNone; }
  bool status(FileStatus& status) const;
  // Bytes that were read or written, maybe fewer than asked for; 0 at the file's end, -1 when it fails.
  int64_t read(void* data, size_t count, uint64_t offset) const;
  int64_t write(const void* data, size_t count);
  // Brings the bytes to the disk.
  bool sync();
  bool close();
  // The first bytes, at least one and no more than the file has; null when it fails. They outlive this object. A write to them never
  // reaches the file.
  void* map(size_t bytes) const;

 private:
  static constexpr std::intptr_t kNone = -1;
  std::intptr_t handle_ = kNone;  // a descriptor; on Windows a HANDLE
};

void unmap(void* address, size_t bytes);

// A plain file, or nothing yet: no link, folder, device or pipe.
bool is_plain_or_absent(const std::string& path);
// In one step: at every moment `to` is the old file or the new one.
bool replace_file(const std::string& from, const std::string& to);
void remove_file(const std::string& path);
// Makes renames inside the folder durable. Null, or the name of the call that failed.
const char* sync_folder(const std::string& path);

// An errno that means that the disk is full, or the user's share of it.
bool is_disk_full(int number);

}  // namespace strata::platform
