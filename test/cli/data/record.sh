#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
#   record.sh OUTPUT [strace option...]
#
# Records the system calls of programs.sh; to be started by root. The programs run as user 1000,
# whose home /home/user is a fresh tmpfs, and see neither what is in /usr/local nor a system-wide
# configuration of git. project.strace.xz was made with
#   record.sh project.strace -y -s 4096 \
#     -e trace=%file,close,dup,dup2,dup3,fchdir,getdents64,clone,clone3,fork,vfork,umask
set -e
output=$(realpath "$1")
shift
programs=$(realpath "$(dirname "$0")/programs.sh")
exec unshare -m sh -c '
    set -e
    mount -t tmpfs -o mode=755 none /home
    install -d -o 1000 -g 1000 /home/user
    install -m 755 "$1" /home/user/programs.sh
    mount -t tmpfs -o mode=755 none /usr/local
    touch /home/empty
    test ! -e /etc/gitconfig || mount --bind /home/empty /etc/gitconfig
    exec 3>"$2"
    shift 2
    mount -t tmpfs -o mode=1777 none /tmp
    cd /home/user
    exec env -i HOME=/home/user PATH=/usr/bin:/bin LANG=C.UTF-8 \
        setpriv --reuid 1000 --regid 1000 --clear-groups \
        strace -f -o "|cat >&3" "$@" /bin/sh /home/user/programs.sh \
        < /dev/null > /dev/null 2>&1
' sh "$programs" "$output" "$@"
