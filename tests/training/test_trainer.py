"""Training runs: they learn, go on after a kill with the same weights, and say what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bnn2fpga import training, verify
from bnn2fpga.errors import ConfigError, TrainingError
from bnn2fpga.training.clipping import clip_gradients
from bnn2fpga.training.config import TrainConfig, read_train_config
from bnn2fpga.training.data import ImageData
from bnn2fpga.training.models import build_model
from bnn2fpga.training.results import write_results
from bnn2fpga.training.trainer import (
    Callbacks,
    Epoch,
    Step,
    accuracy_of,
    augmented,
    binary_layers,
    evaluate_quickly,
    load_network,
    set_float_weights,
    train,
)
from tests.conftest import Run
from tests.training.images import saved, stripes


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Several test processes share the processor."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settings(**changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "model": "mlp",
        "data": "none",
        "parameters": {"hidden": [24]},
        "epochs": 4,
        "batch": 16,
        "learning_rate": 1e-2,
    }
    return TrainConfig(**values | changes)


CONVNET = {"model": "convnet", "parameters": {"blocks": [[4], [6]], "dense": [12]}}


class KilledError(Exception):
    """The run was killed."""


def kill_after(epoch: int, step: int = 0) -> Callbacks:
    def on_epoch(done: Epoch) -> None:
        if done.number == epoch and not step:
            raise KilledError

    def on_step(done: Step) -> None:
        if done.epoch == epoch and done.step == step:
            raise KilledError

    return Callbacks(on_step, on_epoch)


@pytest.mark.parametrize("changes", [{}, {**CONVNET, "shift": 1, "flip": True, "clip": 0.1, "epochs": 24}])
def test_it_learns_and_compiles_to_the_same_integers(tmp_path: Path, changes: dict[str, Any]) -> None:
    data = stripes(192)
    net, epochs = train(settings(**changes), data, tmp_path / "run")
    assert epochs[-1].test_accuracy > 0.8 and epochs[-1].loss < epochs[0].loss
    ladder = verify(net, data.test_images[:20] / 256, example_input=torch.zeros(1, 1, 8, 8))
    assert ladder.ok and not any(level.tolerated for level in ladder.levels)


SETTLED = {
    "model": "wsfracbnn",
    "parameters": {"width": 2, "halves": 1, "levels": 4},
    "calibrate": 16,
    "settle": 40,
}


@pytest.mark.parametrize(
    ("epoch", "step", "changes"),
    [(2, 0, {}), (3, 2, {}), (1, 1, {}), (4, 1, SETTLED), (4, 0, SETTLED)],
)
def test_a_killed_run_ends_with_the_same_weights(
    tmp_path: Path, epoch: int, step: int, changes: dict[str, Any]
) -> None:
    data, config = stripes(), settings(shift=1, float_epochs=2, **changes)
    whole, expected = train(config, data, tmp_path / "whole")
    with pytest.raises(KilledError):
        train(config, data, tmp_path / "killed", kill_after(epoch, step))
    resumed, epochs = train(config, data, tmp_path / "killed")
    assert [(e.loss, e.test_accuracy) for e in epochs] == [(e.loss, e.test_accuracy) for e in expected]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_means_settle_after_the_last_epoch(tmp_path: Path) -> None:
    loose, _ = train(settings(**SETTLED | {"settle": 0}), stripes(), tmp_path / "loose")
    settled, _ = train(settings(**SETTLED), stripes(), tmp_path / "settled")
    for name, value in settled.named_parameters():
        assert torch.equal(value, loose.get_parameter(name)), "learned before it"
    assert not torch.equal(settled.first.input_mean, loose.first.input_mean)
    kept = load_network(tmp_path / "settled", stripes())
    assert torch.equal(settled.first.input_mean, kept.first.input_mean)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    train(settings(), stripes(), tmp_path)
    _, epochs = train(settings(), stripes(), tmp_path, kill_after(1, 1))
    assert len(epochs) == 4
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [1, 2, 3, 4]


def test_a_checkpoint_of_another_version(tmp_path: Path) -> None:
    train(settings(), stripes(), tmp_path)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    kept["network"].popitem()
    torch.save(kept, tmp_path / "checkpoint.pt")
    with pytest.raises(ConfigError, match=r"checkpoint\.pt: another version's network of that name"):
        train(settings(), stripes(), tmp_path)


def test_a_folder_of_another_run(tmp_path: Path) -> None:
    train(settings(), stripes(), tmp_path)
    with pytest.raises(ConfigError, match="holds a run of another configuration; give another folder"):
        train(settings(seed=1), stripes(), tmp_path)


def test_a_broken_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError, match=r"checkpoint\.pt: not a checkpoint"):
        train(settings(), stripes(), tmp_path)


def test_seeds_differ_and_repeat(tmp_path: Path) -> None:
    losses = [
        train(settings(seed=seed, epochs=1), stripes(), tmp_path / str(at))[1][0].loss
        for at, seed in enumerate((0, 0, 1))
    ]
    assert losses[0] == losses[1] != losses[2]


def test_a_loss_that_is_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Binary networks are hard to make overflow, so the loss itself is replaced here."""
    monkeypatch.setattr(
        "torch.nn.functional.cross_entropy", lambda scores, *_, **__: scores.sum() * torch.nan
    )
    message = r"epoch 1, step 1: the loss is nan; lower learning_rate \(0.01\), or limit gradients with clip"
    with pytest.raises(TrainingError, match=message):
        train(settings(), stripes(), tmp_path / "run")
    assert not (tmp_path / "run/checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": "resnet50"},
            "model 'resnet50' is not known; legal: bcmt, convnet, csasml, fracbnn, mlp, wsfracbnn",
        ),
        ({"parameters": {"width": 3}}, "model mlp: no parameter 'width'; legal: hidden, standardized"),
        (
            {"model": "fracbnn", "parameters": {"norm": False}},
            "model fracbnn: no parameter 'norm'; legal: width,",
        ),
        ({"batch": 65}, "batch=65 is more than the 64 training images"),
        ({"teacher": "absent"}, r"absent/checkpoint\.pt: no such file; train that network first"),
        (
            {"model": "convnet", "parameters": {"blocks": [[4]] * 4}},
            "convnet: 4 pools leave nothing of images 8x8",
        ),
    ],
)
def test_wrong_settings(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(settings(**changes), stripes(), tmp_path / "run")


def test_a_teacher_is_followed(tmp_path: Path) -> None:
    """With the whole loss from a teacher that confuses two classes, the student confuses them too."""
    data = stripes(192)
    wrong = ImageData(data.train_images, data.train_labels[:] * 0 + 1, data.test_images, data.test_labels)
    wrong.train_labels[:2] = 2  # keeps three classes
    train(settings(), wrong, tmp_path / "teacher")
    teacher = load_network(tmp_path / "teacher", data)
    student, _ = train(settings(teacher=tmp_path / "teacher", teacher_weight=1.0), data, tmp_path / "student")
    images = torch.from_numpy(data.test_images).float() / 256
    agreed = (student(images).argmax(1) == teacher(images).argmax(1)).float().mean()
    assert agreed > 0.9 and (student(images).argmax(1) == 1).float().mean() > 0.9


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("mlp", {"hidden": [24]}),
        ("convnet", {"blocks": [[4], [6]], "dense": [12]}),
        ("fracbnn", {"width": 4}),
        ("wsfracbnn", {"width": 4}),
        ("wsfracbnn", {"width": 4, "folded_norm": True}),
    ],
)
def test_a_teacher_is_evaluated_quickly(model: str, parameters: dict[str, Any]) -> None:
    """With the same scores, whatever it was asked before."""
    torch.manual_seed(0)
    net = build_model(model, (3, 16, 16), 4, parameters)
    images = torch.randint(256, (32, 3, 16, 16)) / 256
    net(images)  # moves the means of what it has norms of
    expected = net.eval()(images)
    evaluate_quickly(net)
    net(images.flip(0))
    assert torch.equal(net(images), expected)


def test_two_phases(tmp_path: Path) -> None:
    """Real weights first: the loss differs from binary ones, and at the end they are binary."""
    data = stripes()
    net, floating = train(settings(float_epochs=2), data, tmp_path / "two")
    _, binary = train(settings(), data, tmp_path / "one")
    assert floating[0].loss != binary[0].loss
    assert [epoch.learning_rate for epoch in floating][2] > floating[1].learning_rate
    assert not any(layer.float_weights for layer in binary_layers(net))
    images = torch.from_numpy(data.test_images).float() / 256
    expected = net(images)
    set_float_weights(net, True)
    assert not torch.equal(net(images), expected)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_schedules_fall_to_nothing(tmp_path: Path, schedule: str) -> None:
    _, epochs = train(settings(schedule=schedule, epochs=5), stripes(), tmp_path)
    rates = [epoch.learning_rate for epoch in epochs]
    assert rates == sorted(rates, reverse=True) and rates[0] <= 1e-2 and rates[-1] < 2e-3


def test_the_rate_rises_for_some_steps(tmp_path: Path) -> None:
    _, plain = train(settings(epochs=2), stripes(), tmp_path / "plain")
    _, warm = train(settings(epochs=2, warmup=999), stripes(), tmp_path / "warm")
    steps = len(stripes().train_labels) // 16
    parts = [slow.learning_rate / full.learning_rate for slow, full in zip(warm, plain, strict=True)]
    assert parts == pytest.approx([steps / 1000, 2 * steps / 1000])


def test_gradients_are_limited_unit_by_unit() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(4, 3, 2))
    weight.data[3] = 0
    weight.grad = torch.randn(4, 3, 2)
    weight.grad[1] *= 1e-6
    before = weight.grad.clone()
    clip_gradients([weight], 0.01)
    norms, grads = weight.detach().flatten(1).norm(dim=1), weight.grad.flatten(1).norm(dim=1)
    torch.testing.assert_close(grads[[0, 2]], 0.01 * norms[[0, 2]])
    assert torch.equal(weight.grad[1], before[1])
    assert grads[3].item() == pytest.approx(1e-5)
    torch.testing.assert_close(weight.grad[0] / grads[0], before[0] / before[0].norm())


def test_augmentation_moves_and_mirrors() -> None:
    torch.manual_seed(0)
    images = torch.arange(2 * 6 * 6, dtype=torch.uint8).reshape(1, 2, 6, 6).repeat(64, 1, 1, 1)
    assert torch.equal(augmented(images, 0, False), images)
    padded = np.pad(images[0].numpy(), ((0, 0), (2, 2), (2, 2)), mode="edge")
    legal = {padded[:, y : y + 6, x : x + 6].tobytes() for y in range(5) for x in range(5)}
    moved = {image.numpy().tobytes() for image in augmented(images, 2, False)}
    assert moved <= legal and len(moved) > 15
    flipped = augmented(images, 0, True)
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    kept = (flipped == images).flatten(1).all(1)
    assert torch.all(mirrored ^ kept) and mirrored.any() and kept.any()


def write_config(folder: Path, text: str) -> Path:
    saved(stripes(), folder / "data.npz")
    path = folder / "run.toml"
    path.write_text(text)
    return path


RUN = 'model = "mlp"\ndata = "data.npz"\nepochs = 2\nbatch = 16\nparameters = { hidden = [8] }\n'


def test_the_command_line(tmp_path: Path, run: Run) -> None:
    config = write_config(tmp_path, RUN)
    code, out, err = run("train", config, "-o", "run")
    assert (code, err) == (0, "") and "epoch   2 of 2" in out and "next: bnn2fpga build" in out
    assert {p.name for p in Path("run").iterdir()} == {
        "checkpoint.pt",
        "metrics.jsonl",
        "curves.svg",
        "model.onnx",
        "test.npz",
    }
    assert "<svg" in Path("run/curves.svg").read_text()
    code, out, _ = run("simulate", "run/model.onnx", "--data", "run/test.npz")
    accuracy = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[-1])["test_accuracy"]
    assert code == 0 and f"accuracy {100 * accuracy:.2f} %" in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = ", "not valid TOML"),
        (f"{RUN}colour = 1\n", "colour: Extra inputs are not permitted"),
        ('model = "mlp"\n', "data: Field required"),
        (RUN.replace("epochs = 2", "epochs = 0"), "epochs: Input should be greater than or equal to 1"),
        (RUN.replace("mlp", "vit"), "model 'vit' is not known"),
        (RUN.replace("data.npz", "absent.npz"), "absent.npz: no such file or folder"),
    ],
)
def test_the_command_line_refuses(tmp_path: Path, run: Run, text: str, message: str) -> None:
    code, _, err = run("train", write_config(tmp_path, text), "-o", "run")
    assert code == 2 and message in err and err.count("\n") == 1


def test_config_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = read_train_config(write_config(tmp_path, f'{RUN}teacher = "other"\n'))
    assert (config.data, config.teacher) == (tmp_path / "data.npz", tmp_path / "other")


def test_results_of_one_epoch(tmp_path: Path) -> None:
    data = stripes()
    net, epochs = train(settings(epochs=1), data, tmp_path)
    write_results(tmp_path, net, data, epochs)
    assert (tmp_path / "model.onnx").is_file()


CONFIGS = Path(training.__file__).parent / "configs"


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIGS.glob("*.toml")))
def test_configurations_make_two_steps(tmp_path: Path, name: str) -> None:
    """Each shipped configuration, with generated images of its data set's kind and its teacher."""
    config = read_train_config(CONFIGS / name)
    small = (1, 28) if "mnist" in name else (3, 32)
    data = stripes(9, size=small[1], channels=small[0])
    changes: dict[str, Any] = {"epochs": 2, "float_epochs": min(1, config.float_epochs), "batch": 3}
    changes["parameters"] = config.parameters | ({"width": 2} if "width" in config.parameters else {})
    if config.teacher:
        taught = settings(model="fracbnn", parameters={"width": 2, "halves": 1}, epochs=1, batch=3)
        train(taught, data, tmp_path / "teacher")
        changes["teacher"] = tmp_path / "teacher"
    _, epochs = train(config.model_copy(update=changes), data, tmp_path / "run")
    assert len(epochs) == 2 and np.isfinite(epochs[-1].loss)


def train_in_two_processes(config: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "bnn2fpga"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "train", config, "-o", folder], check=True, env=environment)


@pytest.mark.long
def test_two_processes_train_the_same_network(tmp_path: Path) -> None:
    """Under torchrun each process has half of every batch; the averaged gradients are those of one."""
    config = write_config(tmp_path, RUN)
    train_in_two_processes(config, tmp_path / "two")
    data = stripes()
    train(read_train_config(config), data, tmp_path / "one")
    one, two = (load_network(tmp_path / name, data).state_dict() for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.long
def test_two_processes_follow_running_means(tmp_path: Path) -> None:
    """Each sees half of a batch, so the means are not those of one process; the network learns anyway."""
    run = 'model = "wsfracbnn"\ndata = "data.npz"\nepochs = 4\nfloat_epochs = 1\nbatch = 16\n'
    measured = "learning_rate = 1e-2\nclip = 0.001\ncalibrate = 64\nsettle = 64\n"
    config = write_config(tmp_path, f"{run}{measured}parameters = {{ width = 4, halves = 1 }}\n")
    train_in_two_processes(config, tmp_path / "two")
    data = stripes()
    net = load_network(tmp_path / "two", data)
    assert accuracy_of(net, data.test_images, data.test_labels) > 0.9
