"""Keras's defaults in torch: the study's public code is written in Keras, and scores are to be comparable (docs/protocol.md, Training).

Two differences stay: Keras's running variance of batch norm is the biased one, torch's the unbiased one, and Keras's Adam adds epsilon
inside the bias correction.
"""

import torch
from torch import nn

BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.01  # Keras's momentum (0.99) is the share of the old value, torch's (0.01) the share of the new one
ADAM_EPSILON = 1e-7


def batch_norm(maps: int) -> nn.BatchNorm1d:
    """Batch norm of (batch, maps, length) with Keras's epsilon and momentum."""
    return nn.BatchNorm1d(maps, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)


def initialize(module: nn.Module) -> None:
    """Set Keras's initial weights in place: Glorot uniform weights, zero biases, orthogonal recurrent weights, forget bias 1.

    torch's LSTM has a second bias, which Keras's has not: it is set to 0 and frozen, so that the model has the study's number of trainable
    parameters. Batch norm starts at gamma 1, beta 0, mean 0 and variance 1 in both libraries.

    Draws come from torch's global generator: seed it first (``raylab.models.network.build`` does).
    """
    for child in module.modules():
        if isinstance(child, nn.Conv1d | nn.Linear):
            nn.init.xavier_uniform_(child.weight)
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        elif isinstance(child, nn.LSTM):
            _initialize_lstm(child)
        elif isinstance(child, nn.MultiheadAttention):
            nn.init.xavier_uniform_(child.in_proj_weight)
            nn.init.zeros_(child.in_proj_bias)


def _initialize_lstm(lstm: nn.LSTM) -> None:
    for name, parameter in lstm.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
        elif name.startswith("weight_hh"):
            nn.init.orthogonal_(parameter)
        else:
            nn.init.zeros_(parameter)
        if name.startswith("bias_ih"):
            with torch.no_grad():
                parameter[lstm.hidden_size : 2 * lstm.hidden_size] = 1.0  # gates: input, forget, cell, output
        if name.startswith("bias_hh"):
            parameter.requires_grad_(False)
