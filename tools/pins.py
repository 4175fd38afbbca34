"""`python -m tools.pins`: version ranges say what is true.

uv ignores ranges between workspace members, so nothing else would notice one that excludes the version here.
"""

import sys

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tools.gpu_check import MACHINE
from tools.workspace import Member, members


def faults(known: dict[str, Member]) -> list[str]:
    """One sentence per requirement that is wrong, naming the package and the requirement."""
    found = []
    for member in known.values():
        for requirement in member.requires:
            if requirement.name == member.name:
                continue
            fault = (
                internal_fault(requirement, known)
                if requirement.name in known
                else external_fault(requirement)
            )
            if fault:
                found.append(f"{member.name} requires '{requirement}': {fault}")
    return found


def internal_fault(requirement: Requirement, known: dict[str, Member]) -> str | None:
    """A member is required from a floor up to the next breaking version, and the range holds its version."""
    version = known[requirement.name].version
    operators = {specifier.operator for specifier in requirement.specifier}
    if not requirement.specifier.contains(version, prereleases=True):
        return f"the range excludes {requirement.name} {version}, the version in this workspace"
    if operators != {">=", "<"}:
        return "a member is required by a floor and a ceiling, as in '>=0.3.1,<0.4'"
    return None


def external_fault(requirement: Requirement) -> str | None:
    """Other packages are required from a floor that admits the GPU machine's versions."""
    if not has_floor(requirement.specifier):
        return "it has no lowest version; write the oldest one the tests pass with"
    there = MACHINE.get(requirement.name)
    if there and not requirement.specifier.contains(there):
        return f"the range excludes {there}, the version on the GPU machine (tools/gpu_check.py)"
    return None


def has_floor(specifiers: SpecifierSet) -> bool:
    """Whether some specifier sets a lowest version."""
    return any(specifier.operator in {">=", "==", "~=", ">"} for specifier in specifiers)


if __name__ == "__main__":
    known = members()
    found = faults(known)
    print("\n".join(found) or f"{len(known)} packages: every version range holds")
    sys.exit(bool(found))
