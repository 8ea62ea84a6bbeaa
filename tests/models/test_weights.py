import io
from email.message import Message
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torchvision import models

from segkit.errors import UserError
from segkit.models.encoders import build_encoder
from segkit.models.encoders.vgg import VGGEncoder
from segkit.models.weights import load_matching, load_pretrained


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch) -> Path:
    """An empty torch.hub folder for weights, and no network behind it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch home"))

    def urlopen(request):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "urlopen", urlopen)
    return tmp_path / "torch home" / "hub" / "checkpoints"


@pytest.fixture
def encoder() -> VGGEncoder:
    torch.manual_seed(0)
    return VGGEncoder("vgg16", fc_channels=8)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        expected = models.vgg16().features.state_dict(prefix="features.")
    # One number per tensor, expanded: the files stay small.
    return {k: torch.tensor(0.01 * i).expand(v.shape) for i, (k, v) in enumerate(expected.items())}


def refusal(encoder: VGGEncoder, weights: str) -> str:
    """The message that ``weights`` are refused with; the encoder must be as it was."""
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    with pytest.raises(UserError) as error:
        load_pretrained(encoder, weights)
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    message = str(error.value)
    assert len(message.splitlines()) <= 2
    assert "model.weights" in message
    return message


def holds(encoder: VGGEncoder, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(v, state[k]) for k, v in encoder.state_dict().items() if k.startswith("features."))


def test_a_file_is_loaded(encoder, state, tmp_path):
    torch.save(state, tmp_path / "mine.pth")
    load_pretrained(encoder, str(tmp_path / "mine.pth"))
    assert holds(encoder, state)


def test_a_name_is_loaded_from_torch_hubs_folder_without_the_network(encoder, state, hub):
    hub.mkdir(parents=True)
    # torchvision's own files are in torch's format from before 1.6.
    torch.save(state, hub / "vgg16-397923af.pth", _use_new_zipfile_serialization=False)
    load_pretrained(encoder, "IMAGENET1K_V1")
    assert holds(encoder, state)


@pytest.mark.parametrize("name", ["vgg16", "vgg16_bn"])
def test_a_failed_download_names_both_remedies(name, hub):
    message = refusal(VGGEncoder(name, fc_channels=8), "IMAGENET1K_V1")
    file = {"vgg16": "vgg16-397923af.pth", "vgg16_bn": "vgg16_bn-6c64b313.pth"}[name]
    assert "no network" in message
    assert f"https://download.pytorch.org/models/{file}" in message
    assert str(hub / file) in message
    assert "model.weights=<its path>" in message
    assert "model.weights=null" in message
    assert list(hub.iterdir()) == []


class Answer(io.BytesIO):
    def info(self) -> Message:
        return Message()


class CutAnswer(Answer):
    def read(self, *args) -> bytes:
        raise IncompleteRead(b"")


@pytest.mark.parametrize(("answer", "reason"), [(Answer(b"portal"), "invalid hash"), (CutAnswer(), "IncompleteRead")])
def test_a_wrong_or_cut_download_is_refused_and_leaves_nothing(answer, reason, encoder, hub, monkeypatch):
    monkeypatch.setattr(torch.hub, "urlopen", lambda request: answer)
    message = refusal(encoder, "IMAGENET1K_V1")
    assert reason in message
    assert "model.weights=null" in message
    assert list(hub.iterdir()) == []


def test_a_broken_file_in_torch_hubs_folder_is_named(encoder, hub):
    hub.mkdir(parents=True)
    (hub / "vgg16-397923af.pth").write_bytes(b"PK\x03\x04half")
    message = refusal(encoder, "IMAGENET1K_V1")
    assert str(hub / "vgg16-397923af.pth") in message
    assert "broken" in message


@pytest.mark.parametrize(("name", "weights"), [("vgg16", "IMAGENET1K_V7"), ("vgg16_bn", "IMAGENET1K_FEATURES")])
def test_neither_a_name_nor_a_file(name, weights):
    message = refusal(VGGEncoder(name, fc_channels=8), weights)
    assert f"model.weights={weights}" in message
    assert f"model.encoder={name}" in message
    assert "Give IMAGENET1K_V1, or a file" in message


def test_a_folder_is_not_a_file(encoder, tmp_path):
    assert "neither a file" in refusal(encoder, str(tmp_path))


def test_weights_under_another_normalisation_are_refused(encoder):
    message = refusal(encoder, "IMAGENET1K_FEATURES")
    assert "no classifier weights" in message
    assert "Give IMAGENET1K_V1, or" in message


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04half", bytes(1000)])
def test_a_broken_file(content, encoder, tmp_path):
    (tmp_path / "mine.pth").write_bytes(content)
    message = refusal(encoder, str(tmp_path / "mine.pth"))
    assert str(tmp_path / "mine.pth") in message
    assert "broken" in message


def test_a_truncated_file(encoder, state, tmp_path):
    torch.save(state, tmp_path / "mine.pth")
    content = (tmp_path / "mine.pth").read_bytes()
    (tmp_path / "mine.pth").write_bytes(content[: len(content) // 2])
    assert "broken" in refusal(encoder, str(tmp_path / "mine.pth"))


@pytest.mark.parametrize(
    "content", [{"state_dict": {"a": torch.zeros(1)}, "epoch": 3}, [torch.zeros(1)], torch.zeros(1)]
)
def test_a_file_with_something_else(content, encoder, tmp_path):
    torch.save(content, tmp_path / "mine.pth")
    assert "something else" in refusal(encoder, str(tmp_path / "mine.pth"))


def test_code_in_a_file_is_never_run(encoder, tmp_path):
    torch.save({"features.0.weight": Path("x")}, tmp_path / "mine.pth")
    assert "broken, or not a file of tensors" in refusal(encoder, str(tmp_path / "mine.pth"))


def test_weights_of_another_network(encoder, state, tmp_path):
    torch.save({k: v for k, v in state.items() if k != "features.28.bias"}, tmp_path / "mine.pth")
    message = refusal(encoder, str(tmp_path / "mine.pth"))
    assert "features.28.bias is missing" in message
    assert "model.encoder=vgg16" in message


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet50", "resnet50-0676ba61.pth"),
        ("mobilenet_v3_large", "mobilenet_v3_large-8738ca79.pth"),
        ("convnext_tiny", "convnext_tiny-983f1562.pth"),
    ],
)
def test_every_encoder_takes_torchvisions_weights_by_name_or_says_where_they_go(name, file, hub):
    encoder = build_encoder(name)
    assert str(hub / file) in refusal(encoder, "IMAGENET1K_V1")
    hub.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    theirs = getattr(models, name)(weights=None).state_dict()
    torch.save(theirs, hub / file)
    load_pretrained(encoder, "IMAGENET1K_V1")
    sources = encoder.sources(theirs)
    assert all(torch.equal(value, theirs[sources[key]]) for key, value in encoder.state_dict().items())


def test_what_matches_is_taken_and_what_does_not_is_listed():
    torch.manual_seed(0)
    old, new = (torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, classes)) for classes in (5, 2))
    state = old.state_dict() | {"further": torch.zeros(1)}
    before = new[1].weight.clone()
    taken, left = load_matching(new, state)
    assert taken == ["0.weight", "0.bias"]
    assert left == ["1.weight", "1.bias", "further"]
    assert torch.equal(new[0].weight, old[0].weight)
    assert torch.equal(new[1].weight, before)


def test_nothing_that_matches_is_an_error():
    with pytest.raises(UserError, match="init_from"):
        load_matching(torch.nn.Linear(2, 2), {"weight": torch.zeros(3, 3)})
