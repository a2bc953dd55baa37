"""The table of checks, in the order in which they are told.

A new one is a function that takes a :class:`~moderation.doctor.finding.Place` and yields findings, and a row.
"""

from __future__ import annotations

from moderation.doctor import machine, ports, shell
from moderation.doctor.finding import Check

CHECKS = (
    Check("system", machine.system),
    Check("python", machine.python),
    Check("compiler", machine.compiler),
    Check("disk", machine.disk),
    Check("memory", machine.memory),
    Check("open files", machine.open_files),
    Check("clock", machine.clock),
    Check("checkout", machine.checkout),
    Check("ports", ports.ports),
    Check("proxies", shell.proxies),
    Check("aws", shell.aws_variables),
    Check("aws files", shell.aws_files),
    Check("settings", shell.settings),
)
