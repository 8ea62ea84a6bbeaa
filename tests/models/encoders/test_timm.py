import sys
from functools import partial

import pytest
import torch

from segkit.errors import UserError
from segkit.models.base import EncoderDecoder
from segkit.models.decoders.unet import UNetDecoder
from segkit.models.encoders import build_encoder
from segkit.models.weights import load_pretrained, load_state

timm = pytest.importorskip("timm", reason="timm is an extra: pip install 'segkit[models]'")


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto", "mobilenetv3_small_050", "efficientnet_lite0"])
@torch.no_grad()
def test_a_whole_networks_file_gives_timms_own_maps(name, tmp_path) -> None:
    torch.manual_seed(0)
    whole = timm.create_model(name).eval()
    torch.save(whole.state_dict(), tmp_path / "mine.pth")
    torch.manual_seed(1)
    encoder = build_encoder(f"timm/{name}").eval()
    load_pretrained(encoder, str(tmp_path / "mine.pth"))
    image = torch.randn(1, 3, 64, 96)
    maps = encoder(image)
    expected = whole.forward_intermediates(image, intermediates_only=True)[-len(maps) :]
    assert [m.shape for m in maps] == [
        (1, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(encoder.channels, encoder.strides, strict=True)
    ]
    torch.testing.assert_close(maps[-1], expected[-1])
    torch.testing.assert_close(maps[1], expected[1])


@torch.no_grad()
def test_maps_whose_channels_come_last_are_turned() -> None:
    encoder = build_encoder("timm/test_mambaout").eval()
    image = torch.randn(1, 3, 64, 96)
    maps = encoder(image)
    own = encoder.features(image)
    shapes = zip(encoder.channels, encoder.strides, strict=True)
    assert [m.shape for m in maps] == [(1, channels, 64 // stride, 96 // stride) for channels, stride in shapes]
    assert all(torch.equal(one[0, :, 1, 2], other[0, 1, 2]) for one, other in zip(maps, own, strict=True))


@torch.no_grad()
def test_a_network_on_such_maps_gives_logits() -> None:
    network = EncoderDecoder(3, "timm/test_mambaout", partial(UNetDecoder, width=4)).eval()
    assert network(torch.zeros(1, 3, 33, 65, dtype=torch.uint8)).shape == (1, 3, 33, 65)


@torch.no_grad()
def test_windows_of_swin_take_pictures_of_any_size() -> None:
    encoder = build_encoder("timm/swin_tiny_patch4_window7_224").eval()
    assert [m.shape[1:] for m in encoder(torch.zeros(1, 3, 64, 96))][-1] == (768, 2, 3)


def test_a_network_of_one_size_says_which() -> None:
    encoder = build_encoder("timm/test_maxvit").eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, 160, 160))[-1].shape[-2:] == (5, 5)
    with pytest.raises(UserError, match=r"does not take pictures of 64×96; set data.image_shape=\[160,160\]"):
        encoder(torch.zeros(1, 3, 64, 96))


def test_safetensors_are_read(tmp_path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    state = {key: torch.ones_like(value) for key, value in timm.create_model("resnet10t").state_dict().items()}
    safetensors.save_file(state, tmp_path / "mine.safetensors")
    encoder = build_encoder("timm/resnet10t")
    load_pretrained(encoder, str(tmp_path / "mine.safetensors"))
    assert all((value == 1).all() for key, value in encoder.state_dict().items() if "num_batches" not in key)
    (tmp_path / "mine.safetensors").write_bytes(b"\x01broken")
    with pytest.raises(UserError, match="broken"):
        load_pretrained(encoder, str(tmp_path / "mine.safetensors"))


def test_its_normalisation_is_that_of_its_weights() -> None:
    encoder = build_encoder("timm/mobilenetv3_small_050")
    config = timm.get_pretrained_cfg("mobilenetv3_small_050")
    assert encoder.mean == config.mean
    assert encoder.std == config.std


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(UserError, match=r"model.weights does not fit model.encoder=timm/resnet10t: .* is missing"):
        load_state(build_encoder("timm/resnet10t"), timm.create_model("convnext_atto").state_dict())


def test_a_failed_download_names_both_remedies(monkeypatch) -> None:
    encoder = build_encoder("timm/resnet10t")

    def fail(*args, **options):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(UserError, match="no network") as error:
        load_pretrained(encoder, "pretrained")
    assert "model.weights=<a file" in str(error.value)
    assert "model.weights=null" in str(error.value)


def test_neither_a_name_nor_a_file() -> None:
    with pytest.raises(UserError, match="Give pretrained, or a file with a timm state dict"):
        load_pretrained(build_encoder("timm/resnet10t"), "IMAGENET1K_V1")


def test_an_unknown_name_is_answered_with_close_ones() -> None:
    with pytest.raises(UserError, match="resnet18"):
        build_encoder("timm/resnet18x")


def test_a_network_without_feature_maps_at_that_stride_is_refused() -> None:
    with pytest.raises(UserError, match=r"model.output_stride=16"):
        build_encoder("timm/vgg11", output_stride=16)


def test_without_timm_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"pip install 'segkit\[models\]'"):
        build_encoder("timm/resnet10t")
