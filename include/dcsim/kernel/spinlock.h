// SPDX-License-Identifier: GPL-2.0-only
//
// Spinlocks, from the backend.
#pragma once

#include "dcsim/annotations.h"
#include "dcsim/prim/prim.h"
