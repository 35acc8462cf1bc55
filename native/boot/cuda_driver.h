#pragma once

#include <string>
#include <vector>

// What the NVIDIA driver says about itself, asked through its own library: no CUDA header and nothing of libtorch is needed.
struct CudaDriver {
  struct Device {
    std::string name;
    int major;  // compute capability
    int minor;
  };
  bool library = false;  // libcuda.so.1 (nvcuda.dll) could be opened
  std::string words;     // the loader's, when it could not
  int status = 0;        // CUresult of the first call that failed; 0 = none
  int version = 0;       // newest CUDA that the driver runs, as 1000 × major + 10 × minor; 0 = unknown
  std::vector<Device> devices;
};

CudaDriver inspect_cuda_driver();
