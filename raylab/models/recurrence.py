"""The steps of many LSTMs at once, with a backward pass of its own.

A step is a few small operations, and autograd's record of each costs more than the operation. Here everything that needs no state before it
(the gates' derivatives, the weights' gradient) is one operation over all steps.
"""

from typing import Any

import torch
from torch import Tensor


class _Recurrence(torch.autograd.Function):
    """Time is the first axis of everything inside: (length, n, batch, units)."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, recurrent: Tensor, mask: Tensor | None) -> Tensor:
        n, batch, length, _ = inputs.shape
        units = recurrent.shape[1]
        gates = inputs.permute(2, 0, 1, 3).contiguous()
        h, c = (gates.new_zeros(length + 1, n, batch, units) for _ in range(2))
        tanh_c = gates.new_empty(length, n, batch, units)
        steps = None if mask is None else mask.permute(2, 0, 1, 3).to(gates.dtype).contiguous()
        by_step = [part.unbind(0) for part in torch.split(gates, units, dim=3)]
        open_gates, hs, cs, tanhs = gates[..., : 2 * units].unbind(0), h.unbind(0), c.unbind(0), tanh_c.unbind(0)
        for t, all_gates in enumerate(gates.unbind(0)):
            all_gates.baddbmm_(hs[t], recurrent)
            open_gates[t].sigmoid_()
            i, f, g, o = (part[t] for part in by_step)
            g.tanh_()
            o.sigmoid_()
            torch.mul(f, cs[t], out=cs[t + 1]).addcmul_(i, g)
            if steps is not None:
                cs[t + 1].mul_(steps[t])
            torch.tanh(cs[t + 1], out=tanhs[t])
            torch.mul(o, tanhs[t], out=hs[t + 1])
        ctx.save_for_backward(gates, h, c, tanh_c, recurrent, *([] if steps is None else [steps]))
        return h[1:].permute(1, 2, 0, 3)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        gates, h, c, tanh_c, recurrent, *steps = ctx.saved_tensors
        length, n, batch, units = tanh_c.shape
        of_h = grads[0].permute(2, 0, 1, 3).contiguous()
        i, f, g, o = torch.split(gates, units, dim=3)
        # of the gates' inputs, as factors of the gradient of the cell (i, f, g) and of the output (o)
        by_cell = torch.stack([g * i * (1 - i), c[:-1] * f * (1 - f), i * (1 - g * g)], dim=3)
        by_output, cell_by_output = (tanh_c * o * (1 - o)).unbind(0), (o * (1 - tanh_c * tanh_c)).unbind(0)
        moved = torch.empty_like(gates)
        by_gate, forget, across = moved.view(length, n, batch, 4, units), f.unbind(0), recurrent.transpose(1, 2)
        dc = gates.new_zeros(n, batch, units)
        for t in range(length - 1, -1, -1):
            dh = of_h[t] if t == length - 1 else of_h[t].baddbmm_(moved[t + 1], across)
            dc = dc.addcmul_(dh, cell_by_output[t])
            if steps:
                dc.mul_(steps[0][t])
            torch.mul(by_cell[t], dc[:, :, None], out=by_gate[t, :, :, :3])
            torch.mul(by_output[t], dh, out=by_gate[t, :, :, 3])
            dc.mul_(forget[t])
        by_lstm = moved.permute(1, 0, 2, 3).reshape(n, length * batch, 4 * units)
        before = h[:-1].permute(1, 3, 0, 2).reshape(n, units, length * batch)
        return moved.permute(1, 2, 0, 3), torch.bmm(before, by_lstm), None


def recurrence(inputs: Tensor, recurrent: Tensor, mask: Tensor | None) -> Tensor:
    """Outputs (n, batch, length, units) of n LSTMs from a state of 0, which stays 0 where the mask (n, batch, length, 1) is false.

    Args:
        inputs: (n, batch, length, 4 units), the gates' inputs with their biases: input, forget, cell, output.
        recurrent: (n, units, 4 units).
    """
    with torch.autocast(inputs.device.type, enabled=False):  # its state adds up over the steps, and stays in the weights' type
        return torch.as_tensor(_Recurrence.apply(inputs.to(recurrent.dtype), recurrent, mask))  # type: ignore[no-untyped-call]  # torch has no types for it
