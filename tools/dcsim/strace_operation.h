// SPDX-License-Identifier: GPL-2.0-only
//
// What a recorded system call asks of the path walk: the arguments by meaning instead of by place,
// and the kernel's answer.
#pragma once

#include <cstdint>
#include <string>

#include "strace_parser.h"

namespace dcsim::cli
{

enum class path_operation : unsigned char {
    none, ///< nothing that could be replayed; see traced_operation::skipped
    open,
    stat, ///< and everything else that only looks a path up
    access,
    readlink,
    mkdir,
    mknod,
    unlink,
    rmdir,
    symlink,
    link,
    rename,
    chdir,
    fchdir,
    chroot,
    getcwd,
    chmod,
    chown,
    execute,
    list,
    close,
    duplicate,
    umask,
    new_process,
};

/// The descriptor that stands for the working directory, as strace's numbers have it.
inline constexpr int at_working_directory = -100;

/// A path argument and the descriptor it is relative to.
struct traced_path {
    int descriptor = at_working_directory;
    std::string place; ///< what -y told of the descriptor, or of the working directory
    std::string name;
    bool named = false; ///< there is a name: not NULL, and not cut
};

struct traced_operation {
    path_operation kind = path_operation::none;
    unsigned process = 0;          ///< index, see traced_event
    unsigned call = 0;             ///< index of the system call's name, see strace_trace::names
    uint64_t line = 0;             ///< where its answer is, from 1
    uint64_t begun = 0;            ///< where it begins
    const char *skipped = nullptr; ///< why it cannot be replayed; constant text

    traced_path at;
    traced_path to;          ///< of rename and link; of symlink, `name` is the body
    unsigned flags = 0;      ///< of an open: OPEN_*; else AT_* or RENAME_*
    unsigned mode = 0;       ///< of what is created; of access: R_OK and so on; of umask: the mask
    unsigned resolve = 0;    ///< of openat2
    int64_t size = 0;        ///< of a buffer
    bool follow = true;      ///< a link in the last place
    int64_t descriptor = -1; ///< of a duplicate: the one that was asked for, or -1

    // The answer.
    int64_t value = -1;
    int error = 0;     ///< errno, 0 for success
    std::string place; ///< what -y told of the descriptor that was returned
    std::string text;  ///< of readlink and getcwd
    bool text_cut = false;
    unsigned type = 0; ///< of stat: S_IFMT bits, 0 when strace did not show them
    unsigned permissions = 0;

    bool succeeded() const
    {
        return error == 0;
    }
};

/// The meaning of a call. Never fails: what cannot be replayed says why in `skipped`.
traced_operation interpret(const strace_call &call);

} // namespace dcsim::cli
