"""What overlays add to the base (autoscaled workers, a fit over machines, an identity), and what comes of them."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from service.metrics import GAUGES
from tests.deploy.keda import ScaledJob
from tests.deploy.manifests import OVERLAYS, component, resources, templates, variables_of
from worker.settings import WorkerSettings

KUBECTL = shutil.which("kubectl")
SELECTORS = {"NetworkPolicy": "podSelector", "PodDisruptionBudget": "selector"}
every_overlay = pytest.mark.parametrize("folder", OVERLAYS, ids=lambda folder: folder.name)
with_kustomize = pytest.mark.skipif(KUBECTL is None, reason="kubectl, which has kustomize in it, is not installed")


def _scaled_job() -> dict[str, Any]:
    (found,) = component("autoscaled-workers")
    return found


def _fit() -> dict[str, dict[str, Any]]:
    return {resource["kind"]: resource for resource in component("multi-node-fit")}


def _environment(container: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry for entry in container["env"]}


def _workers() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, template in templates([*resources(), *component("autoscaled-workers"), *component("multi-node-fit")]):
        if "model-growth-worker" in name or "model-growth-fit" in name:
            yield name, template["spec"]


def _valid(found: list[dict[str, Any]], tmp_path: Path) -> None:
    """By the schemas of Kubernetes; what is not its own is passed over, but for the pods in it."""
    own = [_as_job(resource) if resource["kind"] == "ScaledJob" else resource for resource in found]
    file = tmp_path / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(own))
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _as_job(scaled: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": scaled["metadata"]["name"]}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": scaled["spec"]["jobTargetRef"]}


def test_components_are_valid(tmp_path: Path) -> None:
    _valid([*component("autoscaled-workers"), *component("multi-node-fit")], tmp_path)


def test_the_scaled_job_is_as_keda_takes_it() -> None:
    ScaledJob.model_validate(_scaled_job())
    misspelt = yaml.safe_load(yaml.safe_dump(_scaled_job()).replace("maxReplicaCount", "maxReplicas"))
    with pytest.raises(ValidationError, match="maxReplicas"):
        ScaledJob.model_validate(misspelt)


def test_it_scales_on_a_metric_that_exists_and_counts_running_jobs_too() -> None:
    spec = ScaledJob.model_validate(_scaled_job()).spec
    (trigger,) = spec.triggers
    (gauge,) = [gauge for gauge in GAUGES if gauge.name == trigger.metadata.valueLocation]
    assert gauge.labels == ()
    assert "queued or running" in gauge.help
    # KEDA takes the number of its Jobs off the metric, one for each job.
    assert (spec.scalingStrategy.strategy, trigger.metadata.targetValue) == ("default", "1")


def test_nothing_ends_a_busy_worker() -> None:
    spec = ScaledJob.model_validate(_scaled_job()).spec
    assert spec.rollout.strategy == "gradual"
    assert "activeDeadlineSeconds" not in spec.jobTargetRef
    annotations = spec.jobTargetRef["template"]["metadata"]["annotations"]
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    (container,) = spec.jobTargetRef["template"]["spec"]["containers"]
    assert "--exit-when-idle" in container["args"]


@pytest.mark.parametrize(("name", "pod"), list(_workers()))
def test_a_worker_that_must_leave_has_longer_than_a_checkpoint(name: str, pod: dict[str, Any]) -> None:
    settings = {field: WorkerSettings.model_fields[field].default for field in WorkerSettings.model_fields}
    assert pod["terminationGracePeriodSeconds"] >= settings["fit_checkpoint_seconds"] + settings["stop_grace_seconds"]


@pytest.mark.parametrize(("name", "pod"), list(_workers()))
def test_workers_differ_in_nothing_but_what_they_are_for(name: str, pod: dict[str, Any]) -> None:
    first = dict(_workers())["Deployment model-growth-worker"]
    (container,), (reference,) = pod["containers"], first["containers"]
    environment, expected = _environment(container), _environment(reference)
    assert {name: entry for name, entry in environment.items() if name in expected} == expected
    assert set(environment) - {"VALKEY_PASSWORD"} <= variables_of(WorkerSettings)
    for key in ("securityContext", "serviceAccountName", "enableServiceLinks", "shareProcessNamespace"):
        assert pod[key] == first[key]
    assert container["securityContext"] == reference["securityContext"]
    assert container["volumeMounts"] == reference["volumeMounts"]


def test_a_fit_over_machines_meets_at_its_first_pod() -> None:
    found = _fit()
    fit, service = found["StatefulSet"], found["Service"]
    (container,) = fit["spec"]["template"]["spec"]["containers"]
    values = {name: entry.get("value") for name, entry in _environment(container).items()}
    assert int(values["GROW_FIT_NODES"]) == fit["spec"]["replicas"]
    assert int(values["GROW_FIT_PROCESSES"]) == container["resources"]["limits"]["nvidia.com/gpu"]
    host, _, port = values["GROW_FIT_RENDEZVOUS"].partition(":")
    assert host == f"{fit['metadata']['name']}-0.{service['metadata']['name']}"
    assert int(port) == service["spec"]["ports"][0]["port"]
    assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
    assert fit["spec"]["serviceName"] == service["metadata"]["name"]
    assert fit["spec"]["podManagementPolicy"] == "Parallel"


@pytest.mark.parametrize(
    ("hostname", "starts"), [("model-growth-fit-0", "worker.app"), ("model-growth-fit-1", "fit_node")]
)
def test_only_the_first_pod_takes_jobs(tmp_path: Path, hostname: str, starts: str) -> None:
    (container,) = _fit()["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    for name in ("celery", "python"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$0 $@"\n')
        (tmp_path / name).chmod(0o755)
    environment = {"HOSTNAME": hostname, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run([*container["command"], *container["args"]], env=environment, capture_output=True, text=True)
    assert starts in done.stdout


def test_policies_and_budgets_select_pods_that_exist() -> None:
    everything = [*resources(), *component("multi-node-fit")]
    labels = [template["metadata"]["labels"] for _, template in templates(everything)]
    for resource in everything:
        if (field := SELECTORS.get(resource["kind"])) is not None:
            assert any(_selects(resource["spec"][field], found) for found in labels), resource["metadata"]["name"]


def test_what_no_policy_allows_is_denied() -> None:
    policies = {found["metadata"]["name"]: found["spec"] for found in resources() if found["kind"] == "NetworkPolicy"}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert "egress" not in policies["valkey"]
    (rule,) = policies["valkey"]["ingress"]
    assert rule["from"]
    blocks = [
        to["ipBlock"] for rule in policies["model-growth-egress"]["egress"] for to in rule["to"] if "ipBlock" in to
    ]
    assert any("169.254.0.0/16" in block["except"] for block in blocks)


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    matches = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return matches and all(labels.get(rule["key"]) in rule["values"] for rule in selector.get("matchExpressions", []))


@with_kustomize
@every_overlay
def test_an_overlay_builds_to_valid_manifests(folder: Path, tmp_path: Path) -> None:
    found = _built(folder)
    _valid(found, tmp_path)
    namespace = yaml.safe_load((folder / "kustomization.yaml").read_text())["namespace"]
    for resource in found:
        named = resource["metadata"]["name" if resource["kind"] == "Namespace" else "namespace"]
        assert named == namespace
    images = {container["image"] for _, pod in templates(found) for container in pod["spec"]["containers"]}
    assert all(image.rpartition("/")[2].count(":") == 1 for image in images)
    assert all(image.startswith(("registry.example.com/", "valkey/")) for image in images)
    for resource in found:
        if resource["kind"] == "ScaledJob":
            (trigger,) = ScaledJob.model_validate(resource).spec.triggers
            assert trigger.metadata.url == f"http://model-growth.{namespace}.svc/metrics"


@with_kustomize
def test_workers_are_of_one_kind_in_each_overlay() -> None:
    kinds = {
        folder.name: [name for name, _ in templates(_built(folder)) if "worker" in name or "fit" in name]
        for folder in OVERLAYS
    }
    assert kinds == {
        "cpu": ["Deployment model-growth-worker"],
        "h100-autoscaled": ["ScaledJob model-growth-worker"],
        "h100-multi-node": ["StatefulSet model-growth-fit"],
        "l4": ["Deployment model-growth-worker"],
    }


@with_kustomize
def test_a_role_needs_no_endpoint_and_no_key() -> None:
    (folder,) = [folder for folder in OVERLAYS if folder.name == "h100-autoscaled"]
    found = {(resource["kind"], resource["metadata"]["name"]): resource for resource in _built(folder)}
    assert "GROW_S3_ENDPOINT_URL" not in found["ConfigMap", "model-growth"]["data"]
    annotations = found["ServiceAccount", "model-growth"]["metadata"]["annotations"]
    assert annotations["eks.amazonaws.com/role-arn"].startswith("arn:aws:iam::")
    for _, template in templates(found.values()):
        for container in template["spec"]["containers"]:
            keys = [entry for entry in container["env"] if entry["name"].startswith("GROW_S3_")]
            assert all(entry["valueFrom"]["secretKeyRef"]["optional"] for entry in keys)


def _built(folder: Path) -> list[dict[str, Any]]:
    assert KUBECTL is not None
    built = subprocess.run([KUBECTL, "kustomize", str(folder)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return list(yaml.safe_load_all(built.stdout))
