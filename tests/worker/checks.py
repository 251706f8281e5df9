"""What a finished output must be."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from jobs.schema import Job
from storage import Uri
from tests.worker.farm import Farm

MANIFEST = "model.safetensors.index.json"


def check_output(farm: Farm, job: Job) -> Path:
    """One whole commit of this job with nothing beside it; the folder that it was downloaded to."""
    assert job.result is not None
    objects = farm.objects(Uri.parse(job.request.output))
    told = json.loads(objects[MANIFEST])
    assert told["metadata"]["growth"]["job_id"] == job.id
    listed = {stored["name"]: stored for stored in told["metadata"]["growth"]["objects"]}
    assert set(listed) | {MANIFEST} == set(objects)
    assert set(told["weight_map"].values()) <= set(listed)
    for name, stored in listed.items():
        assert (stored["size"], stored["sha256"]) == (len(objects[name]), sha256(objects[name]).hexdigest())
    assert job.result.objects == len(objects)
    assert job.result.bytes_written == sum(map(len, objects.values()))
    return farm.download(Uri.parse(job.request.output))


def logits(folder: Path) -> Tensor:
    """Of stock transformers, which must find neither too few nor too many weights."""
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    model, told = loaded
    assert not any(told.values()), told
    AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        found = model.eval()(input_ids=torch.arange(3, 35).reshape(1, -1)).logits
    assert isinstance(found, Tensor)
    return found
