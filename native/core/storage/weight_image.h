#pragma once
// Weights of a model that only answers, in memory that all processes of a user share.
//
// A safetensors file is not mapped itself: whoever truncates a mapped file (`cp` over it is enough) kills its readers with SIGBUS, and
// neither a hard link nor a private mapping changes that. The tensors are copied once, converted and laid out as the model wants them, into
// an unnamed memory file that is then sealed: from there on nobody, its maker included, can shrink, grow or write it. Models map it
// privately: pages are shared until one is written. Other processes find it through a folder of their user's that names process and
// descriptor, open it by /proc, and take it if seals, owner and the description at its end are right.
// Whatever is missing (another system, no /proc, a container's limit), the file is read into private memory as ever.
#include "core/storage/tensor_file.h"

#include <string>
#include <vector>

namespace strata {

struct ImageTensor {
  std::vector<int64_t> shape;
  // What fills it, along dimension 0; targets are set by load_image.
  std::vector<StoredTensor> parts;
};

// Float tensors of the given shapes, in order; empty where an image cannot be had. Throws as read_tensors, and BAD_FILE when the file
// changed while it was read. STRATABERT_WEIGHTS=private in the environment: never an image.
std::vector<at::Tensor> load_image(const std::string& path, std::vector<ImageTensor> tensors);

}  // namespace strata
