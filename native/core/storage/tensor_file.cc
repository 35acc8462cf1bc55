#include "core/storage/tensor_file.h"

#include "core/error.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace strata {
namespace {

class File {
 public:
  // `shown` stands in messages.
  File(const std::string& path, int flags, const char* doing, const std::string& shown) : path_(shown), doing_(doing) {
    descriptor_ = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (descriptor_ < 0) throw_system();
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int descriptor() const { return descriptor_; }
  [[noreturn]] void throw_system() const {
    const int number = errno;
    const char* code = number == ENOSPC || number == EDQUOT                      ? "DISK_FULL"
                       : number == EROFS || number == EACCES || number == EPERM ? "READ_ONLY"
                       : number == ENOENT                                        ? "NOT_FOUND"
                                                                                 : "IO_ERROR";
    fail(code, "cannot ", doing_, " ", path_, ": ", std::strerror(number));
  }
  void write(const void* data, size_t count) {
    const char* bytes = static_cast<const char*>(data);
    while (count > 0) {
      const ssize_t done = ::write(descriptor_, bytes, count);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) throw_system();
      bytes += done;
      count -= static_cast<size_t>(done);
    }
  }
  void read_at(void* data, size_t count, uint64_t offset) {
    char* bytes = static_cast<char*>(data);
    while (count > 0) {
      const ssize_t done = ::pread(descriptor_, bytes, count, static_cast<off_t>(offset));
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) throw_system();
      if (done == 0) fail("BAD_FILE", path_, " ended while it was read; a file that nobody changes meanwhile was expected");
      bytes += done;
      offset += static_cast<uint64_t>(done);
      count -= static_cast<size_t>(done);
    }
  }
  void sync() {
    if (::fsync(descriptor_) != 0) throw_system();
  }
  void close() {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    if (::close(descriptor) != 0) throw_system();
  }

 private:
  std::string path_;
  const char* doing_;
  int descriptor_ = -1;
};

at::ScalarType scalar_type(const std::string& type, const std::string& path, const std::string& name) {
  if (type == "F64") return at::kDouble;
  if (type == "F32") return at::kFloat;
  if (type == "F16") return at::kHalf;
  if (type == "BF16") return at::kBFloat16;
  fail("BAD_FILE", path, ": tensor ", name, " has dtype ", type, "; F64, F32, F16 or BF16 was expected");
}

void write_file(const std::string& path, const std::string& shown, const std::string& header, const std::vector<at::Tensor>& tensors) {
  const at::NoGradGuard no_grad;
  File file(path, O_WRONLY | O_CREAT | O_TRUNC, "write", shown);
  uint64_t length = header.size();
  unsigned char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<unsigned char>(length >> (8 * i));
  file.write(bytes, sizeof bytes);
  file.write(header.data(), header.size());
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor host = tensor.detach().to(at::kCPU).contiguous();
    file.write(host.const_data_ptr(), host.nbytes());
  }
  file.sync();
  file.close();
}

}  // namespace

void read_tensors(const std::string& path, const std::vector<StoredTensor>& tensors) {
  const at::NoGradGuard no_grad;
  File file(path, O_RDONLY, "read", path);
  struct stat status {};
  if (::fstat(file.descriptor(), &status) != 0) file.throw_system();
  const auto size = static_cast<uint64_t>(status.st_size);
  // All is checked before the first weight changes.
  for (const StoredTensor& stored : tensors) {
    const at::ScalarType type = scalar_type(stored.type, path, stored.name);
    const uint64_t expected = static_cast<uint64_t>(stored.target.numel()) * at::elementSize(type);
    if (stored.bytes != expected)
      fail("BAD_CHECKPOINT", path, ": tensor ", stored.name, " has ", stored.bytes, " bytes; ", expected, " were expected");
    if (stored.begin > size || stored.bytes > size - stored.begin)
      fail("BAD_FILE", path, ": tensor ", stored.name, " ends at byte ", stored.begin + stored.bytes, " but the file has ", size);
  }
  for (const StoredTensor& stored : tensors) {
    at::Tensor raw = at::empty(stored.target.sizes(), at::TensorOptions().dtype(scalar_type(stored.type, path, stored.name)));
    file.read_at(raw.mutable_data_ptr(), stored.bytes, stored.begin);
    at::Tensor target = stored.target;
    target.copy_(raw);
  }
}

void write_tensors(const std::string& path, const std::string& header, const std::vector<at::Tensor>& tensors) {
  // A sibling is renamed into place: an old file of this name may be mapped by a reader, which must not see it shrink. What is no
  // plain file (a device, a pipe, a link) is written as it is.
  struct stat status {};
  const bool plain = ::lstat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode);
  if (!plain) return write_file(path, path, header, tensors);
  static std::atomic<uint64_t> files{0};
  const std::string sibling = path + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(++files);
  try {
    write_file(sibling, path, header, tensors);
    if (::rename(sibling.c_str(), path.c_str()) != 0) {
      const int number = errno;
      fail("IO_ERROR", "cannot rename ", sibling, " to ", path, ": ", std::strerror(number));
    }
  } catch (...) {
    ::unlink(sibling.c_str());
    throw;
  }
}

}  // namespace strata
