"""Takes from this process, for good, what a decoder does not need: other files, the network, other programs.

Files by Landlock (Linux 5.13 and later; ``landlock(7)``), system calls by a seccomp filter (``seccomp(2)``); both work
without privileges.  Where the kernel lacks one, the other still holds.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_READ_FILE = 1 << 2
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Version of Landlock: how many rights to files it knows."""
_NET_RIGHTS, _SCOPES = 0b11, 0b11
_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2
_DENIED = {
    "x86_64": (0xC000003E, {"socket": 41, "execve": 59, "execveat": 322, "ptrace": 101, "io_uring_setup": 425,
                            "process_vm_readv": 310, "process_vm_writev": 311}),
    "aarch64": (0xC00000B7, {"socket": 198, "execve": 221, "execveat": 281, "ptrace": 117, "io_uring_setup": 425,
                             "process_vm_readv": 270, "process_vm_writev": 271}),
}  # fmt: skip
"""Architecture as the kernel's filters name it, and the numbers of the system calls that fail."""


def confine(path: str) -> dict[str, bool]:
    """From here on the only file that can be opened is ``path``, for reading; says which of the two holds."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    return {"files": _files(libc, path), "calls": _calls(libc)}


def landlock_version() -> int:
    """The version of Landlock that the kernel offers; 0 where it has none."""
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def _files(libc: ctypes.CDLL, path: str) -> bool:
    version = landlock_version()
    if not version:
        return False
    rights = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    fields = [rights, *([_NET_RIGHTS] if version >= 4 else []), *([_SCOPES] if version >= 6 else [])]
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    try:
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            allowed = struct.pack("=Qi", _READ_FILE, file)
            if libc.syscall(_ADD_RULE, rules, 1, allowed, 0):
                return False
        finally:
            os.close(file)
        return bool(libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _calls(libc: ctypes.CDLL) -> bool:
    known = _DENIED.get(platform.machine())
    if known is None:
        return False
    architecture, denied = known

    def step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
        return struct.pack("=HBBI", code, then, otherwise, value)

    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    refuse, allow = 0x00050000 | errno.EPERM, 0x7FFF0000
    numbers = sorted(denied.values())
    left = len(numbers) + 1  # steps from the second load to the refusal
    code = step(load, 4) + step(equal, architecture, 0, left + 2) + step(load, 0)
    code += step(at_least, 0x40000000, left, 0)  # the other calling convention of x86-64
    for i, number in enumerate(numbers):
        code += step(equal, number, len(numbers) - i, 0)
    code += step(give, allow) + step(give, refuse)
    program = _Program(len(code) // 8, code)
    return bool(libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0)
