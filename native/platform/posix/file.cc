#include "platform/file.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace strata::platform {
namespace {

int descriptor_of(std::intptr_t handle) { return static_cast<int>(handle); }

}  // namespace

File::File(const std::string& path, Access access)
    : handle_(::open(path.c_str(), (access == Access::Read ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC) | O_CLOEXEC, 0644)) {}

File::~File() {
  if (*this) ::close(descriptor_of(handle_));
}

bool File::status(FileStatus& status) const {
  struct stat found {};
  if (::fstat(descriptor_of(handle_), &found) != 0) return false;
  status = {static_cast<uint64_t>(found.st_size), S_ISREG(found.st_mode), S_ISDIR(found.st_mode)};
  return true;
}

int64_t File::read(void* data, size_t count, uint64_t offset) const {
  for (;;) {
    const ssize_t done = ::pread(descriptor_of(handle_), data, count, static_cast<off_t>(offset));
    if (done >= 0 || errno != EINTR) return done;
  }
}

int64_t File::write(const void* data, size_t count) {
  for (;;) {
    const ssize_t done = ::write(descriptor_of(handle_), data, count);
    if (done >= 0 || errno != EINTR) return done;
  }
}

bool File::sync() { return ::fsync(descriptor_of(handle_)) == 0; }

bool File::close() {
  const int descriptor = descriptor_of(handle_);
  handle_ = kNone;
  return ::close(descriptor) == 0;
}

void* File::map(size_t bytes) const {
  void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor_of(handle_), 0);
  return address == MAP_FAILED ? nullptr : address;
}

void unmap(void* address, size_t bytes) { ::munmap(address, bytes); }

bool is_plain_or_absent(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode);
}

bool replace_file(const std::string& from, const std::string& to) { return ::rename(from.c_str(), to.c_str()) == 0; }
void remove_file(const std::string& path) { ::unlink(path.c_str()); }

const char* sync_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return "open";
  // Some network file systems answer EINVAL: they cannot, and the rename alone is what they offer.
  const bool synced = ::fsync(descriptor) == 0 || errno == EINVAL;
  const int number = errno;
  ::close(descriptor);
  errno = number;
  return synced ? nullptr : "fsync";
}

bool is_disk_full(int number) { return number == ENOSPC || number == EDQUOT; }

}  // namespace strata::platform
