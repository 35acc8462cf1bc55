#include "platform/processor.h"

#include <windows.h>

#include <intrin.h>

namespace strata::platform {
namespace {

constexpr DWORD64 kAvx512States = 0xE4;  // AVX, and the three of AVX-512 (Intel's manual, volume 1, "XSAVE-supported features")
constexpr unsigned kFoundation = 1u << 16, kDoubleAndQuad = 1u << 17, kByteAndWord = 1u << 30, kVectorLength = 1u << 31;  // CPUID(7, 0).ebx
constexpr unsigned kVnni = 1u << 11;                                                                                      // CPUID(7, 0).ecx
constexpr unsigned kBf16 = 1u << 5;                                                                                       // CPUID(7, 1).eax

}  // namespace

bool read_cpuid(unsigned leaf, unsigned subleaf, Registers& registers) {
  int found[4] = {};
  ::__cpuid(found, static_cast<int>(leaf & 0x80000000u));
  if (static_cast<unsigned>(found[0]) < leaf) return false;
  ::__cpuidex(found, static_cast<int>(leaf), static_cast<int>(subleaf));
  registers = {static_cast<unsigned>(found[0]), static_cast<unsigned>(found[1]), static_cast<unsigned>(found[2]), static_cast<unsigned>(found[3])};
  return true;
}

// Not __builtin_cpu_supports: under clang-cl it needs a library of Clang's that Visual Studio does not link.
bool has_avx512() {
  constexpr unsigned kAll = kFoundation | kDoubleAndQuad | kByteAndWord | kVectorLength;
  Registers registers;
  return (::GetEnabledXStateFeatures() & kAvx512States) == kAvx512States && read_cpuid(7, 0, registers) && (registers.ebx & kAll) == kAll;
}

bool has_avx512_vnni() {
  Registers registers;
  return has_avx512() && read_cpuid(7, 0, registers) && (registers.ecx & kVnni) != 0;
}

bool has_avx512_bf16() {
  Registers registers;
  return has_avx512() && read_cpuid(7, 1, registers) && (registers.eax & kBf16) != 0;
}

}  // namespace strata::platform
