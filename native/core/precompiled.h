#pragma once
// Precompiled once for the whole addon (see CMakeLists.txt): what nearly every file includes.
#include "core/ops.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>
