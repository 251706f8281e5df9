"""`torchrun` as this project starts it: processes of `worker.fit_process` here, and as many on other machines."""

import sys

from worker.settings import WorkerSettings

MEETING = "model-growth-fit"


def torchrun(settings: WorkerSettings) -> list[str]:
    """The command for this machine's processes of one fit."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={settings.fit_processes}"]
    if settings.fit_nodes == 1:
        command.append("--standalone")
    else:
        assert settings.fit_rendezvous is not None
        command += [
            f"--nnodes={settings.fit_nodes}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={settings.fit_rendezvous}",
            f"--rdzv-id={MEETING}",
        ]
    return [*command, "-m", "worker.fit_process"]
