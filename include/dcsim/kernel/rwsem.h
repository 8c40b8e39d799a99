// SPDX-License-Identifier: GPL-2.0-only
//
// mutex and rw_semaphore, from the backend.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/prim/prim.h"
