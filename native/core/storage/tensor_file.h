#pragma once
// The bytes of a safetensors file. Its JSON header is read, checked and written by lib/model/safetensors.ts; here only bytes
// move, with every offset checked against the file once more.
#include "core/ops.h"

#include <cstdint>
#include <string>
#include <vector>

namespace strata {

struct StoredTensor {
  std::string name;   // for messages
  at::Tensor target;  // filled in place, converted from `type`
  std::string type;   // F64 | F32 | F16 | BF16
  uint64_t begin = 0; // first byte in the file, header included
  uint64_t bytes = 0;
};

// Reads each tensor from the file into its target. Throws BAD_FILE or IO_ERROR naming file and tensor.
void read_tensors(const std::string& path, const std::vector<StoredTensor>& tensors);

// Writes header and tensors one after the other, without padding, into a sibling that is synced and renamed. Throws IO_ERROR, DISK_FULL or READ_ONLY.
void write_tensors(const std::string& path, const std::string& header, const std::vector<at::Tensor>& tensors);

}  // namespace strata
