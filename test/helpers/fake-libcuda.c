// A libcuda.so.1 that says what the environment tells it to: what the boot addon asks a driver, without a driver.
#include <stdlib.h>
#include <string.h>

static int number(const char* name) {
  const char* text = getenv(name);
  return text ? atoi(text) : 0;
}

int cuInit(unsigned flags) { return flags == 0 ? number("FAKE_CUDA_STATUS") : 1; }
int cuDriverGetVersion(int* version) { return *version = number("FAKE_CUDA_VERSION"), 0; }
int cuDeviceGetCount(int* count) { return *count = number("FAKE_CUDA_CAPABILITY") ? 1 : 0, 0; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, 0; }
int cuDeviceGetName(char* name, int bytes, int device) { return device ? 101 : (strncpy(name, "Fake GPU", bytes), 0); }
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  const int capability = number("FAKE_CUDA_CAPABILITY");
  if (device || (attribute != 75 && attribute != 76)) return 1;
  return *value = attribute == 75 ? capability / 10 : capability % 10, 0;
}
