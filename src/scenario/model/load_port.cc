// SPDX-License-Identifier: GPL-2.0-only
//
// Loading a port that was built with a patch.
#include <stdexcept>

#include <dlfcn.h>

#include "dcsim/scenario/program.h"

namespace dcsim::inline DCSIM_BACKEND
{

scenario_program_factory load_port(const std::string &file)
{
    using find_factory = scenario_program_factory (*)();

    // A name without a slash would be searched for in the system's library folders.
    const std::string path = file.find('/') == std::string::npos ? "./" + file : file;
    void *module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!module)
        throw std::runtime_error(std::string("the port cannot be loaded: ") + dlerror());
    const auto find = reinterpret_cast<find_factory>(dlsym(module, "dcsim_port_module_factory"));
    if (!find)
        throw std::runtime_error(file + " is no port of dcsim");
    return find();
}

} // namespace dcsim::inline DCSIM_BACKEND
