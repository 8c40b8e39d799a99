// SPDX-License-Identifier: GPL-2.0-only
//
// The one place that picks a backend. kernel/ includes this; vfs/ and mockfs/ include kernel/.
#pragma once

#include "dcsim/config.h"

#if defined(DCSIM_BACKEND_NATIVE)
#include "dcsim/prim/native/lockref_word.h"
#include "dcsim/prim/native/memory.h"
#include "dcsim/prim/native/once.h"
#include "dcsim/prim/native/rcu.h"
#include "dcsim/prim/native/report.h"
#include "dcsim/prim/native/rwsem.h"
#include "dcsim/prim/native/spinlock.h"
#include "dcsim/prim/native/task.h"
#else
#include "dcsim/prim/model/lockref_word.h"
#include "dcsim/prim/model/memory.h"
#include "dcsim/prim/model/once.h"
#include "dcsim/prim/model/rcu.h"
#include "dcsim/prim/model/report.h"
#include "dcsim/prim/model/rwsem.h"
#include "dcsim/prim/model/spinlock.h"
#include "dcsim/prim/model/task.h"
#endif

#include "dcsim/prim/contract.h"
