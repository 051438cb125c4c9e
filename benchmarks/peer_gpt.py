"""A small GPT (Radford et al. 2019) in PyTorch, by the settings of nanoGPT's README for CPUs.

Pre-norm blocks without biases, GELU, learned positions, head tied to the embedding; AdamW that
leaves gains alone; batches of random windows. Four layers and 0.8 million parameters.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

WINDOW, B, LAYERS, HEADS, WIDTH = 64, 12, 4, 4, 128
STEPS, RATE, LEAST, WARM_UP = 2000, 1e-3, 1e-4, 100
BETAS, DECAY, CLIP = (0.9, 0.99), 0.1, 1.0
REACH = 0.02
"""Standard deviation of the weights at the start; of those that end a branch, over the root of the
number of branches."""
AT_ONCE = 128
"""Windows of the validation part that are computed together."""


class Block(nn.Module):
    """Attention and a hidden layer, each beside a way around it. ``(B, T, WIDTH)`` to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(WIDTH, bias=False)
        self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.attended = nn.Linear(WIDTH, WIDTH, bias=False)
        self.before_hidden = nn.LayerNorm(WIDTH, bias=False)
        self.hidden = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.back = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attended(self._attention(self.before_attention(x)))
        return x + self.back(functional.gelu(self.hidden(self.before_hidden(x))))

    def _attention(self, x: Tensor) -> Tensor:
        heads = self.query_key_value(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return (
            functional.scaled_dot_product_attention(*heads, is_causal=True)
            .transpose(1, 2)
            .flatten(2)
        )


class GPT(nn.Module):
    def __init__(self, V: int) -> None:
        super().__init__()
        self.characters, self.places = nn.Embedding(V, WIDTH), nn.Embedding(WINDOW, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, values in self.named_parameters():
            if values.dim() > 1:
                ends_branch = name.endswith(("attended.weight", "back.weight"))
                nn.init.normal_(values, 0.0, REACH / math.sqrt(2 * LAYERS if ends_branch else 1))

    def forward(self, ids: Tensor) -> Tensor:
        """``(B, T)`` to logits ``(B, T, V)``."""
        x = self.characters(ids) + self.places.weight[: ids.shape[1]]
        return functional.linear(self.norm(self.blocks(x)), self.characters.weight)


class GPTPeer:
    """Trains it; ``total`` steps."""

    total = STEPS

    def __init__(self, train: Tensor, validation: Tensor, V: int) -> None:
        torch.manual_seed(1)
        self.windows = train.unfold(0, WINDOW + 1, 1)
        self.validation, self.gpt, self.number = validation, GPT(V), 0
        groups = [
            {"params": [p for p in self.gpt.parameters() if p.dim() > 1], "weight_decay": DECAY},
            {"params": [p for p in self.gpt.parameters() if p.dim() == 1], "weight_decay": 0.0},
        ]
        self.adam = torch.optim.AdamW(groups, betas=BETAS)

    def rate(self) -> float:
        if self.number < WARM_UP:
            return RATE * (self.number + 1) / (WARM_UP + 1)
        share = (self.number - WARM_UP) / (STEPS - WARM_UP)
        return LEAST + (RATE - LEAST) * (1 + math.cos(math.pi * share)) / 2

    def step(self) -> None:
        windows = self.windows[torch.randint(len(self.windows), (B,))]
        loss = self._nats(windows[:, :-1], windows[:, 1:], "mean")
        self.adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.gpt.parameters(), CLIP)
        for group in self.adam.param_groups:
            group["lr"] = self.rate()
        self.adam.step()
        self.number += 1

    @torch.inference_mode()
    def loss(self) -> float:
        """On the whole validation part, cut into windows that know nothing of each other: what the
        recipe estimates from 20 batches of random windows, without their chance.
        """
        size, count = AT_ONCE * WINDOW, len(self.validation) - 1
        whole = count // WINDOW * WINDOW
        cuts = [*range(0, whole, size), whole, *([count] if whole < count else [])]
        return sum(map(self._sum, cuts, cuts[1:])) / count

    def _sum(self, start: int, stop: int) -> float:
        shape = (-1, min(WINDOW, stop - start))
        x, y = self.validation[start:stop], self.validation[start + 1 : stop + 1]
        return self._nats(x.reshape(shape), y.reshape(shape), "sum").item()

    def _nats(self, x: Tensor, y: Tensor, reduction: str) -> Tensor:
        return functional.cross_entropy(self.gpt(x).flatten(0, 1), y.flatten(), reduction=reduction)
