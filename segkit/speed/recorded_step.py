"""The training step on a GPU, recorded and replayed: the plain step's numbers from fewer bytes and one launch."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from segkit.speed import trial
from segkit.speed.accelerate import accelerate, idle_biases, restore
from segkit.speed.averages import Averages, buffer_name
from segkit.speed.beside import Beside
from segkit.speed.capturable import RecordedRates, keep_counters_on, rates_of
from segkit.speed.cuda_graph import CudaGraph, Recorded
from segkit.speed.fast_functions import FastFunctions
from segkit.speed.mixed_precision import HalfPrecisionWeights, large_weights, updates_in_one_pass
from segkit.speed.summed_gradients import SummedGradients

log = logging.getLogger(__name__)

TRIED = 2
"""Plain steps that the recorded ones are held against, all of the shape that is recorded."""
PATIENCE = 8
"""Plain steps among which there have to be so many."""
ELSEWHERE = "it failed in another process"
LASTING = 100
"""Replays after which it is worth recording anew, where the loss or the optimiser has been given other settings."""

Loss = Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]


class RecordedStep:
    """Loss, gradients and update of a network, whatever its layers, loss and optimiser are, where they pass a trial.

    The first steps are the framework's: autocast, fp32 weights, ``optimizer.step()``. A few of them are then taken a
    second time, from the same values, as they are to be taken from there on: layers swapped (`accelerate`), large
    weights held twice with ``bf16`` (`HalfPrecisionWeights`), the whole recorded as a CUDA graph. Where the losses or
    the updated weights differ by more than rounding (`segkit.speed.trial`), or recording fails, all later steps are
    plain as well. Training goes on from the plain steps' values either way, and one log line says which way, and why.

    - The weights in the network are the fp32 ones, up to date after every step.
    - A batch of another shape, an epoch's last, is taken without the graph; it needs room beside what that keeps.
    - Of several processes each takes the same steps, as their gradients are averaged within.
    - Not called are hooks of modules, weights and optimiser: where there is one, steps stay plain. What is changed by
      hand in the network later (dropout's rate, what is frozen) asks for `forget`; changed settings of loss and
      optimiser are seen.

    Args:
        network: has all parameters that are trained.
        compute_loss: ``compute_loss(image, label, replaced)``, scalar: computed with the tensors ``replaced`` in place
            of the network's parameters of these names.
        plain_loss: the same, not compiled (then the very same): for plain steps, and batches of another shape.
        optimizer: any of torch's kind, of the network's parameters.
        bf16: whether to compute in bfloat16 (autocast).
        clip: largest norm of the gradients; None = no clipping.
        processes: how many take the steps together. Their batches have the same shapes at the same steps.
        loss: what ``compute_loss`` calls beside the network, if it is a module.
        average: a moving average, which steps bring up to date from when `averages` says so.
    """

    record: Callable[..., Recorded] = CudaGraph
    """``record(function, *inputs)`` gives what replays the function."""

    def __init__(
        self,
        network: nn.Module,
        compute_loss: Loss,
        plain_loss: Loss,
        optimizer: torch.optim.Optimizer,
        bf16: bool,
        clip: float | None,
        processes: int = 1,
        loss: nn.Module | None = None,
        average: Averages | None = None,
    ) -> None:
        self.network, self.compute_loss, self.plain_loss, self.optimizer = network, compute_loss, plain_loss, optimizer
        # A compiler has its own ways with functions.
        self.fast_loss = self._fast_loss if compute_loss is plain_loss else compute_loss
        self.bf16, self.clip, self.processes = bf16, clip, processes
        self.watched = {} if loss is None else {"loss": loss}
        self.average = average if updates_in_one_pass(optimizer) else None
        averages = {} if self.average is None else {"average": self.average}
        self.modules: trial.Modules = {"network": network, **self.watched, **averages}
        self.gradients = SummedGradients() if processes > 1 else None
        self.weights = HalfPrecisionWeights({}, optimizer)
        self.recorded: Recorded | None = None
        self.beside: Beside | None = None
        self.forget()

    def __call__(self, image: Tensor, label: Tensor) -> Tensor:
        """Take one step with a batch on the GPU; its loss, a scalar that is overwritten by the next step."""
        if self.trying:
            fitting = sum(step.image.shape == self.shape for step in self.plain_steps)
            if fitting < TRIED and len(self.plain_steps) < PATIENCE:
                return self._watched_step(image, label)
            self._try()
        if self.recorded is not None and trial.settings(self.watched, self.optimizer) != self.settings:
            self._settings_changed()
            return self(image, label)
        if self.recorded is None:
            return self._step(self.plain_loss, image, label)
        return self._take(image, label)

    @property
    def averages(self) -> bool:
        """Whether the last step has brought the moving average up to date."""
        return self.recorded is not None and self.average is not None

    def forget(self) -> None:
        """Give up what was recorded, and try anew with the next steps: what is trained has changed."""
        self.close()
        self.trying, self.replays = True, 0
        self.shape: torch.Size | None = None
        self.plain_steps: list[trial.PlainStep] = []
        self.reason: str | None = None

    def close(self) -> None:
        """Take all later steps plainly, and give the graph's memory back."""
        if self.recorded is not None:
            self.recorded.close()
        self.recorded, self.trying = None, False
        for pending in (self.beside, self.gradients):
            if pending is not None:
                pending.clear()
        self.beside = None
        self.weights.zero_grad()
        self.weights = HalfPrecisionWeights({}, self.optimizer)
        restore(self.network)

    # ---- steps ----

    def _step(self, loss: Loss, image: Tensor, label: Tensor) -> Tensor:
        """A step, one launch after the other; a plain one where no weights are held twice."""
        self.weights.zero_grad()
        # Without its cache: each weight is used once, and what a graph records must not come from before it.
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            value = loss(image, label, self.weights.copies)
        with torch.autocast(image.device.type, enabled=False):
            (value / self.processes).backward()
            if self.gradients is not None:
                self.gradients.wait()
            if self.beside is not None:
                self.beside.finish()
            others = [p for name, p in self.network.named_parameters() if name not in self.weights.copies]
            if self.gradients is not None:
                self.gradients.finish(others)
            if self.clip is not None:
                nn.utils.clip_grad_norm_([*others, *self.weights.copies.values()], self.clip)
            self.weights.step()
        return value.detach()

    def _fast_loss(self, image: Tensor, label: Tensor, replaced: Mapping[str, Tensor]) -> Tensor:
        with FastFunctions(), self.beside or nullcontext():
            return self.compute_loss(image, label, replaced)

    def _take(self, image: Tensor, label: Tensor, share: float | None = None) -> Tensor:
        """A step the fast way: replayed where it has the recorded shape."""
        assert self.recorded is not None
        if self.average is not None:
            self.average.set_share(self.average.next_share() if share is None else share)
        if image.shape != self.shape:
            return self._step(self.plain_loss, image, label)
        self.rates.set([group["lr"] for group in self.optimizer.param_groups])
        self.replays += 1
        return self.recorded(image, label)

    def _watched_step(self, image: Tensor, label: Tensor) -> Tensor:
        """A plain step, all of it noted that the trial asks for; the very first but begins the optimiser's state."""
        if self.shape is None:
            self.shape = image.shape
            return self._step(self.plain_loss, image, label)
        device = image.device
        keep_counters_on(self.optimizer, device)
        before = self._noted_state(device, image.shape == self.shape)
        rates = [group["lr"] for group in self.optimizer.param_groups]
        share = 0.0 if self.average is None else self.average.next_share()
        state, drawn = trial.python_state(self.modules, self.optimizer), trial.host_random(device)
        loss = self._step(self.plain_loss, image, label)
        self.plain_steps.append(trial.PlainStep(image.clone(), label.clone(), rates, share, loss, before))
        counted = trial.changed(state, trial.python_state(self.modules, self.optimizer))
        if counted is not None:
            self.reason = f"{counted} changes from step to step"
        elif trial.host_random(device) != drawn:
            self.reason = "random numbers are drawn on the CPU, which a recorded step would repeat"
        return loss

    def _noted_state(self, device: torch.device, to_try: bool) -> trial.Snapshot | None:
        """What all values are now, where the last step led to it from a noted state, or the next one is ``to_try``."""
        last = self.plain_steps[-1] if self.plain_steps else None
        led = last is not None and last.before is not None
        if not (led or to_try):
            return None
        now = trial.Snapshot(self.modules, self.optimizer, device)
        if last is not None and led:
            last.after = now
        return now if to_try else None

    # ---- the trial ----

    def _try(self) -> None:
        """Take the plain steps a second time, recorded; go on from where they led to either way."""
        now = self._noted_state(self.plain_steps[0].image.device, to_try=True)
        assert now is not None
        reason = self._refusal([step for step in self.plain_steps if step.before is not None], now)
        self.weights.zero_grad()
        now.restore()
        self.weights.refresh()
        self._end_trial(reason)

    def _end_trial(self, reason: str | None) -> None:
        if reason is None:
            self.settings = trial.settings(self.watched, self.optimizer)
            parts = ["bf16 weights held twice"] * bool(self.weights.copies)
            parts += [f"{len(self.swapped)} layers fused"] * bool(self.swapped)
            log.info("fast step: recorded%s", f" ({', '.join(parts)})" if parts else "")
        else:
            self.close()
            log.info("fast step: off, %s", reason)
        # The peak of memory, which a run reports, is not reset, though the trial's copies are in it: replays allocate
        # nothing that torch counts, so from here on it would leave out what a step needs for its maps.
        self.trying, self.plain_steps, self.replays = False, [], 0

    def _refusal(self, steps: Sequence[trial.PlainStep], now: trial.Snapshot) -> str | None:
        """Why steps are to stay plain, or None, from those to try and the state that the last step led to."""
        reason = self.reason
        if len(steps) < TRIED:
            reason = "batches are of too many shapes"
        else:
            assert steps[0].before is not None
            reason = reason or trial.unfit(self.modules, self.optimizer, steps[0].before, now)
        if not self._agreed(reason is None):
            return reason or ELSEWHERE
        try:
            self._prepare(steps[0])
        except Exception as error:  # whatever a network, a loss or a compiler comes up with
            reason = f"recording failed ({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})"
        if not self._agreed(reason is None):
            return reason or ELSEWHERE
        found = [self._difference(step) for step in steps]  # all of them: processes take them together
        reason = next((f"{text} (step {number})" for number, text in enumerate(found, 1) if text), None)
        return None if self._agreed(reason is None) else reason or ELSEWHERE

    def _difference(self, step: trial.PlainStep) -> str | None:
        """How a recorded step differs from the plain one, both from the same values, or None."""
        assert step.before is not None
        assert step.after is not None
        step.before.restore()
        self.weights.refresh()
        with rates_of(self.optimizer, step.rates):
            loss, plain = float(self._take(step.image, step.label, step.share)), float(step.loss)
        if trial.loss_differs(plain, loss, self.bf16):
            return f"the recorded loss {loss:.4g} differs from the plain step's {plain:.4g}"
        idle = [f"network.{name}" for name in idle_biases(self.network)]
        idle += [f"average.{buffer_name(name)}" for name in idle]
        return trial.updates_differ(step.before, step.after, idle)

    def _prepare(self, first: trial.PlainStep) -> None:
        """Swap layers, hold weights twice, record."""
        assert first.before is not None
        first.before.restore()
        self.swapped = self._swap(first)
        self.weights = HalfPrecisionWeights(
            large_weights(self.network, self.optimizer) if self.bf16 else {}, self.optimizer, self.average
        )
        copies, send = self.weights.copies.values(), None
        if self.gradients is not None:
            self.gradients.send_early(copies)
            send = self.gradients.send
        early = self.clip is None and self.weights.one_pass  # a clipped gradient waits for all others
        self.beside = Beside(self.weights if early else None, copies, send)
        self.rates = RecordedRates(self.optimizer, first.image.device)
        with self.rates.read():
            self.recorded = self.record(partial(self._step, self.fast_loss), first.image, first.label)

    def _swap(self, step: trial.PlainStep) -> list[str]:
        """Swap layers if the loss stays the same: the network may take a map from between those that become one."""
        swapped = accelerate(self.network)
        if swapped:
            with torch.no_grad(), torch.autocast(step.image.device.type, torch.bfloat16, self.bf16, False):
                loss = self.plain_loss(step.image, step.label, {})
            if not self._agreed(not trial.loss_differs(float(step.loss), float(loss), self.bf16)):
                restore(self.network)
                return []
        return swapped

    def _agreed(self, mine: bool) -> bool:
        """Whether it holds in every process: they record or do not record together."""
        if self.processes == 1:
            return mine
        all_of_them = torch.tensor(float(mine), device=next(self.network.parameters()).device)
        torch.distributed.all_reduce(all_of_them, torch.distributed.ReduceOp.MIN)
        return bool(all_of_them)

    def _settings_changed(self) -> None:
        if self.replays >= LASTING:
            return self.forget()
        name = trial.changed(self.settings, trial.settings(self.watched, self.optimizer))
        self._end_trial(f"{name} changes all the time")
