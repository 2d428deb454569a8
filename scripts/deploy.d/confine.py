"""Runs a program as a container or a service manager would: under a list of system calls, as nobody, with another root directory.

confine.py [--profile FILE | --unit FILE] [--root DIR] [--user ID] -- PROGRAM ARGUMENT…

--profile is a profile of container engines (JSON), of which the rules count that hold for this machine and for a process without capabilities;
--unit is the file of a systemd unit. libseccomp does the translation. What can fail: no libseccomp, no right to change root or user.
"""

import argparse
import json
import os
import platform
import subprocess

import pyseccomp as seccomp

EPERM = 1
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
COMPARE = {
    "SCMP_CMP_EQ": seccomp.EQ,
    "SCMP_CMP_LT": seccomp.LT,
    "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ,
}


def holds(rule):
    """Whether a rule of a profile is for a process without capabilities on this machine."""
    machine = ARCHITECTURES[platform.machine()]
    needs, spares = rule.get("includes") or {}, rule.get("excludes") or {}
    if needs.get("caps") or machine not in (needs.get("arches") or [machine]):
        return False
    return machine not in (spares.get("arches") or [])


def of_profile(path):
    """The filter of a container engine's profile."""
    with open(path, encoding="utf-8") as file:
        profile = json.load(file)
    result = seccomp.SyscallFilter(seccomp.ERRNO(profile["defaultErrnoRet"]))
    for rule in filter(holds, profile["syscalls"]):
        action = seccomp.ALLOW
        if rule["action"] == "SCMP_ACT_ERRNO":
            action = seccomp.ERRNO(rule["errnoRet"])
        arguments = []
        for one in rule.get("args") or []:
            compare = COMPARE[one["op"]]
            # For a masked comparison a profile has the mask in `value` and what must be equal in `valueTwo`.
            values = (one["value"], one.get("valueTwo", 0)) if compare == seccomp.MASKED_EQ else (one["value"],)
            arguments.append(seccomp.Arg(one["index"], compare, *values))
        add(result, action, rule["names"], arguments)
    return result


def add(result, action, names, arguments=()):
    """Adds a rule for each call that this libseccomp knows; a newer one is refused by the default action."""
    for name in names:
        number = seccomp.resolve_syscall(seccomp.Arch.NATIVE, name)
        if number >= 0:
            result.add_rule(action, number, *arguments)


def members(group):
    """The calls of a group such as @system-service, by the systemd of this machine."""
    out = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    names = set()
    for line in out.stdout.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            names |= members(word)
        elif word and not word.startswith("#"):
            names.add(word)
    return names


def of_unit(path):
    """The filter of a unit's SystemCallFilter= lines, in their order."""
    allowed = set()
    with open(path, encoding="utf-8") as file:
        lines = [line.split("=", 1)[1].strip() for line in file if line.startswith("SystemCallFilter=")]
    for line in lines:
        names = set()
        for word in line.removeprefix("~").split():
            names |= members(word) if word.startswith("@") else {word}
        allowed = allowed - names if line.startswith("~") else allowed | names
    result = seccomp.SyscallFilter(seccomp.ERRNO(EPERM))
    # What systemd itself needs to start the program.
    add(result, seccomp.ALLOW, sorted(allowed | {"execve"}))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile")
    parser.add_argument("--unit")
    parser.add_argument("--root")
    parser.add_argument("--user", type=int)
    parser.add_argument("program", nargs="+")
    arguments = parser.parse_args()
    result = None
    if arguments.profile:
        result = of_profile(arguments.profile)
    if arguments.unit:
        result = of_unit(arguments.unit)
    if arguments.root:
        os.chroot(arguments.root)
        os.chdir("/")
    if arguments.user:
        os.setgroups([])
        os.setgid(arguments.user)
        os.setuid(arguments.user)
    if result:
        result.load()
    os.execv(arguments.program[0], arguments.program)


main()
