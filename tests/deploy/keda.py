"""What KEDA takes for a ScaledJob with a `metrics-api` trigger, by its documentation; misspelt fields are refused.

`jobTargetRef` is a Kubernetes JobSpec, and validated as one.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Number = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)?$")]
Count = Annotated[int, Field(strict=True, ge=0)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MetricsApi(_Closed):
    """All values are texts."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://")]
    format: Literal["json", "xml", "yaml", "prometheus"] = "json"
    valueLocation: str
    targetValue: Number
    activationTargetValue: Number = "0"
    unsafeSsl: Literal["true", "false"] = "false"


class Trigger(_Closed):
    type: Literal["metrics-api"]
    metadata: MetricsApi


class Rollout(_Closed):
    strategy: Literal["default", "gradual"] = "default"
    propagationPolicy: Literal["background", "foreground"] = "background"


class ScalingStrategy(_Closed):
    strategy: Literal["default", "accurate", "eager", "custom"] = "default"


class ScaledJobSpec(_Closed):
    pollingInterval: Count = 30
    successfulJobsHistoryLimit: Count = 100
    failedJobsHistoryLimit: Count = 100
    minReplicaCount: Count = 0
    maxReplicaCount: Count = 100
    rollout: Rollout = Rollout()
    scalingStrategy: ScalingStrategy = ScalingStrategy()
    triggers: Annotated[list[Trigger], Field(min_length=1)]
    jobTargetRef: dict[str, Any]


class ScaledJob(_Closed):
    apiVersion: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledJob"]
    metadata: dict[str, Any]
    spec: ScaledJobSpec
