# %% [markdown]
# # Lesson 2: SRCNN
#
# Bicubic weighs the same neighbours in the same way on fur, brick and sky. In 2014 Dong and others let three
# convolutions learn from photographs what to do instead. Their small network, SRCNN, is where ours begin.
#
# **The question:** what do three layers do that a formula cannot, and what does it take to train them?

# %%
import torch

from sr_course import images
from sr_course.data.shipped import photo
from sr_course.degradations import bicubic_lr
from sr_course.lessons import show
from sr_course.resample import imresize
from sr_course.zoo import load

srcnn = load("srcnn")
hr = images.read(photo("charminar").path)  # (1, 3, 360, 336), RGB in [0, 1]
lr = bicubic_lr(hr, 4)
with torch.no_grad():
    sr = srcnn(lr).clamp(0, 1)
pictures = {"bicubic": imresize(lr, 4).clamp(0, 1), "SRCNN": sr, "original": hr}
show({name: one[..., 96:306, 90:330] for name, one in pictures.items()},
     alt="Arches of a gate tower: blurred by bicubic, with clearer edges by SRCNN, and sharp in the original")

# %% [markdown]
# The openings have edges again, the carving stays lost. 57,281 numbers did this, learned on other photographs.
#
# | | |
# |:--|:--|
# | **You will** | compute a convolution and a ReLU by hand; count a network's parameters; train a small SRCNN that beats bicubic; find out why papers measure luma, cut borders and name their loss; switch a network's maps off, one by one; debug a training loop |
# | **You need** | lesson 1; what a gradient step is |
# | **Time** | 60 to 90 minutes; the cells alone run in under two minutes |
# | **GPU** | not needed |
# | **Photographs** | public domain, CC0 and CC BY: `datasets/CREDITS.md` |
#
# ## Set-up

# %% tags=["nbval-ignore-output"]
# output not compared: it names this machine and the versions on it
import torch.nn.functional as F

from sr_course.data.store import open_data
from sr_course.images import luma, rgb_to_ycbcr, ycbcr_to_rgb
from sr_course.lessons import figure, results, setup
from sr_course.lessons.srcnn import check_field, check_forward, check_parameters, check_step
from sr_course.metrics import MATLAB_Y, RGB, psnr
from sr_course.models.describe import describe
from sr_course.models.srcnn import SRCNN

setup()
store = open_data("shipped")  # the training photographs; decoded once, for half a minute
for name in ("charminar", "kingfisher", "tiger"):
    print(photo(name).credit.split(" (")[0])

# %% [markdown]
# ## By hand: one pixel
#
# A **convolution** lays a small table of weights, the kernel, over the picture, multiplies what lies over what, and
# adds up:
#
# ```
# pixels        kernel
# 2  2  8        0  −1   0
# 2  2  8       −1   5  −1
# 2  2  8        0  −1   0
# ```
#
# **Predict,** with a pencil: which number comes out? Is the pixel beside the edge made brighter or darker?

# %%
pixels = torch.tensor([[2, 2, 8], [2, 2, 8], [2, 2, 8.0]])
kernel = torch.tensor([[0, -1, 0], [-1, 5, -1], [0, -1, 0.0]])
by_hand = sum(pixels[y, x] * kernel[y, x] for y in range(3) for x in range(3))
assert by_hand == F.conv2d(pixels[None, None], kernel[None, None]).squeeze()  # torch wants (N, channels, H, W)
print(f"5·2 − 2 − 2 − 2 − 8 = {by_hand:.1f}")

# %% [markdown]
# Darker: a dark pixel beside a bright one is pushed down, and the edge gets steeper. Bicubic is such a weighted sum,
# too. In a network nobody chooses the weights: training does.
#
# ## Three layers
#
# Here is a soft edge, 2 to 8 to 14, between two stretches of faint ripple:
#
# ```
# 2  3  2  3  2  8  14  13  14  13  14
# ```
#
# **Predict.** Can one convolution make the edge steeper and leave the ripple as it is?

# %%
row = torch.tensor([2, 3, 2, 3, 2, 8, 14, 13, 14, 13, 14.0]).reshape(1, 1, -1)
one = F.conv1d(row, torch.tensor([[[-0.5, 2, -0.5]]]))  # the pixel, plus what it has more than its neighbours

filters = torch.tensor([[0, 1, 0], [-0.5, 1, -0.5], [0.5, -1, 0.5]])[:, None]  # the pixel; brighter?; darker?
patches = F.relu(F.conv1d(row, filters, bias=torch.tensor([0, -2, -2.0])))  # only what is more than 2
mapped = F.relu(F.conv1d(patches, torch.tensor([[[1.0], [2], [-2]]])))  # push it further; never below black
sharp = F.conv1d(mapped, torch.tensor([[[1.0]]]))
for name, values in {"row": row[..., 1:-1], "one": one, "three": sharp}.items():
    print(f"{name:6}" + "".join(f"{value:6.1f}" for value in values.flatten().tolist()))

# %% [markdown]
# One convolution sharpens everything alike: the ripple of 1 became one of 3. Three layers leave the ripple alone, for
# **ReLU**, max(0, x), can say "not enough, so nothing". It is the only decision in the network. Without it, three
# convolutions in a row would again be one weighted sum.
#
# Dong et al. named the three layers:
#
# ```
#                    kernel   maps in → out   then
# patch extraction   9 x 9      1 → 64        ReLU    what is in this patch?
# mapping            5 x 5     64 → 32        ReLU    what would be there if it were sharp?
# reconstruction     5 x 5     32 → 1         none    so which value has the pixel?
# ```
#
# This is the network 9-5-5. The first one, of 2014, was 9-1-5. Both get the picture enlarged by bicubic beforehand.
#
# **Predict.** On how many pixels of the enlarged picture does one pixel of the result depend?

# %%
enlarged = luma(imresize(lr, 4))  # (1, 1, 360, 336)
with torch.no_grad():
    patch = enlarged[..., 172:189, 172:189]  # around row 180, column 180
    for layer in (srcnn.conv1, srcnn.conv2, srcnn.conv3):
        print(f"{tuple(patch.shape[1:])}", end=" → ")
        patch = F.conv2d(patch, layer.weight, layer.bias)
        patch = F.relu(patch) if layer is not srcnn.conv3 else patch
    whole = srcnn(luma(lr))  # one channel is taken as luma
print(tuple(patch.shape[1:]))
assert torch.isclose(patch.squeeze(), whole[0, 0, 180, 180], atol=1e-5)
for name, picture in {"bicubic": enlarged, "SRCNN": whole, "truth": luma(hr)}.items():
    print(f"{name:8}{255 * picture[0, 0, 180, 180].item():5.1f}")

# %% [markdown]
# On 17 x 17: the **receptive field**. A 9 x 9 kernel needs 4 pixels on each side, a 5 x 5 kernel 2, and 4 + 2 + 2 = 8.
# The pixel lies in a dark opening, which bicubic had blurred.
#
# ## How many numbers?
#
# **Predict.** How many weights and biases has 9-1-5? Which layer has most?

# %%
weights = 9 * 9 * 1 * 64 + 1 * 1 * 64 * 32 + 5 * 5 * 32 * 1
biases = 64 + 32 + 1  # one for each map
assert weights + biases == sum(p.numel() for p in SRCNN(4, kernel_sizes=(9, 1, 5)).parameters())
print(f"9-1-5: {weights:,} weights, {biases} biases")
print(describe(srcnn, 12).to_text())

# %% [markdown]
# 8,032 weights, as the paper counts, and most of them, 9 · 9 · 64 = 5,184, in the first layer. In 9-5-5 the middle layer
# holds nearly all. The table is for a picture of 12 x 12, which was first enlarged to 48 x 48.
#
# ## Why luma alone?
#
# SRCNN mends one channel, the luma Y; the two colour differences stay bicubic.
#
# **Predict.** Take the bicubic kingfisher and give it the true luma, or the true colour. Which one looks mended?

# %%
bird = images.read(photo("kingfisher").path)
bicubic = imresize(bicubic_lr(bird, 4), 4).clamp(0, 1)
true, soft = rgb_to_ycbcr(bird), rgb_to_ycbcr(bicubic)
mended = {
    "bicubic": bicubic,
    "true colour, bicubic luma": ycbcr_to_rgb(torch.cat([soft[:, :1], true[:, 1:]], dim=1)).clamp(0, 1),
    "true luma, bicubic colour": ycbcr_to_rgb(torch.cat([true[:, :1], soft[:, 1:]], dim=1)).clamp(0, 1),
}
for name, picture in mended.items():
    left = (picture - bird).square().mean() / (bicubic - bird).square().mean()
    print(f"{name:26} {psnr(picture, bird, RGB).item():5.2f} dB in RGB, {100 * left:5.1f}% of the error left")
show({name: one[..., 48:198, 66:306] for name, one in {**mended, "original": bird}.items()}, columns=2,
     alt="A kingfisher, soft; as soft with its true colour; sharp with its true luma, like the original")

# %% [markdown]
# Seven eighths of the error lie in the luma, even on so colourful a bird. So one channel is mended, and papers measure Y.
#
# ## Why the border costs decibels
#
# At the picture's edge a kernel looks at pixels that do not exist. In training SRCNN pads nothing: a 33 x 33 crop becomes
# 17 x 17, and is compared with the middle of the truth. At test time we want the whole picture. The authors' code
# repeats the border; `padding="same"`, which many write, puts zeros there.
#
# **Predict.** What do zeros cost? How far from the edge is the damage seen?

# %%
zeros = load("srcnn").train()  # in training mode it adds no border of its own
for layer in (zeros.conv1, zeros.conv2, zeros.conv3):
    layer.padding = "same"
with torch.no_grad():
    repeated, blackened = (network(bicubic_lr(bird, 4)).clamp(0, 1) for network in (srcnn, zeros))
print("border cut  bicubic  repeated  zeros")
for border in (0, 4, 8):
    scores = [psnr(one, bird, MATLAB_Y.at_scale(border)).item() for one in (bicubic, repeated, blackened)]
    print(f"{border:10}" + "".join(f"{score:9.2f}" for score in scores))
corners = {"repeated": repeated, "zeros": blackened, "original": bird}
show({name: one[..., :48, -72:] for name, one in corners.items()}, zoom=3,
     alt="A corner of the picture: plain with the border repeated, with a dark and bright frame from zeros")

# %% [markdown]
# Zeros are blacker than black (luma begins at 16/255), so the network sharpens an edge that is not there. The damage
# ends 8 pixels from the edge, as far as the network sees. Papers at x4 cut 4 pixels: even then zeros cost 0.8 dB here,
# more than the 0.7 that the network had gained.
#
# ## Train one yourself
#
# A **recipe** holds all that a run depends on. Ours is the course's laptop recipe, made small: 16 and 8 maps, 400 steps.
# The laptop's network is given bicubic to begin with; ours begins with random weights, and has all to learn.

# %%
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

from sr_course.training.loop import train
from sr_course.training.networks import SRCNNOptions
from sr_course.training.recipes import SRCNN_LAPTOP

tiny = replace(
    SRCNN_LAPTOP, name="tiny", steps=400, batch_size=16, learning_rate=2e-3, warmup_steps=50,
    network=SRCNNOptions(kernel_sizes=(9, 5, 5), channels=(16, 8), he_init=True),
    ema_decay=0.98, validate_every=50, snapshot_steps=(),
)
print(tiny)

# %% [markdown]
# **Predict.** After how many steps does it pass bicubic on photographs that it never learns from?

# %% tags=["nbval-atol=0.3"]
from IPython.display import display

from sr_course.evaluation import evaluate, shipped_pairs
from sr_course.widgets import LiveCurve

run = Path(mkdtemp()) / "tiny"
curve = LiveCurve()
display(curve)  # grows while the cell runs
train(tiny, run, watch=curve.watch, bar=False)
unseen = shipped_pairs("validation")
before, after = (evaluate(model, unseen, protocol=MATLAB_Y) for model in ("bicubic", run))
assert after.psnr > before.psnr
print(f"12 validation photographs: bicubic {before.psnr:.2f} dB, tiny {after.psnr:.2f} dB")

# %%
steps, scores = zip(*((r["step"], r["psnr"]) for r in curve.records if r["event"] == "validation"), strict=True)
bicubic_of_4 = sum(score.psnr for score in before.scores[:4]) / 4  # a run looks at the first 4 of the 12, to save time
with figure("Validation PSNR rises steeply, passes the line of bicubic, and flattens", size=(6, 2.6)) as ax:
    ax.plot(steps, scores, "o-", label="tiny SRCNN")
    ax.axhline(bicubic_of_4, color="grey", ls="--", label=f"bicubic, the same 4: {bicubic_of_4:.2f} dB")
    ax.set(xlabel="step", ylabel="PSNR of 4 photographs, dB")
    ax.legend()
print(f"bicubic: {bicubic_of_4:.2f} dB on these 4, {before.psnr:.2f} dB on all 12")

# %% [markdown]
# It must first learn to copy. After some 250 steps it passes bicubic: 4,721 numbers, trained for seconds, beat the formula
# on photographs that they have never seen.
#
# ## The same rate, another loss
#
# The authors trained with Caffe, whose loss is sum / 2N: squared errors added up over all pixels, halved, divided by the
# N pictures of the batch. PyTorch's `mse_loss` is the mean over all pixels. Crops of 36 x 36 = 1,296 pixels lie between
# them by a factor of 648. The learning rate in the paper, 0.0001, belongs to the first.
#
# **Predict.** The same network, start, rate and crops: where are the two after 100 steps?

# %%
from sr_course.data.pairs import Pairs
from sr_course.images import centre_crop
from sr_course.losses import caffe_euclidean, mse

pairs = Pairs(store, scale=4, hr_crop=48, channel="y")
tiger = images.read(photo("tiger").path)  # a validation photograph
small_tiger = bicubic_lr(tiger, 4)


def step_with(loss_of):
    def step(network, optimizer, batch):
        sr = network.sharpen(imresize(batch.lr, 4))  # nothing is padded: (16, 1, 36, 36)
        loss = loss_of(sr, centre_crop(batch.hr, sr.shape[-2], sr.shape[-1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


# %%
def try_out(step, network, optimizer, shown):
    """Train to the last of the steps `shown`; print at each of them the loss and the PSNR of the tiger."""
    for number in range(1, max(shown) + 1):
        loss = step(network.train(), optimizer, pairs.batch(number, range(16)))
        if number in shown:
            with torch.no_grad():
                sr = network.eval()(small_tiger).clamp(0, 1)
            print(f"step {number:3}: loss {loss:8.4f}, tiger {psnr(sr, tiger).item():4.1f} dB")
    return sr


# %% tags=["nbval-atol=0.5"]
for name, loss_of in {"Caffe's sum / 2N": caffe_euclidean, "mean": mse}.items():
    torch.manual_seed(0)
    network = SRCNN(4, kernel_sizes=(9, 1, 5))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)
    print(name)
    try_out(step_with(loss_of), network, optimizer, (1, 100))

# %% [markdown]
# Eight decibels apart. Neither shows a tiger yet: Caffe's paints one even grey, the mean brightness; the other has hardly
# moved. The paper's weights begin tiny (a standard deviation of 0.001), and its run was long: 8 · 10⁸ backpropagations.
# It also lets the last layer learn at a tenth of the rate (Dong et al. 2016, sec. 3.3). Our recipe begins with larger
# weights and uses Adam, which cares little for the scale of a loss. **A learning rate means nothing without its loss.**
#
# ## Load: a longer run
#
# `load("srcnn")` is 9-5-5 with 64 and 32 maps. At first map 0 of each layer handed bicubic's picture on, the others were
# random. Its log ships with it, and that of a shorter run, whose clock tells what minutes buy: the long run was stopped in
# between.
#
# **Predict.** The short run took 11 minutes. How much of its gain over bicubic came in the first?

# %%
from sr_course.training.history import read_history, shipped_run
from sr_course.training.log import read_log

folder = shipped_run("srcnn_x4")
logs = {one: [r for r in read_log(one) if r["event"] == "validation"] for one in (shipped_run("srcnn-laptop_x4"), folder)}
short, long = logs.values()
with figure("PSNR against minutes: most comes in the first, then it rises ever more slowly", size=(6, 2.6)) as ax:
    ax.plot([r["minutes"] for r in short], [r["psnr"] for r in short], "o-", ms=3, label="short run, 9-5-5")
    ax.axhline(bicubic_of_4, color="grey", ls="--", label="bicubic, the same 4")
    ax.set(xlabel="minutes on one CPU core, shared with other work", ylabel="PSNR of 4 photographs, dB", xlim=(0, None))
    ax.legend()
for r in (short[0], short[3], short[-1]):
    print(f"short, {r['minutes']:4.1f} minutes, step {r['step']:5,}: {r['psnr']:.2f} dB on 4; bicubic {bicubic_of_4:.2f}")
for r in (long[0], long[3], long[-1]):
    print(f"long, step {r['step']:6,}: {r['psnr']:.2f} dB on 12; bicubic {before.psnr:.2f}")

# %% [markdown]
# 1.2 minutes brought half a decibel, the next ten two tenths more. In the long run 2,000 steps brought more than half a
# decibel, the next 6,000 less than a twentieth, and the last 40,000 a tenth.
#
# What has the first layer learned? In the next cell, eight of its 64 filters, those that changed most.
#
# **Predict.** Will you see edges?

# %%
history = read_history(folder)
first, last = (history.weights(step)["conv1.weight"] for step in (0, history.snapshots[-1]))
moved = (last - first).flatten(1).norm(dim=1) / first.flatten(1).norm(dim=1)
chosen = moved.argsort(descending=True)[:8]


def as_row(filters):
    """Eight filters side by side: grey is zero, white and black the largest weight of each."""
    filters = 0.5 + filters / filters.abs().amax(dim=(1, 2, 3), keepdim=True) / 2
    return images.grid(list(filters[:, None].expand(-1, -1, 3, -1, -1)), columns=8, gap=1)


rows = {"at the start": first[chosen], "at the end": last[chosen], "the change": (last - first)[chosen]}
show({name: as_row(filters) for name, filters in rows.items()}, zoom=8, columns=1,
     alt="Eight filters: noise at the start and at the end; their change is smooth spots and edges")
print(f"half of the filters changed by {100 * moved.median():.1f}% or less, the most by {100 * moved.max():.1f}%")

# %% [markdown]
# The filters look like noise from the first step to the last; their **change** is spots and edges. Bicubic pictures hold
# hardly any fine waves (lesson 1), so nothing pushes against the noise of the start, and it does little harm. Filters
# that begin near zero, as the paper's did, show the learned part alone.
#
# **Task 1.** Move the slider through the training run. The filters are drawn as changes. At which step do you first see
# spots and edges? Do the decibels still rise after it?

# %%
from sr_course.widgets.scrubber import TrainingScrubber

print(", ".join(f"step {step:,}: {history.psnr(step)[0]:.2f} dB" for step in (200, 500, 1000, 48_000)))
TrainingScrubber(folder, change=True, scene=("the dome and towers of a cathedral", "a walled town"))

# %% [markdown]
# <details><summary>Answer</summary>
#
# At step 200 the first cells are tinted evenly; at 500 and 1,000 there are spots and edges. By then the picture has most of
# its gain: 21.10 of 21.23 dB, from 20.71 by bicubic. The validation PSNR rises on while the spots and edges sharpen.
#
# </details>
#
# **Task 2.** Move the divider over the gate tower. Where does SRCNN help most, and where not at all?

# %%
from sr_course.widgets.compare import CompareSlider

CompareSlider(pictures, left="bicubic", right="SRCNN", zoom=2, center=(0.45, 0.55), scene="a gate tower")

# %% [markdown]
# <details><summary>Answer</summary>
#
# It helps at strong edges: the openings, the outline against the sky. It does not help in the carving, whose waves are too
# fine for the small picture. Where nothing is left, there is nothing to sharpen.
#
# </details>
#
# ## Inside: one map at a time
#
# A filter says what a layer looks for. Its **map** says where that was found: one value for each patch. The first layer
# makes 64 maps of the gate tower.
#
# **Predict.** Take the map with the largest values and switch it off. What does the picture lose?

# %%
from sr_course.inspection import ablated, importance, judge, record

maps = record(srcnn, lr, "conv1")  # (64, 360, 336), before the ReLU: any sign
weight, bias = srcnn.conv1.weight.detach(), srcnn.conv1.bias.detach()
by_hand = (enlarged[0, 0, 176:185, 176:185] * weight[0, 0]).sum() + bias[0]
assert torch.isclose(by_hand, maps[0, 180, 180], atol=1e-5)
print(f"map 0 at row 180, column 180: 81 products and a bias make {by_hand:.3f}")

largest = int(maps.square().mean(dim=(1, 2)).argmax())
print(f"largest values: map {largest}, from {maps[largest].min():.2f} to {maps[largest].max():.2f}")
silent = maps.amax(dim=(1, 2)) <= 0  # the ReLU makes them 0 everywhere
at_first = F.conv2d(enlarged, first).amax(dim=(0, 2, 3)) <= 0  # no biases yet
assert (weight.sum(dim=(1, 2, 3))[silent] < 0).all()
print(f"never above 0: {int(at_first.sum())} of 64 maps at the start, {int(silent.sum())} at the end")

# %% [markdown]
# Nothing: map 6 is below 0 everywhere, so the ReLU erases it. On a patch that is nearly even, a map is the brightness times
# the sum of its weights. Where that sum is below 0, the map may never speak. Training has silenced more maps than it found
# silent.
#
# **Task 3.** Press "Rank the channels": each is switched off alone, and the loss is measured on the middle of the picture.
# Which one costs most? Then move "Least important off". How many of the 64 may go before the whole tower loses 0.1 dB? (The
# frame in the photograph is what a pixel of the map sees, counted on the small picture: 9 pixels of the enlarged one, and what
# bicubic took for them.)

# %%
from sr_course.widgets import FeatureExplorer

FeatureExplorer(srcnn, lr, truth=hr, tool="ablation")

# %% [markdown]
# The same from Python:

# %%
ranking = importance(srcnn, lr, "conv1", truth=hr).ranking()  # the most important first


def without(channels):
    with torch.no_grad(), ablated(srcnn, {"conv1": channels}):
        return judge(srcnn(lr), hr)  # PSNR, dB


off = {"none": [], f"map {largest}": [largest], "all silent ones": silent.nonzero().flatten().tolist()}
off |= {f"the last {count}": ranking[-count:] for count in (48, 52, 56, 63)} | {f"map {ranking[0]}": ranking[:1]}
for name, channels in off.items():
    print(f"{name:16}off: {without(channels):5.2f} dB")
assert without(off["all silent ones"]) == without([])
print(f"bicubic: {judge(pictures['bicubic'], hr):.2f} dB")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Map 0 costs 20 dB: it is the picture. With it alone the network is bicubic again. The decibel that SRCNN adds comes from a
# handful of maps that say where the picture should differ. About fifty may go for 0.1 dB.
#
# So one map of this network carries what is known already, and the rest add what is missing. Lesson 3 gives the picture a
# way of its own.
#
# </details>
#
# ## What do width, depth and data buy?
#
# These runs were computed ahead with `tools/sweep_srcnn.py`: 600 steps each, from random weights. Each row differs from
# the first in one thing.
#
# **Predict** the order of the four widths.

# %%
import json

from sr_course.zoo import ZOO, card

sweep = json.loads((ZOO / "runs" / "srcnn_sweep.json").read_text())
recipe = sweep["recipe"]
shown = ("steps", "batch_size", "hr_crop", "learning_rate", "optimizer")
print(", ".join(f"{name} {recipe[name]}" for name in shown))
print("kernels  maps   photographs  seed  numbers    PSNR")
for r in sweep["runs"]:
    kernels, maps = ("-".join(map(str, r[key])) for key in ("kernel_sizes", "channels"))
    row = f"{kernels:7}  {maps:6} {r['photographs']:11}  {r['seed']:4}  {r['parameters']:7,}"
    print(f"{row}  {r['psnr']:6.2f}")
print(f"bicubic {sweep['bicubic']:.2f} dB; {sweep['validation']}")

# %% [markdown]
# The first three rows differ in their seed alone, by 0.03 dB: smaller differences say nothing. Then:
#
# - **Width** bought nothing in 600 steps. 8-4 failed. A ReLU that always gives 0 gets no gradient, so it stays dead, and of
#   four maps all may die. In the paper's long runs width paid: 32.26, 32.52 and 32.60 dB for 32-16, 64-32 and 128-64 (Dong
#   et al. 2016, table 1; Set5 x3).
# - **Kernels**: seeing farther helps. From 9-1-5 to 9-3-5 it is 0.3 dB.
# - **Data**: with one photograph it stays below bicubic on others. Four, 16 or 62: hardly a difference in so few steps.
#
# Small, short experiments find gross faults, not the last tenth.
#
# ## Measure

# %%
rows = results(["nearest", "bicubic", "srcnn"])
for measured in card("srcnn").measured:
    print(f"its card, {measured.data}, {measured.protocol}: {measured.psnr:.2f} dB / {measured.ssim:.4f}")


# %% [markdown]
# On Set5 x4 the published 9-5-5 has 30.48 dB / 0.8628, bicubic 28.42 / 0.8104 (Kim et al. 2016, table 2). Ours reaches
# 30.22 / 0.8556 by its card, with 62 photographs and 48,000 steps of 8 crops. What would close the rest? The authors had
# 395,909 pictures of ImageNet: they gave 32.52 dB, where 91 pictures gave 32.39 (Dong et al. 2016; 9-1-5, Set5 x3). And
# they had patience: 8 · 10⁸ backpropagations, two thousand times our 384,000.
#
# ## Exercises
#
# Replace `...`, run the cell, read what the check says. It gives two hints before the answer.
#
# **2.1 Warm-up.** Write `parameters(kernel_sizes, channels)`: the weights and biases of an SRCNN, say of `(9, 5, 5)` with
# `(64, 32)` maps.

# %%
def parameters(kernel_sizes, channels):
    # solution begins; until then: return ...
    maps = (1, *channels, 1)
    layers = zip(kernel_sizes, maps[:-1], maps[1:], strict=True)
    return sum(size**2 * before * after + after for size, before, after in layers)
    # solution ends


check_parameters(parameters)


# %% [markdown]
# **2.2 Core: the whole network.** Write `forward(luma, layers)`. `luma` is `(N, 1, H, W)`, enlarged already; `layers` holds
# three pairs `(weight, bias)`, for `F.conv2d`. The result has the size of `luma`: before each layer the border is
# repeated, as far as the kernel reaches. `F.pad(x, (left, right, top, bottom), mode="replicate")` does it.

# %%
def forward(luma, layers):
    # solution begins; until then: return ...
    x = luma
    for number, (weight, bias) in enumerate(layers):
        reach = weight.shape[-1] // 2
        x = F.conv2d(F.pad(x, (reach, reach, reach, reach), mode="replicate"), weight, bias)
        if number < 2:
            x = F.relu(x)
    return x
    # solution ends


check_forward(forward)


# %% [markdown]
# **2.3 Core: hunt the bug.** Here is a training step with one mistake. Its loss keeps falling, and the tiger gets worse.
# Look at the numbers, then at the picture, then for the mistake.

# %%
def broken_step(network, optimizer, batch):
    sr = network.sharpen(imresize(batch.lr, 4))
    height, width = sr.shape[-2:]
    loss = (sr - batch.hr[..., :height, :width]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def picture_after(step):
    torch.manual_seed(0)
    network = SRCNN(4, kernel_sizes=(9, 1, 5), channels=(16, 8), he_init=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    return try_out(step, network, optimizer, (1, 50, 200))


# %% tags=["nbval-atol=1.5"]
enlarged_tiger = imresize(small_tiger, 4).clamp(0, 1)
print(f"bicubic: {psnr(enlarged_tiger, tiger).item():.1f} dB")
tigers = {"bicubic": enlarged_tiger, "broken": picture_after(broken_step), "original": tiger}
show({name: one[..., :160, 30:230] for name, one in tigers.items()},
     alt="A tiger's face: soft by bicubic; moved down and to the right by the broken step; the original")


# %%
def mended_step(network, optimizer, batch):
    # solution begins; until then: return ...
    sr = network.sharpen(imresize(batch.lr, 4))
    loss = (sr - centre_crop(batch.hr, sr.shape[-2], sr.shape[-1])).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
    # solution ends


check_step(mended_step)


# %% [markdown]
# **2.4 Stretch: how far does it see?** Write `field(network)`: the side of the square of enlarged pixels on which one
# pixel of `network.sharpen(luma)` depends, for an SRCNN of any kernels. Try it without looking at the kernels: which
# pixels of `luma` get a gradient?

# %%
def field(network):
    # solution begins; until then: return ...
    luma = torch.rand(1, 1, 65, 65, requires_grad=True)
    network.eval().sharpen(luma)[0, 0, 32, 32].backward()
    return int((luma.grad[0, 0] != 0).any(dim=0).sum())
    # solution ends


check_field(field)

# %% [markdown]
# ## True or false?
#
# <details><summary>SRCNN enlarges the picture.</summary>
# False. Bicubic does; SRCNN sharpens what bicubic has enlarged.</details>
#
# <details><summary>Three convolutions without ReLU could do the same.</summary>
# False. They are one convolution of 17 x 17, and treat ripple and edge alike.</details>
#
# <details><summary>When the loss falls, the picture gets better.</summary>
# False. The broken step made a loss fall that compared the wrong pixels.</details>
#
# <details><summary>Filters that look like noise have learned nothing.</summary>
# False. They carry what was learned on top of the noise they began with.</details>
#
# <details><summary>A network with more maps is better.</summary>
# Only if it is trained long enough: in 600 steps 64-32 was no better than 16-8.</details>
#
# <details><summary>The border is a detail.</summary>
# False. Zeros instead of the repeated border cost the kingfisher more than the network had gained.</details>
#
# ## Recap
#
# 1. Three convolutions: what is here, what should be here, which value. ReLU decides.
# 2. SRCNN sharpens the bicubic luma; 9-5-5 has 57,281 numbers and sees 17 x 17 pixels.
# 3. Most of the error is in the luma, so one channel is mended and measured.
# 4. Borders, losses and crops are part of the method: each can cost decibels silently.
# 5. Minutes buy the first half decibel; the tenths after it take data and patience.
#
# **Eight questions**
#
# 1. Why must a convolution be followed by a ReLU before the next one?
# 2. How many weights has a layer of 5 x 5 from 64 maps to 32?
# 3. What is left of a 33 x 33 crop after 9-1-5 without padding?
# 4. Why does SRCNN leave colour to bicubic?
# 5. Up to which distance from the edge do zeros do damage in 9-5-5?
# 6. A paper's learning rate is for sum / 2N. You use the mean over 1,296 pixels. What follows?
# 7. Why did noise remain in the filters?
# 8. Two settings differ by 0.02 dB. What do you do?
#
# The answers stand in `solved/02_srcnn.ipynb`.
#
# **Three readings**
#
# - C. Dong, C. C. Loy, K. He, X. Tang, "Learning a deep convolutional network for image super-resolution", ECCV 2014: the
#   first, 9-1-5.
# - C. Dong, C. C. Loy, K. He, X. Tang, "Image super-resolution using deep convolutional networks", IEEE Transactions on
#   Pattern Analysis and Machine Intelligence 38(2), 295-307, 2016: 9-5-5, and what width, depth and data buy.
# - K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015: why weights should begin larger.

# %% [markdown] tags=["solution"]
# **Answers**
#
# 1. Two convolutions in a row are one; only the ReLU between them makes two layers of them.
# 2. 5 · 5 · 64 · 32 = 51,200, and 32 biases.
# 3. 21 x 21: 33 − 8 − 0 − 4.
# 4. Only an eighth of the error was there, and the eye hardly sees it.
# 5. 8 pixels.
# 6. Your gradients are 648 times smaller: raise the rate, or take an optimiser that does not mind.
# 7. Bicubic pictures hold hardly any fine waves, so no gradient works against it.
# 8. Train both with several seeds before you believe it.
