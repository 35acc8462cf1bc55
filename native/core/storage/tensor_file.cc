#include "core/storage/tensor_file.h"

#include "core/error.h"
#include "platform/file.h"
#include "platform/process.h"

#include <atomic>
#include <cerrno>
#include <cstring>

namespace strata {
namespace {

// A file whose failures are errors of the core.
class File {
 public:
  using Access = platform::File::Access;
  // `shown` stands in messages.
  File(const std::string& path, Access access, const char* doing, const std::string& shown) : file_(path, access), path_(shown), doing_(doing) {
    if (!file_) throw_system();
  }
  [[noreturn]] void throw_system() const {
    const int number = errno;
    const char* code = platform::is_disk_full(number)                            ? "DISK_FULL"
                       : number == EROFS || number == EACCES || number == EPERM ? "READ_ONLY"
                       : number == ENOENT                                        ? "NOT_FOUND"
                                                                                 : "IO_ERROR";
    fail(code, "cannot ", doing_, " ", path_, ": ", std::strerror(number));
  }
  void write(const void* data, size_t count) {
    const char* bytes = static_cast<const char*>(data);
    while (count > 0) {
      const int64_t done = file_.write(bytes, count);
      if (done < 0) throw_system();
      bytes += done;
      count -= static_cast<size_t>(done);
    }
  }
  void read_at(void* data, size_t count, uint64_t offset) {
    char* bytes = static_cast<char*>(data);
    while (count > 0) {
      const int64_t done = file_.read(bytes, count, offset);
      if (done < 0) throw_system();
      if (done == 0) fail("BAD_FILE", path_, " ended while it was read; a file that nobody changes meanwhile was expected");
      bytes += done;
      offset += static_cast<uint64_t>(done);
      count -= static_cast<size_t>(done);
    }
  }
  uint64_t size() const {
    platform::FileStatus status;
    if (!file_.status(status)) throw_system();
    return status.bytes;
  }
  void sync() {
    if (!file_.sync()) throw_system();
  }
  void close() {
    if (!file_.close()) throw_system();
  }

 private:
  platform::File file_;
  std::string path_;
  const char* doing_;
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
  File file(path, File::Access::Create, "write", shown);
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
  File file(path, File::Access::Read, "read", path);
  const uint64_t size = file.size();
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
  if (!platform::is_plain_or_absent(path)) return write_file(path, path, header, tensors);
  static std::atomic<uint64_t> files{0};
  const std::string sibling = path + ".tmp-" + std::to_string(platform::process_id()) + "-" + std::to_string(++files);
  try {
    write_file(sibling, path, header, tensors);
    if (!platform::replace_file(sibling, path)) {
      const int number = errno;
      fail("IO_ERROR", "cannot rename ", sibling, " to ", path, ": ", std::strerror(number));
    }
  } catch (...) {
    platform::remove_file(sibling);
    throw;
  }
}

}  // namespace strata
