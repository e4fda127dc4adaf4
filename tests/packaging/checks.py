"""Plays the actions of this repository, and judges what their steps do. Prints one line for each check.

    checks.py MINTBENCH
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

from composite import Failed, Job

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MINTBENCH = str(pathlib.Path(sys.argv[1]).resolve())
TOKEN = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net"


def client_id(job):
    """Asks for a token as a program of a later step does, and returns whose it is."""
    url = job.environment["AZURE_POD_IDENTITY_AUTHORITY_HOST"] + TOKEN
    request = urllib.request.Request(url, headers={"Metadata": "true"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return json.load(answer)["client_id"]


def app_service_client_id(job):
    """The same by the endpoint of App Service, as the SDKs for Go and Rust do."""
    url = job.environment["IDENTITY_ENDPOINT"] + "?api-version=2019-08-01&resource=https://vault.azure.net"
    header = job.environment["IDENTITY_HEADER"]
    assert f"::add-mask::{header}" in job.log, job.log
    request = urllib.request.Request(url, headers={"X-IDENTITY-HEADER": header})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return json.load(answer)["client_id"]


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def refuses(job, workspace, said, action=ROOT, **inputs):
    try:
        job.use(action, workspace, **inputs)
    except Failed as error:
        assert said in job.log, f"{said}: {job.log}"
        return error.args[1]
    raise AssertionError("the action did not fail")


def gone(pid):
    """Waits until a process has ended."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not pathlib.Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.05)
    return False


def the_steps_after_the_action_have_an_identity_until_it_is_stopped(folder):
    job = Job(folder)
    outputs = job.use(ROOT, folder, binary=MINTBENCH)
    assert outputs["imds"] == job.environment["AZURE_POD_IDENTITY_AUTHORITY_HOST"], outputs
    assert set(outputs) >= {"imds", "sts", "arm", "vault", "admin", "admin-secret", "data", "binary"}
    assert client_id(job) == app_service_client_id(job) == "c11e0000-0000-4000-8000-000000000001"
    # The command line of a later step finds program and server by itself.
    code, _ = job.run('mintbench vm list && mintbench health', folder)
    assert code == 0 and "demo-vm" in job.log, job.log
    # TLS clients trust the broker besides the public authorities.
    bundle = pathlib.Path(job.environment["SSL_CERT_FILE"]).read_text()
    own = pathlib.Path(outputs["data"], "ca.pem").read_text().strip()
    assert own in bundle and job.environment["REQUESTS_CA_BUNDLE"] == job.environment["SSL_CERT_FILE"]
    public = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
    assert not public.exists() or public.read_text().strip() in bundle
    pid = pathlib.Path(outputs["data"]).parent.joinpath("pid").read_text().strip()
    assert pathlib.Path(f"/proc/{pid}").exists()
    job.use(ROOT, folder, command="stop")
    assert gone(pid) and not pathlib.Path(outputs["data"]).parent.exists()
    assert "Log of the broker" in job.log
    job.use(ROOT, folder, command="stop")
    assert "no broker to stop" in job.log


def a_world_a_machine_and_flags_are_inputs(folder):
    job = Job(folder)
    world = ROOT / "examples/world.toml"
    text = world.read_text().replace('address = "127.0.0.1"\n', "")
    (folder / "world.toml").write_text(text)
    inputs = {"world": "world.toml", "vm": "web-1", "args": "--test-tools\n--alg ES256"}
    outputs = job.use(ROOT, folder, binary=MINTBENCH, **inputs)
    # The machine has no address, but a port of its own.
    assert outputs["imds"] != job.environment["AZURE_POD_IDENTITY_AUTHORITY_HOST"]
    assert len(client_id(job)) == 36 and client_id(job) == app_service_client_id(job)
    secret = pathlib.Path(outputs["admin-secret"]).read_text().strip()
    headers = {"Authorization": f"Bearer {secret}"}
    request = urllib.request.Request(outputs["admin"] + "/reset", b"", headers)
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()
    job.use(ROOT, folder, command="stop")


def a_broker_that_does_not_start_fails_the_step_with_its_reason(folder):
    job = Job(folder)
    (folder / "world.toml").write_text("[[tenants]]\nid = 'x'\n")
    refuses(job, folder, "::error title=mintbench::the broker did not start", binary=MINTBENCH, world="world.toml")
    assert "`x` is not a GUID" in job.log, job.log
    job = Job(folder / "second")
    refuses(job, folder, "no virtual machine is called `nobody`", binary=MINTBENCH, vm="nobody")
    [pid] = [path.read_text().strip() for path in job.temporary.glob("mintbench-*/pid")]
    assert gone(pid), "the broker was left behind"
    job = Job(folder / "third")
    refuses(job, folder, "there is no executable nowhere/mintbench", binary="nowhere/mintbench")
    refuses(job, folder, "is start or stop, not restart", binary=MINTBENCH, command="restart")


def a_release_is_downloaded_and_checked(folder):
    machine = os.uname().machine
    name = f"mintbench-1.2.3-{machine}-unknown-linux-gnu"
    release = folder / "release"
    (release / name).mkdir(parents=True)
    script(release / name / "mintbench", f'#!/bin/sh\nexec "{MINTBENCH}" "$@"\n')
    subprocess.run(["tar", "-czf", release / f"{name}.tar.gz", "-C", release, name], check=True)
    sums = subprocess.run(["sha256sum", f"{name}.tar.gz"], cwd=release, check=True, capture_output=True, text=True).stdout
    (release / "SHA256SUMS").write_text(sums + "0" * 64 + "  other.tar.gz\n")
    programs = folder / "programs"
    programs.mkdir()
    fake = f"""#!/bin/bash
echo "gh $*"
[[ "$1 $2 $3" == "release download v1.2.3" ]] || exit 1
while (($# > 0)); do [[ $1 == --dir ]] && into=$2; shift; done
mkdir -p "$into" && cp "{release}/{name}.tar.gz" "{release}/SHA256SUMS" "$into/"
"""
    script(programs / "gh", fake)
    for number, (github, inputs) in enumerate(
        [({}, {"version": "1.2.3"}), ({"action_ref": "v1.2.3", "action_repository": "who/mintbench"}, {})]
    ):
        job = Job(folder / f"job-{number}", github)
        job.environment["PATH"] = f"{programs}:{job.environment['PATH']}"
        outputs = job.use(ROOT, folder, **inputs)
        assert outputs["binary"].endswith(f"/{name}/mintbench"), outputs
        repository = github.get("action_repository", "owner/program")
        assert f"release download v1.2.3 --repo {repository} " in job.log, job.log
        assert client_id(job)
        job.use(ROOT, folder, command="stop")
    (release / "SHA256SUMS").write_text(f"{'0' * 64}  {name}.tar.gz\n")
    job = Job(folder / "job-tampered")
    job.environment["PATH"] = f"{programs}:{job.environment['PATH']}"
    refuses(job, folder, "is not what SHA256SUMS names", version="1.2.3")
    refuses(job, folder, "there is no release 1.2.4", version="1.2.4")


def without_a_release_the_source_is_built(folder):
    programs = folder / "programs"
    programs.mkdir()
    build = f"""#!/bin/bash
echo "cargo $* in $PWD"
mkdir -p "$CARGO_TARGET_DIR/release" && ln -sf "{MINTBENCH}" "$CARGO_TARGET_DIR/release/mintbench"
"""
    script(programs / "cargo", build)
    job = Job(folder / "job", {"action_ref": "main"})
    job.environment["PATH"] = f"{programs}:{job.environment['PATH']}"
    job.use(ROOT, folder)
    assert f"cargo build --release --locked --bin mintbench in {ROOT}" in job.log, job.log
    job.use(ROOT, folder, command="stop")


GATE = {
    "metrics": [
        {"metric": "cpu", "limit": 0.03, "judged": {"verdict": "fail", "effect": 0.0584}},
        {"metric": "memory", "limit": 0.03, "judged": {"verdict": "pass", "effect": 0.0}},
        {"metric": "hit.p99", "limit": 0.03, "judged": None},
    ],
    "sentence": "100 % slower\nin cpu",
}
COUNT = {
    "metrics": [
        {"class": "hit", "work": "allocations", "verdict": "fail", "base": 3, "candidate": 4},
        {"class": "hit", "work": "instructions", "verdict": "pass", "base": 3, "candidate": 3},
    ],
    "sentence": "more work",
}


def each_exit_code_of_a_gate_is_a_verdict_and_only_a_pass_succeeds(folder):
    judge = folder / "judge"
    script(
        judge,
        """#!/bin/bash
printf '%s\\n' "$@" >"$CALLED"
while (($# > 0)); do
    case $1 in --out) mkdir "$2" && cp "$DOCUMENT" "$2/$NAME" ;; --markdown) echo 'the table' >"$2" ;; esac
    shift
done
exit "$CODE"
""",
    )
    (folder / "gate.json").write_text(json.dumps(GATE))
    (folder / "count.json").write_text(json.dumps(COUNT))
    (folder / "candidate").write_text("")
    verdicts = {0: "pass", 1: "fail", 2: "error", 3: "cannot-tell", 4: "invalid", 6: "no-baseline", 130: "interrupted", 9: "error"}
    for code, verdict in verdicts.items():
        job = Job(folder / f"job-{code}")
        name = "count.json" if code == 3 else "gate.json"
        job.environment.update(
            CODE=str(code), CALLED=str(folder / "called"), DOCUMENT=str(folder / name), NAME=name
        )
        inputs = {"base": str(judge), "candidate": "candidate", "args": "--metrics cpu\n--pairs-max 40"}
        if code == 0:
            outputs = job.use(ROOT / "gate", folder, **inputs)
        else:
            outputs = refuses(job, folder, "::error title=mintbench gate::", ROOT / "gate", **inputs)
        assert (outputs["code"], outputs["verdict"]) == (str(code), verdict), outputs
        called = (folder / "called").read_text().split("\n")
        expected = ["gate", "--candidate", "candidate", "--metrics", "cpu", "--pairs-max", "40", "--base", str(judge)]
        assert called[: len(expected)] == expected, called
        assert job.summary.read_text() == "the table\n"
        [(uses, given)] = job.used
        assert uses.startswith("actions/upload-artifact@") and given["path"] == outputs["folder"], job.used
        failed = "cpu: 5.8 %25 slower or larger, limit 3 %25"
        counted = "hit allocations: 3 in the base, 4 in the candidate"
        assert f"::error title=mintbench gate::{counted if code == 3 else failed}\n" in job.log, job.log
        sentence = "more work" if code == 3 else "100 %25 slower%0Ain cpu"
        level = "notice" if code == 0 else "error"
        assert f"::{level} title=mintbench gate::{verdict}: {sentence}\n" in job.log, job.log
    assert os.access(folder / "candidate", os.X_OK), "a downloaded program is no program"


def a_real_gate_ends_with_its_verdict(folder):
    job = Job(folder)
    small = "--rate 200 --duration 300ms --warmup 200ms --vms 5 --user-assigned 1 --pairs 2 --pairs-max 2 --metrics cpu"
    try:
        outputs = job.use(ROOT / "gate", folder, base=MINTBENCH, candidate=MINTBENCH, args=small, artifact="none")
    except Failed as error:
        outputs = error.args[1]
    # What a busy machine can tell is no matter here.
    assert outputs["code"] in ("0", "1", "3", "4"), job.log
    document = json.loads(pathlib.Path(outputs["folder"], "gate/gate.json").read_text())
    assert document["verdict"] == outputs["verdict"], outputs
    assert "| metric" in job.summary.read_text(), job.summary.read_text()
    assert not job.used


CHECKS = [
    the_steps_after_the_action_have_an_identity_until_it_is_stopped,
    a_world_a_machine_and_flags_are_inputs,
    a_broker_that_does_not_start_fails_the_step_with_its_reason,
    a_release_is_downloaded_and_checked,
    without_a_release_the_source_is_built,
    each_exit_code_of_a_gate_is_a_verdict_and_only_a_pass_succeeds,
    a_real_gate_ends_with_its_verdict,
]


def main():
    failed = 0
    for check in CHECKS:
        sentence = check.__name__.replace("_", " ")
        with tempfile.TemporaryDirectory(prefix="mintbench-") as folder:
            try:
                check(pathlib.Path(folder))
                print(f"ok {sentence}", flush=True)
            except Exception:  # pylint: disable=broad-except  # every failure is a verdict
                failed += 1
                print(f"not ok {sentence}: {traceback.format_exc()}", flush=True)
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
