// SPDX-License-Identifier: GPL-2.0-only
//
// Names the backend this translation unit is compiled for.
//
// The port is compiled once per backend into its own inline namespace, so `dcsim::native::d_lookup`
// and `dcsim::model::d_lookup` are two symbols: one executable may link both, and an object built
// for the wrong backend fails at link instead of mixing layouts silently. CMake sets the macro on
// the library target as PUBLIC, so a consumer cannot disagree with the library it links.
#pragma once

#if defined(DCSIM_BACKEND_NATIVE) == defined(DCSIM_BACKEND_MODEL)
#error "define exactly one backend: link dcsim::native or dcsim::model"
#elif defined(DCSIM_BACKEND_NATIVE)
#define DCSIM_BACKEND native
#else
#define DCSIM_BACKEND model
#endif
