"""What every loss promises, and each against numbers by hand or a second implementation."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torchvision.ops import sigmoid_focal_loss

from segkit.errors import UserError
from segkit.losses.auxiliary import with_auxiliary
from segkit.losses.class_weights import give_pixel_counts
from segkit.losses.cross_entropy import CrossEntropy
from segkit.losses.dice import Dice
from segkit.losses.focal import Focal
from segkit.losses.lovasz import LovaszSoftmax
from segkit.losses.ohem import OnlineHardExamples
from segkit.losses.weighted_sum import WeightedSum

CONF = Path(__file__).resolve().parents[2] / "conf"
COUNTS = torch.tensor([600, 300, 100])

LOSSES = {
    "cross_entropy": CrossEntropy(),
    "enet": CrossEntropy("enet"),
    "given weights": CrossEntropy([0.5, 2, 3]),
    "focal": Focal(),
    "focal below 1": Focal(0.5, "median_frequency"),
    "ohem": OnlineHardExamples(0.7, 0.25),
    "ohem weighted": OnlineHardExamples(0.2, 0.5, "enet"),
    "dice": Dice(),
    "lovasz": LovaszSoftmax(),
    "sum": WeightedSum({"a": CrossEntropy("enet"), "b": Dice()}, {"a": 1.0, "b": 0.5}),
}
for counted in LOSSES.values():
    give_pixel_counts(counted, lambda: COUNTS)

each = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def batch(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 3, 4, generator=generator, dtype=torch.float64).to(dtype)
    label = torch.randint(0, 3, (2, 3, 4), generator=generator, dtype=torch.uint8)
    label[0, 1] = 255
    return logits, label


@each
def test_a_batch_without_scored_pixels_has_loss_and_gradient_zero(loss: nn.Module) -> None:
    logits, label = batch()
    value = loss(logits.requires_grad_(), torch.full_like(label, 255))
    value.backward()
    assert value.shape == ()
    assert float(value.detach()) == 0
    assert logits.grad is not None
    assert torch.all(logits.grad == 0)


@each
def test_pixels_that_are_not_scored_change_nothing(loss: nn.Module) -> None:
    logits, label = batch()
    value = loss(logits.requires_grad_(), label)
    value.backward()
    assert logits.grad is not None
    assert torch.all(logits.grad[0, :, 1] == 0)
    other = logits.detach().clone()
    other[0, :, 1] = torch.tensor([50.0, -50.0, 0.0])[:, None]
    assert torch.equal(loss(other, label), value)
    # Nor does it matter how many there are.
    more = F.pad(logits.detach(), (0, 0, 0, 5), value=3.0)
    assert float(loss(more, F.pad(label, (0, 0, 0, 5), value=255))) == pytest.approx(float(value.detach()), rel=1e-6)


@each
def test_the_gradient_is_that_of_the_value(loss: nn.Module) -> None:
    logits, label = batch(torch.float64)
    assert torch.autograd.gradcheck(lambda given: loss(given, label), (logits.requires_grad_(),))


@each
def test_float32_comes_from_half_precision_and_a_right_answer_is_almost_free(loss: nn.Module) -> None:
    _, label = batch()
    right = (30 * F.one_hot(label.long().clamp(max=2), 3).movedim(3, 1)).bfloat16().requires_grad_()
    value = loss(right, label)
    value.backward()
    assert value.dtype == torch.float32
    assert 0 <= float(value.detach()) < 1e-6
    assert right.grad is not None
    assert torch.all(right.grad.isfinite())


@each
def test_nothing_depends_on_values_but_values(loss: nn.Module) -> None:
    """Neither shapes nor branches do: with tensors that have no values it goes through, which a CUDA graph needs."""
    logits, label = batch()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(logits).requires_grad_()
        value = loss(fake, mode.from_tensor(label))
        value.backward()
    assert value.shape == ()
    assert fake.grad is not None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@each
def test_on_a_gpu_it_is_recorded_and_repeats_to_the_bit(loss: nn.Module) -> None:
    logits, label = (tensor.repeat(8, 1, 30, 40)[..., :100].cuda() for tensor in (batch()[0], batch()[1][:, None]))
    logits, label = (logits + torch.randn_like(logits)).requires_grad_(), label[:, 0]
    loss = copy.deepcopy(loss).cuda()

    def step() -> tuple[Tensor, Tensor]:
        value = loss(logits, label)
        return value.detach(), torch.autograd.grad(value, logits)[0]

    plain, again = step(), step()
    on_cpu = loss.cpu()(logits.detach().cpu(), label.cpu())
    loss.cuda()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        recorded = step()
    graph.replay()
    torch.use_deterministic_algorithms(True)
    try:
        deterministic = step()
    finally:
        torch.use_deterministic_algorithms(False)
    for other in (again, recorded, deterministic):
        assert torch.equal(plain[0], other[0])
        assert torch.equal(plain[1], other[1])
    assert float(plain[0]) == pytest.approx(float(on_cpu), rel=1e-5)


def test_cross_entropy_by_hand() -> None:
    # Pixel 1: logits (0, 0), class 0, loss ln 2. Pixel 2: logits (0, ln 3), class 1, probability 3/4. Pixel 3 unscored.
    logits = torch.tensor([[[[0.0, 0.0, 9.0]], [[0.0, math.log(3), -9.0]]]])
    label = torch.tensor([[[0, 1, 255]]], dtype=torch.uint8)
    losses = [math.log(2), math.log(4 / 3)]
    assert float(CrossEntropy()(logits, label)) == pytest.approx(sum(losses) / 2)
    weighted = CrossEntropy([3.0, 1.0])
    assert float(weighted(logits, label)) == pytest.approx((3 * losses[0] + losses[1]) / 4)
    assert float(weighted.denominator(label)) == 4
    assert int(CrossEntropy().denominator(label)) == 2


def test_cross_entropy_is_torchs() -> None:
    logits, label = batch()
    expected = F.cross_entropy(logits, label.long(), ignore_index=255)
    assert float(CrossEntropy()(logits, label)) == pytest.approx(float(expected))
    weight = torch.tensor([0.5, 2.0, 3.0])
    expected = F.cross_entropy(logits, label.long(), weight, ignore_index=255)
    assert float(CrossEntropy(weight.tolist())(logits, label)) == pytest.approx(float(expected))


def test_focal_of_two_classes_is_torchvisions() -> None:
    generator = torch.Generator().manual_seed(1)
    logit = torch.randn(2, 3, 4, generator=generator)
    label = torch.randint(0, 2, (2, 3, 4), generator=generator, dtype=torch.uint8)
    expected = sigmoid_focal_loss(logit, label.float(), alpha=-1, gamma=2, reduction="mean")
    both = torch.stack([torch.zeros_like(logit), logit], dim=1)
    assert float(Focal(2.0)(both, label)) == pytest.approx(float(expected))


def test_focal_without_gamma_is_cross_entropy() -> None:
    logits, label = batch()
    weights = [0.5, 2.0, 3.0]
    assert float(Focal(0.0, weights)(logits, label)) == pytest.approx(float(CrossEntropy(weights)(logits, label)))


def hard_batch(probabilities: list[float]) -> tuple[Tensor, Tensor]:
    """Pixels of class 0 with these probabilities, and one that is not scored."""
    p = torch.tensor([*probabilities, 0.01]).view(1, 1, 1, -1)
    label = torch.zeros(1, 1, len(probabilities) + 1, dtype=torch.uint8)
    label[..., -1] = 255
    return torch.cat([p, 1 - p], dim=1).log(), label


@pytest.mark.parametrize(
    ("threshold", "keep", "counted"),
    [
        (0.7, 0.01, [0.1, 0.4, 0.6]),  # those up to the threshold
        (0.3, 0.5, [0.1, 0.4]),  # one is, two are half of them
        (0.3, 0.55, [0.1, 0.4, 0.6]),  # rounded up
        (0.05, 0.01, [0.1]),  # never none
        (0.05, 1.0, [0.1, 0.4, 0.6, 0.9]),
    ],
)
def test_ohem_by_hand(threshold: float, keep: float, counted: list[float]) -> None:
    value = OnlineHardExamples(threshold, keep)(*hard_batch([0.9, 0.4, 0.1, 0.6]))
    assert float(value) == pytest.approx(sum(-math.log(p) for p in counted) / len(counted), rel=1e-5)


def test_ohem_that_keeps_all_is_weighted_cross_entropy() -> None:
    logits, label = batch()
    weights = [0.5, 2.0, 3.0]
    value = OnlineHardExamples(0.5, 1.0, weights)(logits, label)
    assert float(value) == pytest.approx(float(CrossEntropy(weights)(logits, label)))


def scored_pixels(logits: Tensor, label: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, C) and classes (N,) of the scored pixels."""
    probabilities = logits.double().softmax(1).movedim(1, 3).reshape(-1, logits.shape[1]).numpy()
    classes = label.flatten().numpy()
    return probabilities[classes != 255], classes[classes != 255]


@pytest.mark.parametrize("absent", [False, True])
def test_dice_by_numpy(absent: bool) -> None:
    logits, label = batch()
    if absent:
        label[label == 1] = 2
    probabilities, classes = scored_pixels(logits, label)
    losses = []
    for number in np.unique(classes):
        p, g = probabilities[:, number], (classes == number).astype(float)
        losses.append(1 - 2 * (p * g).sum() / ((p * p).sum() + (g * g).sum()))
    assert len(losses) == (2 if absent else 3)
    assert float(Dice()(logits, label)) == pytest.approx(np.mean(losses), rel=1e-5)


def jaccard_loss(wrong: set[int], of_class: set[int]) -> float:
    """1 - IoU of a class where the pixels ``wrong`` are labelled wrongly, as sets (Berman et al. 2018, eq. 6)."""
    return len(wrong) / len(of_class | wrong)


@pytest.mark.parametrize("absent", [False, True])
def test_lovasz_by_its_definition_on_sets(absent: bool) -> None:
    logits, label = batch()
    if absent:
        label[label == 1] = 2
    probabilities, classes = scored_pixels(logits, label)
    losses = []
    for number in np.unique(classes):
        of_class = set(np.flatnonzero(classes == number).tolist())
        errors = np.where(classes == number, 1 - probabilities[:, number], probabilities[:, number])
        wrong: set[int] = set()
        total = 0.0
        for pixel in np.argsort(-errors).tolist():
            total += errors[pixel] * (jaccard_loss(wrong | {pixel}, of_class) - jaccard_loss(wrong, of_class))
            wrong.add(pixel)
        losses.append(total)
    assert float(LovaszSoftmax()(logits, label)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_lovasz_of_decided_pixels_is_one_minus_iou() -> None:
    label = torch.tensor([[[0, 0, 1, 1, 1, 255]]], dtype=torch.uint8)
    predicted = torch.tensor([[[0, 1, 1, 1, 0, 1]]])
    logits = 100 * F.one_hot(predicted, 2).movedim(3, 1).float()
    assert float(LovaszSoftmax()(logits, label)) == pytest.approx(1 - (1 / 3 + 2 / 4) / 2)


def test_sums_and_auxiliary_heads() -> None:
    logits, label = batch()
    other = logits.flip(1)
    loss = WeightedSum({"one": CrossEntropy(), "two": Dice()}, {"one": 2.0, "two": 0.25})
    value = float(loss(logits, label))
    assert value == pytest.approx(2 * float(CrossEntropy()(logits, label)) + 0.25 * float(Dice()(logits, label)))
    assert float(with_auxiliary(loss, logits, label)) == value
    assert float(with_auxiliary(loss, (logits, []), label)) == value
    assert float(with_auxiliary(loss, (logits, [other, other]), label)) == pytest.approx(
        value + 0.8 * float(loss(other, label))
    )
    with pytest.raises(UserError, match=r"loss\.factors"):
        WeightedSum({"one": CrossEntropy()}, {"two": 1.0})


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "loss").glob("*.yaml")))
def test_every_loss_of_conf_is_built_by_its_file(name: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loss = instantiate(compose(overrides=[f"+loss={name}"]).loss, _convert_="all")
    give_pixel_counts(loss, lambda: COUNTS)
    assert 0 < float(loss(*batch())) < 5


def test_terms_of_a_sum_are_set_by_their_names() -> None:
    changed = ["loss.terms.cross_entropy.class_weights=enet", "loss.factors.dice=0"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loss = instantiate(compose(overrides=["+loss=cross_entropy_dice", *changed]).loss, _convert_="all")
    give_pixel_counts(loss, lambda: COUNTS)
    assert torch.equal(loss(*batch()), LOSSES["enet"](*batch()))
