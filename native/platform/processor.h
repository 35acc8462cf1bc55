#pragma once

namespace strata::platform {

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// CPUID; false for a leaf above the highest one, and on processors that are no x86.
bool read_cpuid(unsigned leaf, unsigned subleaf, Registers& registers);

// The processor has them and the system saves their registers.
bool has_avx512();  // F, BW, VL and DQ
bool has_avx512_vnni();
bool has_avx512_bf16();

}  // namespace strata::platform
