import pytest
import torch
from torch import nn
from torchvision import models

from segkit.errors import UserError
from segkit.models.torchvision import PooledBatchNorm, TorchvisionNetwork


def picture(batch: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (batch, 3, 33, 47), generator=torch.Generator().manual_seed(0)).byte()


def theirs(name: str, **options) -> nn.Module:
    torch.manual_seed(3)
    return models.get_model(name, weights=None, weights_backbone=None, **options).eval()


@pytest.mark.parametrize("name", ["deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"])
@torch.no_grad()
def test_with_a_file_of_its_weights_it_gives_torchvisions_logits(name, tmp_path) -> None:
    options = {} if name.startswith("lraspp") else {"aux_loss": True}
    network = theirs(name, num_classes=3, **options)
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    mine = TorchvisionNetwork(3, name, str(tmp_path / "mine.pth")).eval()
    normalised = (picture() / 255 - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    torch.testing.assert_close(mine(picture()), network(normalised)["out"], rtol=1e-4, atol=1e-4)


def test_of_other_classes_all_but_the_last_layers_is_taken(tmp_path) -> None:
    state = theirs("deeplabv3_mobilenet_v3_large", num_classes=21, aux_loss=True).state_dict()
    torch.save(state, tmp_path / "mine.pth")
    own = TorchvisionNetwork(3, "deeplabv3_mobilenet_v3_large", str(tmp_path / "mine.pth")).network.state_dict()
    other = [key for key, value in own.items() if value.shape != state[key].shape]
    assert other == ["classifier.4.weight", "classifier.4.bias", "aux_classifier.4.weight", "aux_classifier.4.bias"]
    assert all(torch.equal(value, state[key]) for key, value in own.items() if key not in other)


def test_a_backbones_file_is_taken(tmp_path) -> None:
    torch.manual_seed(3)
    state = models.mobilenet_v3_large(weights=None).state_dict()
    torch.save(state, tmp_path / "mine.pth")
    own = TorchvisionNetwork(3, "lraspp_mobilenet_v3_large", str(tmp_path / "mine.pth")).network.backbone.state_dict()
    assert all(torch.equal(value, state[f"features.{key}"]) for key, value in own.items())


def test_a_batch_of_one_is_normalised_by_running_statistics_which_stay() -> None:
    torch.manual_seed(0)
    norm = PooledBatchNorm(4)
    norm(torch.randn(8, 4, 1, 1))
    before = norm.running_mean.clone()
    image = torch.randn(1, 4, 1, 1)
    result = norm(image)
    assert torch.equal(norm.running_mean, before)
    assert torch.equal(result, norm.eval()(image))
    two = torch.randn(2, 4, 1, 1)
    torch.testing.assert_close(norm.train()(two), nn.BatchNorm2d(4)(two))


def test_an_unknown_name_is_answered_with_the_known() -> None:
    with pytest.raises(UserError, match=r"model.name=deeplab: .*deeplabv3_resnet50"):
        TorchvisionNetwork(3, "deeplab")


def test_neither_a_name_nor_a_file() -> None:
    with pytest.raises(UserError, match="COCO_WITH_VOC_LABELS_V1, IMAGENET1K_V1"):
        TorchvisionNetwork(3, "fcn_resnet50", "IMAGENET")
