"""Plays a composite action of GitHub as a runner does, as far as the actions of this repository go.

It knows `run` steps of bash with `env` and `if`, inputs with defaults, the contexts inputs, steps, github and runner, and
the files of a step: GITHUB_OUTPUT, GITHUB_ENV, GITHUB_PATH and GITHUB_STEP_SUMMARY. A step that uses another action is
only recorded. What it does not know is an error.
"""

import os
import pathlib
import re
import subprocess

from ruamel.yaml import YAML

EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")
CONDITION = re.compile(r"([a-z._-]+) (==|!=) '([^']*)'")


class Failed(Exception):
    """A step of the action failed."""


class Job:
    """The state that steps of a job share: variables, PATH and the folder for temporary files."""

    def __init__(self, folder, github=None):
        self.temporary = pathlib.Path(folder) / "temporary"
        self.temporary.mkdir(parents=True)
        self.github = {"token": "", "action_ref": "", "action_repository": "", **(github or {})}
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RUNNER_TEMP": str(self.temporary),
            "GITHUB_REPOSITORY": "owner/program",
            "GITHUB_WORKSPACE": str(folder),
        }
        self.summary = self.temporary / "summary.md"
        self.log = ""

    def run(self, script, cwd, extra=None, action=None):
        """Runs a script of bash as a step, and returns its exit code and outputs."""
        files = {}
        for name in ("OUTPUT", "ENV", "PATH"):
            files[name] = self.temporary / f"step-{name.lower()}"
            files[name].write_text("")
        environment = {
            **self.environment,
            **(extra or {}),
            **{f"GITHUB_{name}": str(path) for name, path in files.items()},
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }
        if action:
            environment["GITHUB_ACTION_PATH"] = str(action)
        step = self.temporary / "step.sh"
        step.write_text(script)
        # A program that a step leaves behind must not hold the step: the output goes to a file.
        with open(self.temporary / "step-log", "w+", encoding="utf-8") as log:
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(step)]
            code = subprocess.run(
                command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=300, check=False
            ).returncode
            log.seek(0)
            text = log.read()
        self.log += text
        self.environment.update(pairs(files["ENV"]))
        for line in files["PATH"].read_text().splitlines():
            self.environment["PATH"] = f"{line}:{self.environment['PATH']}"
        return code, pairs(files["OUTPUT"])

    def use(self, folder, workspace, **given):
        """Plays the action in a folder with these inputs. Returns its outputs, or raises `Failed`."""
        action = YAML(typ="safe").load(pathlib.Path(folder) / "action.yml")
        assert action["runs"]["using"] == "composite"
        unknown = set(given) - set(action["inputs"])
        assert not unknown, f"no inputs {unknown}"
        context = Context(self, {})
        for name, own in action["inputs"].items():
            missing = own.get("required") and name not in given
            assert not missing, f"the input {name} is missing"
            context.inputs[name] = given.get(name, context.expand(str(own.get("default", ""))))
        self.used = []
        failed = None
        for step in action["runs"]["steps"]:
            condition = context.holds(step.get("if", ""))
            if failed or not condition:
                continue
            if "uses" in step:
                self.used.append((step["uses"], {name: context.expand(str(value)) for name, value in step["with"].items()}))
                continue
            assert step["shell"] == "bash", step
            extra = {name: context.expand(str(value)) for name, value in step.get("env", {}).items()}
            # Text from inputs in a script would be a command.
            assert not EXPRESSION.search(step["run"]), step["run"]
            code, outputs = self.run(step["run"], workspace, extra, pathlib.Path(folder).resolve())
            if "id" in step:
                context.steps[step["id"]] = outputs
            if code:
                failed = f"{step['name']} ended with {code}"
        outputs = {name: context.expand(own["value"]) for name, own in action["outputs"].items()}
        if failed:
            raise Failed(failed, outputs)
        return outputs


class Context:
    """What expressions name."""

    def __init__(self, job, inputs):
        self.job, self.inputs, self.steps = job, inputs, {}

    def value(self, expression):
        match expression.split("."):
            case ["inputs", name]:
                return self.inputs[name]
            case ["github", name]:
                return self.job.github[name]
            case ["steps", step, "outputs", name]:
                return self.steps.get(step, {}).get(name, "")
        raise AssertionError(f"the expression {expression} is not known")

    def expand(self, text):
        return EXPRESSION.sub(lambda found: self.value(found[1]), text)

    def holds(self, condition):
        if not condition:
            return True
        found = CONDITION.fullmatch(condition)
        assert found, f"the condition {condition} is not known"
        return (self.value(found[1]) == found[3]) == (found[2] == "==")


def pairs(path):
    """Reads lines of NAME=VALUE."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines())
