"""What an operator applies: cluster.yaml, the KubeRay manifests, the SLURM script. Read as those read them who use them, as far as that goes here."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
PINNED = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
VERSION = PINNED[1] if PINNED else "ray is not pinned"


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def can_start(text: str) -> dict[str, int]:
    """What RAYLAB_CAN_START says in this text."""
    said = re.findall(r"(CPU|GPU)=(\d+)", text)
    return {name: int(amount) for name, amount in said}


@pytest.fixture(scope="module")
def cluster_yaml() -> Any:
    return read("cluster.yaml")


def test_cluster_yaml_is_what_ray_up_takes(cluster_yaml: Any) -> None:
    """Ray fills in its defaults and finds it valid; a word it does not know is refused."""
    validate_config(prepare_config(cluster_yaml))
    with pytest.raises(jsonschema.ValidationError, match="minimum_workers"):
        validate_config(prepare_config({**cluster_yaml, "minimum_workers": 0}))


def test_cluster_yaml_keeps_its_promises(cluster_yaml: Any) -> None:
    """Workers from zero, on spot, several GPUs each; one Ray version; nothing on the head; the token from a file; dashboard on loopback."""
    types = cluster_yaml["available_node_types"]
    workers = {name: kind for name, kind in types.items() if name != cluster_yaml["head_node_type"]}
    assert all(kind["min_workers"] == 0 for kind in workers.values())
    assert all(kind["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"} for kind in workers.values())
    assert workers["gpu"]["resources"]["GPU"] > 1
    assert {"CPU": 0} == types[cluster_yaml["head_node_type"]]["resources"]
    docker = cluster_yaml["docker"]
    assert [f"rayproject/ray:{VERSION}-py311", f"rayproject/ray:{VERSION}-py311-gpu"] == [
        docker["head_image"],
        docker["worker_image"],
    ]
    assert "~/.ray/auth_token" == cluster_yaml["file_mounts"]["/home/ray/.ray/auth_token"]
    heads, others = cluster_yaml["head_start_ray_commands"][-1], cluster_yaml["worker_start_ray_commands"][-1]
    assert "RAY_AUTH_MODE=token" in heads and "RAY_AUTH_MODE=token" in others
    assert "--dashboard-host=127.0.0.1" in heads
    assert sum(kind["max_workers"] for kind in workers.values()) == cluster_yaml["max_workers"]
    grown = {
        name: sum(kind["max_workers"] * kind["resources"].get(name, 0) for kind in workers.values()) for name in ("CPU", "GPU")
    }
    assert grown == can_start(heads)


def test_shared_storage_reaches_the_containers(cluster_yaml: Any) -> None:
    """The mount on the machine is the one that the container sees, and where the docs and the manifest look for runs."""
    assert any("/mnt/raylab" in command and "mount -t nfs4" in command for command in cluster_yaml["initialization_commands"])
    assert any("/mnt/raylab:/mnt/raylab" in option for option in cluster_yaml["docker"]["run_options"])


# The fields of KubeRay's RayJob (ray.io/v1) that the manifest uses, with their types, written down by hand from its documentation. Not
# the CRD itself, which is in no package registry.
TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}


def fields(required: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": required.split()}


POD = fields(
    "spec",
    metadata={"type": "object"},
    spec=fields(
        "containers",
        restartPolicy={"enum": ["Always", "OnFailure", "Never"]},
        nodeSelector=TEXTS,
        tolerations={
            "type": "array",
            "items": fields(key=TEXT, operator={"enum": ["Exists", "Equal"]}, value=TEXT, effect=TEXT),
        },
        volumes={
            "type": "array",
            "items": fields("name", name=TEXT, persistentVolumeClaim=fields("claimName", claimName=TEXT)),
        },
        containers={
            "type": "array",
            "items": fields(
                "name image",
                name=TEXT,
                image=TEXT,
                env={"type": "array", "items": fields("name", name=TEXT, value=TEXT)},
                ports={"type": "array", "items": fields("containerPort", containerPort=NUMBER, name=TEXT)},
                resources=fields(limits=TEXTS, requests=TEXTS),
                volumeMounts={"type": "array", "items": fields("name mountPath", name=TEXT, mountPath=TEXT)},
            ),
        },
    ),
)
RAYJOB = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields("name", name=TEXT),
    spec=fields(
        "entrypoint rayClusterSpec",
        entrypoint=TEXT,
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=NUMBER,
        backoffLimit=NUMBER,
        rayClusterSpec=fields(
            "headGroupSpec",
            rayVersion=TEXT,
            authOptions=fields(mode={"enum": ["disabled", "token"]}),
            enableInTreeAutoscaling=FLAG,
            autoscalerOptions=fields(version={"enum": ["v1", "v2"]}, idleTimeoutSeconds=NUMBER),
            headGroupSpec=fields("template", rayStartParams=TEXTS, template=POD),
            workerGroupSpecs={
                "type": "array",
                "items": fields(
                    "groupName template",
                    groupName=TEXT,
                    replicas=NUMBER,
                    minReplicas=NUMBER,
                    maxReplicas=NUMBER,
                    rayStartParams=TEXTS,
                    template=POD,
                ),
            },
        ),
    ),
)


def test_the_manifest_has_kuberays_fields() -> None:
    """Every field is one of KubeRay's, of its type; volumes that are mounted exist and are the claim of pvc.yaml."""
    manifest = read("deploy/rayjob.yaml")
    jsonschema.validate(manifest, RAYJOB)
    spec = manifest["spec"]["rayClusterSpec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        volumes = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
        assert {read("deploy/pvc.yaml")["metadata"]["name"]} == set(volumes.values())
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == volumes.keys()


def test_the_manifest_keeps_its_promises() -> None:
    """It ends with its job, asks for a token, has one Ray version, no worker before one is needed, and says what it can grow to."""
    job = read("deploy/rayjob.yaml")["spec"]
    spec = job["rayClusterSpec"]
    assert job["shutdownAfterJobFinishes"] is True and job["ttlSecondsAfterFinished"] > 0
    assert {"mode": "token"} == spec["authOptions"]
    pods = [group["template"]["spec"]["containers"][0] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    assert VERSION == spec["rayVersion"]
    assert {f"registry.example/raylab:ray{VERSION}"} == {pod["image"] for pod in pods}
    assert f"\nFROM rayproject/ray:{VERSION}-py311-gpu\n" in (ROOT / "deploy" / "Dockerfile").read_text()
    assert all(group["minReplicas"] == group["replicas"] == 0 for group in spec["workerGroupSpecs"])
    environment = {one["name"]: one["value"] for one in pods[0]["env"]}
    limits = [
        (group["maxReplicas"], pod["resources"]["limits"])
        for group, pod in zip(spec["workerGroupSpecs"], pods[1:], strict=True)
    ]
    grown = {
        name: sum(count * int(limit.get(key, 0)) for count, limit in limits)
        for name, key in (("CPU", "cpu"), ("GPU", "nvidia.com/gpu"))
    }
    assert grown == can_start(environment["RAYLAB_CAN_START"])


def test_rays_autoscaler_reads_the_manifest() -> None:
    """The autoscaler that runs beside a KubeRay head takes it for nodes of 4 GPUs, from none to 4, and nothing on the head."""
    spec = read("deploy/rayjob.yaml")["spec"]["rayClusterSpec"]
    config = _derive_autoscaling_config_from_ray_cr({"metadata": {"name": "raylab", "namespace": "default"}, "spec": spec})
    gpu, head = config["available_node_types"]["gpu"], config["available_node_types"][config["head_node_type"]]
    assert (0, 4) == (gpu["min_workers"], gpu["max_workers"])
    assert {"CPU": 16, "GPU": 4} == {name: gpu["resources"][name] for name in ("CPU", "GPU")}
    assert 0 == head["resources"]["CPU"]
    assert 5 == config["idle_timeout_minutes"]


def test_studies_and_modules_that_the_files_name_exist() -> None:
    """The manifest's and the pages' commands name modules and files of this repository."""
    texts = [
        (ROOT / name).read_text() for name in ("deploy/rayjob.yaml", "docs/cluster.md", "docs/slurm.md", "deploy/slurm.sh")
    ]
    modules = {name for text in texts for name in re.findall(r"python -m jobs\.(\w+)", text)}
    assert {"evaluate"} <= modules
    assert all((ROOT / "jobs" / f"{name}.py").is_file() for name in modules)
    for text in texts:
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / "docs" / link).exists(), link
        for name in re.findall(r"(?:^|[ `/(])(studies/\w+\.yaml|deploy/[\w.]+|tests/\w+\.py)", text):
            assert (ROOT / name).exists(), name


def test_the_image_is_built_of_what_the_package_needs_alone(tmp_path: Path) -> None:
    """What the Dockerfile copies has the page and the licence that pyproject.toml names, every package, and what links lead to (studies, pages); its
    list of what the build may see is the same, without compiled files."""
    copied = [
        name
        for line in re.findall(r"^COPY --chown=\S+ (.+) \S+$", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
        for name in line.split()
    ]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = [*project["project"]["license-files"], "pyproject.toml", "constraints.txt"]
    packages = [pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    links = {path.resolve().relative_to(ROOT).parts[0] for path in (ROOT / "raylab").rglob("*") if path.is_symlink()}
    assert Path(project["project"]["readme"]).parts[0] in links
    assert sorted([*named, *packages, *links]) == sorted(copied)
    rules = [
        line for line in (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] not in ("#", "")
    ]
    assert ["*", *(f"!{name}" for name in copied)] == [
        *rules[:1],
        *sorted(rules[1:-2], key=lambda rule: copied.index(rule[1:])),
    ]
    assert ["**/__pycache__", "**/*.py[cod]"] == rules[-2:]
    for name in copied:  # with these files alone, setuptools makes the metadata
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    make = "import sys; from setuptools.build_meta import prepare_metadata_for_build_wheel as make; print(make(sys.argv[1]))"
    made = subprocess.run(
        [sys.executable, "-c", make, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "raylab" / "studies" / "demo.yaml").exists() and (tmp_path / "raylab" / "pages" / "start.md").exists()
