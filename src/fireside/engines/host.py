"""The process around xllamacpp's own HTTP server. Started by ``child``; ends when told, or with whoever started it."""

import json
import os
import sys
import time
from pathlib import Path

from fireside.engines.spec import ChildSpec, thread_count

HTTP_THREADS = 16  # a waiting request holds one; health and slots must still get through
WATCH_SECONDS = 0.2


def parameters(spec: ChildSpec, port: int, api_key: str) -> object:
    """A ``ChildSpec`` as xllamacpp's parameters."""
    import xllamacpp

    asked = xllamacpp.CommonParams()
    asked.model.path = spec.model
    asked.hostnames, asked.port, asked.api_keys = ["127.0.0.1"], port, [api_key]
    asked.ui = False
    asked.n_threads_http = HTTP_THREADS
    asked.verbosity = 2  # warnings and errors: never a prompt
    asked.warmup = False
    asked.n_ctx, asked.n_parallel = spec.total_context, spec.parallel
    asked.cpuparams.n_threads = asked.cpuparams_batch.n_threads = thread_count(spec.threads)
    asked.n_gpu_layers = spec.gpu_layers
    asked.cache_ram_mib = spec.prompt_cache
    if spec.kv_cache == "q8_0":
        asked.cache_type_k = asked.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0
    asked.embedding = spec.embedding
    if spec.embedding:
        asked.n_batch = asked.n_ubatch = spec.context  # a text is embedded in one piece or not at all
        asked.kv_unified = True  # otherwise texts of one batch are cut to equal lengths, and pooled wrongly
    if spec.pooling:
        asked.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{spec.pooling.upper()}")
    asked.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, scale) for path, scale in spec.loras]
    return asked


def main(spec: ChildSpec, port: int) -> None:
    import xllamacpp

    parent = os.getppid()
    try:
        server = xllamacpp.Server(parameters(spec, port, os.environ.pop("LLAMA_API_KEY")))
    except RuntimeError as error:
        os.write(2, f"E {error}\n".encode())
        os._exit(1)
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(0 if server else 1)  # taking a server apart right after it was built can hang: it is never let go of


if __name__ == "__main__":
    main(ChildSpec(**json.loads(Path(sys.argv[1]).read_bytes())), int(sys.argv[2]))
