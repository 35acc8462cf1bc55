#include "core/storage/weight_image.h"

#if defined(__linux__)
#include "core/error.h"

#include <ATen/ops/from_blob.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace strata {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
constexpr size_t kAlignment = 64;
constexpr int kPopulateRead = 22;       // MADV_POPULATE_READ, Linux 5.14
constexpr int kWaitMilliseconds = 10'000;  // for another process that is making the same image

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(other.number_) { other.number_ = -1; }
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int operator*() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_;
};

// A sealed memory file. `entry`: the name by which other processes find it; empty = it is not ours or not published.
struct Image {
  Descriptor file;
  size_t size = 0;
  std::string entry;

  Image(Descriptor descriptor, size_t bytes) : file(std::move(descriptor)), size(bytes) {}
  ~Image() {
    if (!entry.empty()) ::unlink(entry.c_str());
  }
};

// One model's view of an image. Private: what it writes, nobody else sees.
struct Mapping {
  std::shared_ptr<Image> image;
  char* data = nullptr;

  ~Mapping() {
    if (data != nullptr) ::munmap(data, image->size);
  }
};

struct Layout {
  std::vector<size_t> offsets;
  size_t end = 0;   // of the tensors; the description follows
  std::string key;  // what the image holds, in words

  size_t size() const { return end + key.size(); }
};

// The file's identity: device, inode, size and the times of its last changes. Undefined ("") when it cannot be told or when it changed just
// now: two versions within a tick of the file system's clock would look the same.
std::string identity(const std::string& path) {
  struct stat s {};
  struct timespec now {};
  if (::stat(path.c_str(), &s) != 0 || !S_ISREG(s.st_mode)) return "";
  ::clock_gettime(CLOCK_REALTIME, &now);
  const auto stamp = [](const struct timespec& t) { return std::to_string(t.tv_sec) + "." + std::to_string(t.tv_nsec); };
  std::string text = std::to_string(s.st_dev) + " " + std::to_string(s.st_ino) + " " + std::to_string(s.st_size) + " " + stamp(s.st_mtim) +
                     " " + stamp(s.st_ctim);
  if (now.tv_sec - s.st_ctim.tv_sec < 2 || now.tv_sec - s.st_mtim.tv_sec < 2) text += " fresh " + stamp(now);
  return text;
}

Layout layout_of(const std::string& file, const std::vector<ImageTensor>& tensors) {
  char space[64] = "";
  const ssize_t length = ::readlink("/proc/self/ns/pid", space, sizeof space - 1);
  Layout layout;
  layout.key = "stratabert weights 1\n" + std::string(space, length > 0 ? static_cast<size_t>(length) : 0) + "\n" + file + "\n";
  for (const ImageTensor& tensor : tensors) {
    size_t bytes = sizeof(float);
    for (const int64_t size : tensor.shape) bytes *= static_cast<size_t>(size);
    layout.offsets.push_back(layout.end);
    layout.end = (layout.end + bytes + kAlignment - 1) / kAlignment * kAlignment;
    for (const StoredTensor& part : tensor.parts)
      layout.key += part.type + " " + std::to_string(part.begin) + " " + std::to_string(part.bytes) + ",";
    layout.key += "\n";
  }
  return layout;
}

uint64_t hash(const std::string& text) {  // FNV-1a; the whole key is compared afterwards
  uint64_t value = 0xcbf29ce484222325ull;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return value;
}

// A folder that belongs to this user alone; "" where there is none.
std::string registry() {
  const char* base = std::getenv("XDG_RUNTIME_DIR");
  if (base == nullptr || *base != '/') base = std::getenv("TMPDIR");
  if (base == nullptr || *base != '/') base = "/tmp";
  const std::string folder = std::string(base) + "/stratabert-" + std::to_string(::geteuid());
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return "";
  struct stat s {};
  const bool own = ::lstat(folder.c_str(), &s) == 0 && S_ISDIR(s.st_mode) && s.st_uid == ::geteuid() && (s.st_mode & 077) == 0;
  return own ? folder : "";
}

// Held while an image is looked for or made, so that workers that start together make one.
Descriptor lock(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return file;
  for (int waited = 0; ::flock(*file, LOCK_EX | LOCK_NB) != 0; waited += 5) {
    if (waited >= kWaitMilliseconds) return Descriptor();
    ::usleep(5000);
  }
  return file;
}

bool holds(int file, const Layout& layout) {
  struct stat s {};
  const int seals = ::fcntl(file, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals || ::fstat(file, &s) != 0 || s.st_uid != ::geteuid()) return false;
  if (static_cast<uint64_t>(s.st_size) != layout.size()) return false;
  std::string key(layout.key.size(), '\0');
  return ::pread(file, key.data(), key.size(), static_cast<off_t>(layout.end)) == static_cast<ssize_t>(key.size()) && key == layout.key;
}

// An image that a living process has published under `prefix`.
std::shared_ptr<Image> find(const std::string& folder, const std::string& prefix, const Layout& layout) {
  DIR* entries = ::opendir(folder.c_str());
  if (entries == nullptr) return nullptr;
  std::shared_ptr<Image> found;
  while (const struct dirent* entry = ::readdir(entries)) {
    const std::string name = entry->d_name;
    long process = 0;
    int number = 0;
    if (name.compare(0, prefix.size(), prefix) != 0 || std::sscanf(name.c_str() + prefix.size(), "%ld-%d", &process, &number) != 2) continue;
    const std::string path = "/proc/" + std::to_string(process) + "/fd/" + std::to_string(number);
    // Not blocking: the number may be anything by now, a pipe for example.
    Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    // Not ours to judge when there is no descriptor left, or no permission.
    if (!file && errno != ENOENT && errno != ENXIO) continue;
    if (file && holds(*file, layout)) {
      found = std::make_shared<Image>(std::move(file), layout.size());
      break;
    }
    ::unlink((folder + "/" + name).c_str());  // its process ended, or gave the model up
  }
  ::closedir(entries);
  return found;
}

at::Tensor view(char* data, size_t offset, const std::vector<int64_t>& shape, std::shared_ptr<Mapping> owner) {
  return at::from_blob(data + offset, shape, [owner = std::move(owner)](void*) {}, at::TensorOptions().dtype(at::kFloat));
}

// Null where the system gives no sealed memory.
std::shared_ptr<Image> make(const std::string& path, const std::string& file_identity, std::vector<ImageTensor>& tensors, const Layout& layout) {
  Descriptor file(static_cast<int>(::syscall(SYS_memfd_create, "stratabert-weights", 1u | 2u)));  // MFD_CLOEXEC | MFD_ALLOW_SEALING
  // Memory is taken here, where its lack is an error, and not at the first touch, where it would be a signal.
  if (!file || ::ftruncate(*file, static_cast<off_t>(layout.size())) != 0 || ::fallocate(*file, 0, 0, static_cast<off_t>(layout.size())) != 0)
    return nullptr;
  auto image = std::make_shared<Image>(std::move(file), layout.size());
  {
    Mapping writable;
    writable.image = image;
    void* data = ::mmap(nullptr, image->size, PROT_READ | PROT_WRITE, MAP_SHARED, *image->file, 0);
    if (data == MAP_FAILED) return nullptr;
    writable.data = static_cast<char*>(data);
    ::madvise(data, image->size, MADV_HUGEPAGE);
    std::vector<StoredTensor> stored;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const at::Tensor whole =
          at::from_blob(writable.data + layout.offsets[i], tensors[i].shape, at::TensorOptions().dtype(at::kFloat));
      const int64_t parts = static_cast<int64_t>(tensors[i].parts.size());
      for (int64_t p = 0; p < parts; ++p) {
        StoredTensor& part = tensors[i].parts[static_cast<size_t>(p)];
        const int64_t rows = parts == 1 ? 0 : tensors[i].shape[0] / parts;
        part.target = parts == 1 ? whole : whole.narrow(0, p * rows, rows);
        stored.push_back(part);
      }
    }
    read_tensors(path, stored);
    for (ImageTensor& tensor : tensors)
      for (StoredTensor& part : tensor.parts) part.target = at::Tensor();
    std::memcpy(writable.data + layout.end, layout.key.data(), layout.key.size());
  }
  const std::string now = identity(path);
  if (now.substr(0, now.find(" fresh")) != file_identity.substr(0, file_identity.find(" fresh")))
    fail("BAD_FILE", path, " changed while it was read; a file that nobody changes meanwhile was expected");
  return ::fcntl(*image->file, F_ADD_SEALS, kSeals) == 0 ? image : nullptr;
}

std::shared_ptr<Image> image_of(const std::string& path, std::vector<ImageTensor>& tensors, Layout& layout) {
  const std::string file = identity(path);
  if (file.empty()) return nullptr;
  layout = layout_of(file, tensors);
  // Images of this process, for its other models.
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<Image>> own;
  const std::lock_guard guard(mutex);
  if (auto image = own[layout.key].lock()) return image;
  const bool settled = file.find(" fresh") == std::string::npos;
  const std::string folder = settled ? registry() : "";
  const auto number = static_cast<unsigned long long>(hash(layout.key));
  char prefix[40], lock_name[16];
  std::snprintf(prefix, sizeof prefix, "%016llx-", number);
  // Few files for all images, since they stay: who unlinked one could not know that nobody waits at it.
  std::snprintf(lock_name, sizeof lock_name, "lock-%02llx", number & 0xff);
  const Descriptor held = folder.empty() ? Descriptor() : lock(folder + "/" + lock_name);
  std::shared_ptr<Image> image = held ? find(folder, prefix, layout) : nullptr;
  if (!image) {
    image = make(path, file, tensors, layout);
    if (!image) return nullptr;
    if (held) {
      const std::string name = folder + "/" + prefix + std::to_string(::getpid()) + "-" + std::to_string(*image->file);
      if (::symlink("weights", name.c_str()) == 0 || errno == EEXIST) image->entry = name;
    }
  }
  for (auto at = own.begin(); at != own.end();) at = at->second.expired() ? own.erase(at) : std::next(at);
  own[layout.key] = image;
  return image;
}

}  // namespace

std::vector<at::Tensor> load_image(const std::string& path, std::vector<ImageTensor> tensors) {
  const char* choice = std::getenv("STRATABERT_WEIGHTS");
  if (tensors.empty() || (choice != nullptr && std::strcmp(choice, "private") == 0)) return {};
  const at::NoGradGuard no_grad;
  Layout layout;
  auto mapping = std::make_shared<Mapping>();
  mapping->image = image_of(path, tensors, layout);
  if (!mapping->image) return {};
  void* data = ::mmap(nullptr, mapping->image->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, *mapping->image->file, 0);
  if (data == MAP_FAILED) return {};
  mapping->data = static_cast<char*>(data);
  ::madvise(data, mapping->image->size, kPopulateRead);  // what is there is mapped at once; no matter if it is not known
  std::vector<at::Tensor> views;
  for (size_t i = 0; i < tensors.size(); ++i) views.push_back(view(mapping->data, layout.offsets[i], tensors[i].shape, mapping));
  return views;
}

}  // namespace strata
#else
namespace strata {
std::vector<at::Tensor> load_image(const std::string&, std::vector<ImageTensor>) { return {}; }
}  // namespace strata
#endif
