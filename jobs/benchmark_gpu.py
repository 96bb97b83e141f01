"""How fast a GPU classifies box images, and how many CPU workers it takes to keep it busy.

    python jobs/benchmark_gpu.py --json gpu.json
    KERAS_BACKEND=torch python jobs/benchmark_gpu.py --precisions float32,bfloat16,float16
    python jobs/benchmark_gpu.py --device cpu --seconds 1 --batches 256     # does it work here?

Wants NumPy, Keras 3 with any backend (TensorFlow, PyTorch or JAX), and the file of a network;
vin_batch need not be installed. For every precision it measures, a few seconds each:

- images per second from uint8 in host memory to answers in host memory, by batch size, one
  batch at a time (single) and with the next one under way meanwhile (double);
- the same with float32 in host memory: four times the bytes over the bus;
- how busy the GPU says it was (``nvidia-smi``, if it is there);
- whether the decisions are those of float32.

Images are those of ``--images FILE.npy`` (uint8[n, 28, 28], light ink on black), else drawn with
vin_batch if it is installed, else strokes at random, on which decisions mean little.
``--from`` takes what ``benchmark.py --json`` wrote: the pixels that one core makes there give
the number of CPU workers that a GPU needs. Take them on the machine that has the GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 28
BOXES: Final = 17
PRECISIONS: Final = {
    "float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16",
}  # fmt: skip
DEPTH: Final = {"single": 1, "double": 2}
"""Batches under way at a time."""
BATCHES: Final = (1024, 4096, 8192, 16384, 32768)
AGREEMENT_IMAGES: Final = 4096
SAMPLE_MS: Final = 200
DEFAULT_MODEL: Final = Path(__file__).parents[1] / "models" / "default" / "network.keras"

Images = NDArray[np.uint8]
Submit = Callable[[NDArray[Any]], Any]
"""Sends a batch to the device and begins to compute; gives a handle at once."""
Fetch = Callable[[Any], NDArray[np.float32]]
"""Waits for the answers behind a handle."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One measurement.

    Attributes:
        precision: Key of ``PRECISIONS``.
        batch: Images per call.
        host: Type of the images in host memory.
        buffering: Key of ``DEPTH``.
        images: How many were classified.
        seconds: In how long.
        busy: Share of time in which the GPU was at work, as it says; None if it does not.
    """

    precision: str
    batch: int
    host: str
    buffering: str
    images: int
    seconds: float
    busy: float | None

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    args = _parse(argv)
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    device = open_device(args.device)
    images, origin = load_images(args.images)
    print(f"{device}; {len(images)} images {origin}", file=sys.stderr, flush=True)
    speeds: list[Speed] = []
    agreement: dict[str, dict[str, float]] = {}
    reference: NDArray[np.float32] | None = None
    for precision in args.precisions:
        network = load_network(args.model, PRECISIONS[precision])
        answers = answers_of(network, images[:AGREEMENT_IMAGES], min(args.batches))
        reference = answers if reference is None else reference
        agreement[precision] = compare(reference, answers)
        for batch in args.batches:
            for host, buffering in (
                ("uint8", "single"),
                ("uint8", "double"),
                ("float32", "double"),
            ):
                speed = measure(network, images, (precision, batch, host, buffering), args.seconds)
                speeds.append(speed)
                print(line_of(speed), flush=True)
    rate = crops_per_core(args.source)
    document = {
        "device": device,
        "versions": versions(),
        "images": origin,
        "speeds": [{**asdict(speed), "per_second": speed.rate} for speed in speeds],
        "agreement": {"reference": args.precisions[0], **agreement},
        "crops_per_core": rate,
    }
    print("\n" + "\n".join(conclusions(speeds, agreement, rate)))
    if args.json:
        args.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="a .keras file")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--batches", type=_numbers, default=BATCHES)
    parser.add_argument("--precisions", type=_precisions, default=tuple(PRECISIONS))
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--images", type=Path, metavar="FILE.npy")
    parser.add_argument("--from", type=Path, dest="source", metavar="FILE", help="of benchmark.py")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _precisions(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if not set(chosen) <= set(PRECISIONS):
        raise argparse.ArgumentTypeError(f"choose from {', '.join(PRECISIONS)}")
    return chosen


def open_device(wanted: str) -> str:
    """Make sure that there is what was asked for, and name it.

    Raises:
        SystemExit: A GPU was asked for, and the backend sees none.
    """
    import keras  # noqa: PLC0415 - after the environment is set

    backend = keras.backend.backend()
    names = {"tensorflow": _tensorflow_gpus, "torch": _torch_gpus, "jax": _jax_gpus}[backend]()
    if wanted == "cpu":
        return f"{backend} on {platform.processor() or platform.machine()}"
    if not names:
        raise SystemExit(f"the backend {backend} sees no GPU; --device cpu tries it without")
    return f"{backend} on {names[0]}"


def _tensorflow_gpus() -> list[str]:
    import tensorflow as tf  # noqa: PLC0415

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus
    ]


def _torch_gpus() -> list[str]:
    import torch  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def _jax_gpus() -> list[str]:
    import jax  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    with suppress(RuntimeError):
        return [device.device_kind for device in jax.devices("gpu")]
    return []


def load_network(path: Path, policy: str) -> Any:  # noqa: ANN401 - Keras has no useful types
    """Load a network and compute it in another precision; its logits stay float32."""
    import keras  # noqa: PLC0415

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    last = model.layers[-1].name

    def in_policy(layer: Any) -> Any:  # noqa: ANN401
        config = layer.get_config()
        if not isinstance(layer, keras.layers.InputLayer):
            config["dtype"] = "float32" if layer.name == last else policy
        return layer.__class__.from_config(config)

    cast = keras.models.clone_model(model, clone_function=in_policy)
    cast.set_weights(model.get_weights())
    return cast


def compiled(network: Any) -> tuple[Submit, Fetch]:  # noqa: ANN401
    """How a batch is sent to the device and its log-probabilities are got back."""
    import keras  # noqa: PLC0415

    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _compiled_tensorflow(network)
    return _compiled_torch(network) if backend == "torch" else _compiled_jax(network)


def _compiled_tensorflow(network: Any) -> tuple[Submit, Fetch]:  # noqa: ANN401
    import tensorflow as tf  # noqa: PLC0415

    @tf.function(autograph=False)  # type: ignore[untyped-decorator, unused-ignore]
    def run(pixels: Any) -> Any:  # noqa: ANN401
        return tf.nn.log_softmax(network(pixels[..., None], training=False))

    return lambda batch: run(tf.constant(batch)), lambda handle: np.asarray(handle.numpy())


def _compiled_torch(network: Any) -> tuple[Submit, Fetch]:  # noqa: ANN401
    import torch  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    cuda = torch.cuda.is_available()
    target = torch.device("cuda" if cuda else "cpu")

    def submit(batch: NDArray[Any]) -> Any:  # noqa: ANN401
        with torch.inference_mode():
            host = torch.from_numpy(batch)
            pixels = (host.pin_memory() if cuda else host).to(target, non_blocking=True)
            answers = torch.log_softmax(network(pixels[..., None], training=False), dim=-1)
            return answers.to("cpu", non_blocking=True), _recorded(torch, cuda)

    def fetch(handle: Any) -> NDArray[np.float32]:  # noqa: ANN401
        answers, done = handle
        if done is not None:
            done.synchronize()
        return np.asarray(answers.numpy())

    return submit, fetch


def _recorded(torch: Any, cuda: bool) -> Any:  # noqa: ANN401
    """An event behind everything that was sent to the GPU so far."""
    if not cuda:
        return None
    event = torch.cuda.Event()
    event.record()
    return event


def _compiled_jax(network: Any) -> tuple[Submit, Fetch]:  # noqa: ANN401
    import jax  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    trainable, fixed = network.trainable_variables, network.non_trainable_variables

    @jax.jit  # type: ignore[untyped-decorator, unused-ignore]
    def run(weights: Any, state: Any, pixels: Any) -> Any:  # noqa: ANN401
        logits, _ = network.stateless_call(weights, state, pixels[..., None], training=False)
        return jax.nn.log_softmax(logits)

    weights = [variable.value for variable in trainable]
    state = [variable.value for variable in fixed]
    return lambda batch: run(weights, state, jax.device_put(batch)), np.asarray


def answers_of(network: Any, images: Images, batch: int) -> NDArray[np.float32]:  # noqa: ANN401
    """Log-probabilities ``float32[n, classes]``."""
    submit, fetch = compiled(network)
    parts = [
        fetch(submit(_filled(images[start : start + batch], batch)))[: len(images) - start]
        for start in range(0, len(images), batch)
    ]
    return np.concatenate(parts)


def _filled(part: NDArray[Any], batch: int) -> NDArray[Any]:
    return np.concatenate([part, np.zeros((batch - len(part), SIDE, SIDE), part.dtype)])


def compare(reference: NDArray[np.float32], answers: NDArray[np.float32]) -> dict[str, float]:
    """How far answers are from those of the reference, both ``float32[n, classes]``."""
    same = reference.argmax(axis=1) == answers.argmax(axis=1)
    change = np.abs(np.exp(reference) - np.exp(answers)).max(axis=1)
    return {
        "same_decision": float(same.mean()),
        "largest_change_of_probability": float(change.max()),
        "mean_change_of_probability": float(change.mean()),
    }


def measure(
    network: Any,  # noqa: ANN401
    images: Images,
    what: tuple[str, int, str, str],
    seconds: float,
) -> Speed:
    """Classify for a while, from host memory to host memory."""
    precision, batch, host, buffering = what
    submit, fetch = compiled(network)
    whole = np.resize(images, (batch, SIDE, SIDE)).astype(host)
    fetch(submit(whole))
    under_way: deque[Any] = deque()
    with watched_gpu() as samples:
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds or not done:
            under_way.append(submit(whole))
            if len(under_way) >= DEPTH[buffering]:
                fetch(under_way.popleft())
                done += batch
        while under_way:
            fetch(under_way.popleft())
            done += batch
        lasted = time.perf_counter() - began
    busy = float(np.mean(samples)) / 100 if samples else None
    return Speed(precision, batch, host, buffering, done, lasted, busy)


@contextmanager
def watched_gpu() -> Iterator[list[float]]:
    """Utilisation of the first GPU in percent, sampled within the block; filled at its end."""
    samples: list[float] = []
    tool = shutil.which("nvidia-smi")
    if tool is None or not os.environ.get("CUDA_VISIBLE_DEVICES", "0"):
        yield samples
        return
    query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", "0"]
    process = subprocess.Popen(
        [tool, *query, "-lms", str(SAMPLE_MS)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield samples
    finally:
        process.terminate()
        output, _ = process.communicate()
        for line in output.splitlines():
            with suppress(ValueError):
                samples.append(float(line))


def load_images(path: Path | None) -> tuple[Images, str]:
    """Images ``uint8[n, 28, 28]``, and where they come from."""
    if path is not None:
        return np.load(path, allow_pickle=False), f"of {path}"
    with suppress(ImportError):
        return _drawn(), "drawn by vin_batch"
    rng = np.random.default_rng(7)
    strokes = np.zeros((AGREEMENT_IMAGES, SIDE, SIDE), np.uint8)
    for image in strokes:
        for start, slope in zip(rng.uniform(6, 22, 3), rng.uniform(-0.7, 0.7, 3), strict=True):
            rows = np.arange(4, 24)
            columns = np.clip(start + slope * (rows - 14), 1, 26).astype(int)
            image[rows, columns] = image[rows, columns + 1] = 255
    return strokes, "of random strokes: decisions mean little"


def _drawn() -> Images:
    from vin_batch.preprocess import preprocess_image  # noqa: PLC0415
    from vin_batch.synthesis.cards import draw_card  # noqa: PLC0415
    from vin_batch.synthesis.vins import random_vin  # noqa: PLC0415
    from vin_batch.synthesis.writer import Writer  # noqa: PLC0415

    rng = np.random.default_rng(7)
    crops = [
        crop
        for _ in range(AGREEMENT_IMAGES // BOXES // 4)
        for crop in draw_card(random_vin(rng).vin, Writer.random("scan", rng), "scan", rng)
    ]
    return np.stack([preprocess_image(crop)[0] for crop in crops])


def crops_per_core(path: Path | None) -> float | None:
    """Images per second that one core makes of files, from what ``benchmark.py`` wrote."""
    if path is None:
        return None
    measured = json.loads(path.read_text("utf-8"))["measured"]
    names = (f"{suffix}: pixels stage of the job, 1 core" for suffix in ("png", "jpg"))
    found = next((measured[name] for name in names if name in measured), None)
    return None if found is None else BOXES / found["cpu_seconds_each"]


def conclusions(
    speeds: Sequence[Speed], agreement: dict[str, dict[str, float]], rate: float | None
) -> Iterator[str]:
    """What the figures say, in a few lines."""
    for precision, found in agreement.items():
        best = max((s for s in speeds if s.precision == precision), key=lambda s: s.rate)
        yield (
            f"{precision}: {best.rate:,.0f} images/s ({best.rate / BOXES:,.0f} cards/s) at best, "
            f"batch {best.batch}, {best.host}, {best.buffering}; "
            f"{found['same_decision']:.2%} of decisions as the first precision"
        )
        if rate is not None:
            yield f"  workers to keep it busy: {best.rate / rate:,.0f} at {rate:,.0f} crops/s each"
    if rate is None:
        yield "workers to keep it busy: unknown; --from takes what benchmark.py measured"


def line_of(speed: Speed) -> str:
    """One line of the table."""
    busy = "" if speed.busy is None else f"  GPU busy {speed.busy:.0%}"
    what = f"{speed.precision:<9}{speed.batch:>6} {speed.host:<8}{speed.buffering:<7}"
    return f"{what}{speed.rate:>14,.0f} images/s{busy}"


def versions() -> dict[str, str]:
    """Versions of what computed."""
    import keras  # noqa: PLC0415

    found = {"python": platform.python_version(), "keras": keras.__version__}
    backend = keras.backend.backend()
    return {**found, backend: str(getattr(sys.modules.get(backend), "__version__", "unknown"))}


if __name__ == "__main__":
    sys.exit(main())
