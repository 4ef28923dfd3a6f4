"""kubectl, for what it alone does well: applying kustomizations, waiting for rollouts, forwarding ports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bentos.errors import NotFound, Refused, Unavailable

_LINES = 12


@dataclass(frozen=True)
class Kubectl:
    """kubectl in one namespace of the current kubeconfig context.

    Attributes:
        namespace: Where.
        environment: In which it runs, and by whose PATH it is found; None: this process's own.
    """

    namespace: str
    environment: Mapping[str, str] | None = None

    def __call__(self, *arguments: str | Path, given: str | None = None) -> str:
        """Run it, and return what it printed.

        Raises:
            NotFound: It is not installed.
            Refused: It failed; the message ends with its last words.
        """
        command = self._command(*arguments)
        done = subprocess.run(  # noqa: S603
            command, input=given, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = "\n".join([*done.stdout.splitlines(), *done.stderr.splitlines()][-_LINES:])
            raise Refused(f"{' '.join(command[:5])} failed with exit code {done.returncode}:\n{said}")
        return done.stdout

    @contextmanager
    def forward(self, target: str, port: int) -> Iterator[str]:
        """Forward a free port of 127.0.0.1 to a Service while the block runs; gives its URL.

        Raises:
            NotFound: kubectl is not installed.
            Unavailable: It does not forward; the message says why.
        """
        command = self._command("port-forward", "--address=127.0.0.1", target, f":{port}")
        with subprocess.Popen(  # noqa: S603
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as forwarding:
            try:
                said = forwarding.stdout.readline() if forwarding.stdout else ""
                found = re.search(r"127\.0\.0\.1:(\d+)", said)
                if not found:
                    raise Unavailable(f"kubectl port-forward {target} {port}: {said.strip()}")
                yield f"http://127.0.0.1:{found[1]}"
            finally:
                forwarding.terminate()

    def context(self) -> str:
        """The name of the current kubeconfig context.

        Raises:
            NotFound: kubectl is not installed.
            Refused: There is none.
        """
        return self("config", "current-context").strip()

    def _command(self, *arguments: str | Path) -> list[str]:
        kubectl = shutil.which("kubectl", path=(self.environment or os.environ).get("PATH"))
        if kubectl is None:
            raise NotFound("kubectl is not installed; it renders and applies k8s/, and must be 1.30 or later")
        return [kubectl, "--namespace", self.namespace, *(str(argument) for argument in arguments)]
