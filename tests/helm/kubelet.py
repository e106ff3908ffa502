"""What the kubelet does with a rendered pod: it lays out the volumes, starts the container, asks
the probes, and ends it. Paths of the container lie below a folder; ports are on loopback.
"""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from helm.engine import Manifest, pod_of, the

_ROOTS = ("/etc/privyseal", "/var/lib/privyseal", "/var/run/secrets/privyseal")
Files = dict[str, bytes]


class Pod:
    """One replica of the rendered workload.

    `sources` has the content of what the chart only names: `secret/NAME`, `configmap/NAME`,
    `token/AUDIENCE` (one file) and `csi/DRIVER`.
    """

    def __init__(self, folder: Path, objects: list[Manifest], sources: dict[str, Files]) -> None:
        self.folder = folder
        self._objects = objects
        self._sources = sources
        self.spec = pod_of(objects)
        self._container = self.spec["containers"][0]
        self._process: subprocess.Popen[bytes] | None = None
        self._volumes = {each["name"]: each for each in self.spec["volumes"]}
        for mount in self._container["volumeMounts"]:
            self._mount(mount)

    def path(self, inside: str) -> Path:
        """Return where a path of the container is."""
        return self.folder / inside.lstrip("/")

    def replace(self, mount_path: str, files: Files) -> None:
        """Replace what a volume holds as the kubelet does: by one swap of a link."""
        place = self.path(mount_path)
        version = f"..{secrets.token_hex(4)}"
        (place / version).mkdir(mode=0o755)
        for name, content in files.items():
            file = place / version / name
            file.write_bytes(self._localized(content))
            # 0440 of root's for a group, in a pod. Here root itself reads it, for whom the group
            # would be others.
            file.chmod(0o400)
            if not (place / name).is_symlink():
                (place / name).symlink_to(Path("..data") / name)
        (place / "..data_tmp").symlink_to(version)
        (place / "..data_tmp").rename(place / "..data")

    def start(self) -> None:
        """Start the container, and wait for nothing."""
        arguments = [self._localized(each.encode()).decode() for each in self._container["args"]]
        given = {each["name"]: each["value"] for each in self._container.get("env", ())}
        with (self.folder / "log").open("ab") as log, (self.folder / "stdout").open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "privyseald", *arguments],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], **given},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )

    def probe(self, name: str) -> bool:
        """Whether a probe succeeds, asked as the kubelet asks it."""
        asked = self._container[f"{name}Probe"]["grpc"]
        with grpc.insecure_channel(f"127.0.0.1:{asked['port']}") as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            question = health_pb2.HealthCheckRequest(service=asked["service"])
            try:
                answer = health.Check(question, timeout=2)
            except grpc.RpcError:
                return False
        return bool(answer.status == answer.SERVING)

    def await_ready(self, seconds: float = 30.0) -> None:
        """Return once the pod is ready."""
        end = time.monotonic() + seconds
        while not (self.probe("startup") and self.probe("readiness")):
            alive = self._process is not None and self._process.poll() is None
            if not alive or time.monotonic() > end:
                raise TimeoutError(f"not ready: {self.log()[-3_000:]}")
            time.sleep(0.05)

    def terminate(self) -> None:
        """Send SIGTERM, as when the pod is deleted."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        """Wait as long as the kubelet would, and return how the container ended."""
        assert self._process is not None
        return self._process.wait(self.spec["terminationGracePeriodSeconds"])

    def stop(self) -> None:
        """End what is still there."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """Return what the container logged."""
        return (self.folder / "log").read_text()

    def _mount(self, mount: Manifest) -> None:
        place = self.path(mount["mountPath"])
        place.mkdir(parents=True)
        volume = self._volumes.get(mount["name"], {})
        files = self._content(volume)
        if files is not None:
            self.replace(mount["mountPath"], files)

    def _content(self, volume: Manifest) -> Files | None:
        """Return the files of a volume, None for one that is empty at first."""
        if "configMap" in volume:
            return self._chosen(self._config_map(volume["configMap"]["name"]), volume["configMap"])
        if "secret" in volume:
            name = volume["secret"]["secretName"]
            return self._chosen(self._sources[f"secret/{name}"], volume["secret"])
        if "csi" in volume:
            return self._sources[f"csi/{volume['csi']['driver']}"]
        if "projected" in volume:
            files: Files = {}
            for source in volume["projected"]["sources"]:
                if token := source.get("serviceAccountToken"):
                    (content,) = self._sources[f"token/{token.get('audience', '')}"].values()
                    files[token["path"]] = content
                else:
                    (kind,) = source
                    name = source[kind]["name"]
                    files |= self._chosen(self._config_map(name), source[kind])
            return files
        return None

    def _config_map(self, name: str) -> Files:
        if f"configmap/{name}" in self._sources:
            return self._sources[f"configmap/{name}"]
        data = the(self._objects, "ConfigMap", name)["data"]
        return {key: text.encode() for key, text in data.items()}

    @staticmethod
    def _chosen(files: Files, source: Manifest) -> Files:
        items = source.get("items")
        return {each["path"]: files[each["key"]] for each in items} if items else files

    def _localized(self, content: bytes) -> bytes:
        text = content.decode(errors="surrogateescape")
        for root in _ROOTS:
            # Where a path begins: as a whole text, quoted in TOML, or behind the scheme of a URL.
            text = re.sub(rf'(^|"|embedded://){root}(?=/)', rf"\1{self.folder}{root}", text)
        text = text.replace('"0.0.0.0:', '"127.0.0.1:').replace('"[::]:', '"127.0.0.1:')
        return text.encode(errors="surrogateescape")
