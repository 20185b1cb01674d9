"""The plans that are kept: a folder for each name, a file for each version, none ever changed."""

import os
import secrets
from pathlib import Path

from plans.files import BadPlanError, dumped, read_plan
from plans.plan import TradingPlan


class PlanStore:
    """`folder/NAME/VERSION.yaml`. It is made when the first plan is saved."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        found = [path.name for path in self._folder.glob("*") if path.is_dir()]
        return sorted(name for name in found if self.versions(name))

    def versions(self, name: str) -> list[int]:
        """Oldest first; empty for a name that is not kept."""
        found = (path.stem for path in (self._folder / name).glob("*.yaml"))
        return sorted(int(stem) for stem in found if stem.isascii() and stem.isdigit())

    def read(self, name: str, version: int | None = None) -> TradingPlan:
        """The newest version unless one is given. Raises BadPlanError."""
        versions = self.versions(name)
        if not versions:
            known = ", ".join(self.names()) or "none yet"
            raise BadPlanError(f"plan {name} is not kept here; these are: {known}")
        if version is not None and version not in versions:
            kept = ", ".join(map(str, versions))
            raise BadPlanError(f"version is {version}; of plan {name} these are kept: {kept}")
        chosen = versions[-1] if version is None else version
        return read_plan(self._path(name, chosen)).model_copy(update={"version": chosen})

    def save(self, plan: TradingPlan) -> TradingPlan:
        """The plan with the version it is kept as: the newest one if nothing but its number differs, else the next."""
        while True:
            numbered = self.numbered(plan)
            if self._written(numbered) or self.read(plan.name, numbered.version) == numbered:
                return numbered

    def withdraw(self, plan: TradingPlan) -> None:
        """A version that nobody ever followed; its number is free again."""
        self._path(plan.name, plan.version).unlink(missing_ok=True)

    def numbered(self, plan: TradingPlan) -> TradingPlan:
        """As `save` would keep it now."""
        newest = max(self.versions(plan.name), default=0)
        as_newest = plan.model_copy(update={"version": newest})
        if newest and self.read(plan.name, newest) == as_newest:
            return as_newest
        return plan.model_copy(update={"version": newest + 1})

    def _written(self, plan: TradingPlan) -> bool:
        """Whether the version was still free."""
        path = self._path(plan.name, plan.version)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with draft.open("x", encoding="utf-8") as file:
            file.write(dumped(plan))
            file.flush()
            os.fsync(file.fileno())
        try:
            # A link appears whole or not at all, and never in the place of another.
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def _path(self, name: str, version: int) -> Path:
        return self._folder / name / f"{version}.yaml"
