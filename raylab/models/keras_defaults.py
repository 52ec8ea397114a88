"""Keras's defaults in torch, so that numbers are comparable with the study's code (PROTOCOL, Training)."""

import torch
from torch import nn

BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.01  # Keras's momentum 0.99 keeps 0.99 of the old; torch's 0.01 takes 0.01 of the new
ADAM_EPSILON = 1e-7


def batch_norm(maps: int) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(maps, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)


def initialize(module: nn.Module) -> None:
    """Glorot uniform weights, zero biases, orthogonal recurrent weights, unit forget bias, in place.

    torch's LSTM has a second bias that Keras does not have: it is set to 0 and frozen. Batch norms start at gamma 1,
    beta 0, mean 0, variance 1 in both.
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
