"""In which arithmetic networks compute: the one place where that is decided (docs/decisions/0030-stacks.md).

``float32``: every product in single precision, on a GPU too, where cuDNN would otherwise take TensorFloat-32 for convolutions and LSTMs.
``tf32``: products of float32 by TensorFloat-32 (10 bits of mantissa) on a GPU; a processor computes as in ``float32``. ``bf16``: layers under
torch's autocast to bfloat16 (7 bits), on a GPU and on a processor. In all of them weights, gradients, optimizer, losses, batch statistics, the
state of a stack's LSTM, features and logits as they leave the network, and the softmax of predictions are float32.

A network carries its precision (``raylab.models.network.Network.precision``), so whoever calls it, alone, in a stack, in a group of workers or
in a prediction, computes alike. Two classifiers that are left behind after a training, that of people (``dann``) and the projection of
``Contrastive``, stay in float32.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, Literal

import torch
from torch import Tensor

Precision = Literal["float32", "tf32", "bf16"]
FLOAT32: Final = "float32"


@contextmanager
def float32_products(precision: Precision) -> Iterator[None]:
    """Inside the block products of float32 are computed in it, or by TensorFloat-32 if ``tf32`` asks for it; torch's settings are restored after.

    Training and prediction run in this block whole, since backward passes read the settings too. What another part of the process has set is not
    taken over: equal stage hashes promise equal bits.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("highest")  # for processors too, where `medium` is bfloat16
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def layer_arithmetic(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """What the layers of a network compute in; around forward passes alone, whose types the backward pass follows."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def in_single(x: Tensor) -> Tensor:
    """x in float32 if it is in bfloat16; else as it is."""
    return x.float() if x.dtype == torch.bfloat16 else x
