"""A plain PyTorch loop: DataLoader, zero_grad, forward, backward, step, as the PyTorch tutorials write it."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.pacer import main
from retina_kit.models.build import build_model
from retina_kit.training.device import choose_device, has_fast_bfloat16


def train(images, targets, task, pacer):
    """Train with NCHW float32, or at best with channels_last, a fused optimizer and fast bfloat16."""
    device, best = choose_device(task.device), task.settings == "best"
    model = build_model({"name": "unet"}).to(device).train()
    if best:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5, fused=best or None)
    image_set = torch.from_numpy(images[:, None]).float() / 255
    truth = torch.from_numpy(targets[:, None]).float()
    loader = DataLoader(TensorDataset(image_set, truth), task.batch, shuffle=True, pin_memory=device.type == "cuda")
    criterion = nn.BCEWithLogitsLoss()
    layout = {"memory_format": torch.channels_last} if best else {}
    context = torch.autocast(device.type, torch.bfloat16, enabled=best and has_fast_bfloat16(device))
    while True:
        for batch, labels in loader:
            batch, labels = batch.to(device, non_blocking=best, **layout), labels.to(device, non_blocking=best)
            optimizer.zero_grad()
            with context:
                loss = criterion(model(batch), labels)
            loss.backward()
            optimizer.step()
            loss.item()
            pacer()


if __name__ == "__main__":
    main(train, ["torch"])
