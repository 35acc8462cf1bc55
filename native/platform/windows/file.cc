#include "platform/file.h"

#include "platform/windows/wide.h"

#include <windows.h>

#include <algorithm>
#include <cerrno>

namespace strata::platform {
namespace {

constexpr size_t kMostAtOnce = size_t{1} << 30;  // one call counts in 32 bits

HANDLE handle_of(std::intptr_t handle) { return reinterpret_cast<HANDLE>(handle); }

bool done(BOOL result) {
  if (!result) set_errno();
  return result != 0;
}

HANDLE open(const std::string& path, File::Access access) {
  // Whoever reads lets others rename and delete the file, as POSIX does. Without BACKUP_SEMANTICS a folder could not be opened, and
  // would be told as one that may not be read.
  return access == File::Access::Read
             ? ::CreateFileW(wide_path(path).c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
                             OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, nullptr)
             : ::CreateFileW(wide_path(path).c_str(), GENERIC_WRITE, FILE_SHARE_READ, nullptr, CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, nullptr);
}

}  // namespace

// INVALID_HANDLE_VALUE is -1.
File::File(const std::string& path, Access access) : handle_(reinterpret_cast<std::intptr_t>(open(path, access))) {
  if (!*this) set_errno();
}

File::~File() {
  if (*this) ::CloseHandle(handle_of(handle_));
}

bool File::status(FileStatus& status) const {
  // A pipe or device has no information of this kind.
  if (::GetFileType(handle_of(handle_)) != FILE_TYPE_DISK) {
    status = {};
    return true;
  }
  BY_HANDLE_FILE_INFORMATION found{};
  if (!done(::GetFileInformationByHandle(handle_of(handle_), &found))) return false;
  const bool folder = (found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
  status = {uint64_t{found.nFileSizeHigh} << 32 | found.nFileSizeLow, !folder, folder};
  return true;
}

int64_t File::read(void* data, size_t count, uint64_t offset) const {
  OVERLAPPED place{};
  place.Offset = static_cast<DWORD>(offset);
  place.OffsetHigh = static_cast<DWORD>(offset >> 32);
  DWORD bytes = 0;
  if (::ReadFile(handle_of(handle_), data, static_cast<DWORD>(std::min(count, kMostAtOnce)), &bytes, &place)) return bytes;
  if (::GetLastError() == ERROR_HANDLE_EOF) return 0;
  set_errno();
  return -1;
}

int64_t File::write(const void* data, size_t count) {
  DWORD bytes = 0;
  return done(::WriteFile(handle_of(handle_), data, static_cast<DWORD>(std::min(count, kMostAtOnce)), &bytes, nullptr)) ? int64_t{bytes} : -1;
}

bool File::sync() { return done(::FlushFileBuffers(handle_of(handle_))); }

bool File::close() {
  const HANDLE handle = handle_of(handle_);
  handle_ = kNone;
  return done(::CloseHandle(handle));
}

void* File::map(size_t bytes) const {
  const HANDLE mapping = ::CreateFileMappingW(handle_of(handle_), nullptr, PAGE_WRITECOPY, 0, 0, nullptr);
  if (mapping == nullptr) {
    set_errno();
    return nullptr;
  }
  // Memory for every page that could be written is promised here (the commit charge), where POSIX promises none.
  void* address = ::MapViewOfFile(mapping, FILE_MAP_COPY, 0, 0, bytes);
  if (address == nullptr) set_errno();
  // The view holds it from here on.
  ::CloseHandle(mapping);
  return address;
}

void unmap(void* address, size_t) { ::UnmapViewOfFile(address); }

bool is_plain_or_absent(const std::string& path) {
  const DWORD attributes = ::GetFileAttributesW(wide_path(path).c_str());
  return attributes == INVALID_FILE_ATTRIBUTES ||
         (attributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT | FILE_ATTRIBUTE_DEVICE)) == 0;
}

// Fails (EACCES) while somebody has the old file open or mapped: Windows keeps its name for as long. WRITE_THROUGH: see sync_folder.
bool replace_file(const std::string& from, const std::string& to) {
  return done(::MoveFileExW(wide_path(from).c_str(), wide_path(to).c_str(), MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH));
}

void remove_file(const std::string& path) { ::DeleteFileW(wide_path(path).c_str()); }

// Windows flushes files (FlushFileBuffers in File::sync) and no folders. NTFS writes names through its journal, which keeps a rename whole but
// not at once; replace_file waits for it. So all that is left here is to refuse what is no folder, as POSIX does.
const char* sync_folder(const std::string& path) {
  const DWORD attributes = ::GetFileAttributesW(wide_path(path).c_str());
  if (!done(attributes != INVALID_FILE_ATTRIBUTES)) return "open";
  if ((attributes & FILE_ATTRIBUTE_DIRECTORY) != 0) return nullptr;
  errno = ENOTDIR;
  return "open";
}

bool is_disk_full(int number) { return number == ENOSPC; }

}  // namespace strata::platform
