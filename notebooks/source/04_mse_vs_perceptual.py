# %% [markdown]
# # Lesson 4: MSE against perceptual
#
# Lesson 3 left a riddle: SRGAN looks better and measures worse. Both networks did what they were asked. So look at the
# asking: the **loss**.
#
# **The question:** why does the network with the better number give the worse picture?

# %%
import torch

from sr_course import images
from sr_course.data.shipped import photo
from sr_course.degradations import bicubic_lr
from sr_course.lessons import show
from sr_course.metrics import psnr
from sr_course.zoo import load

wall = images.read(photo("great_wall").path)  # (1, 3, 312, 408), RGB in [0, 1]
pair = {}
for name in ("srresnet", "srgan"):
    with torch.no_grad():
        pair[name] = load(name)(bicubic_lr(wall, 4)).clamp(0, 1)
    print(f"{name:8} {psnr(pair[name], wall).item():.2f} dB")
show({name: one[..., 100:260, 120:320] for name, one in {**pair, "original": wall}.items()}, zoom=1,
     alt="Trees before a wall on a hill: smooth lumps by SRResNet, leaves by SRGAN, leaves in the original")

# %% [markdown]
# The same network, twice. One was asked for near pixels, the other for likely leaves.
#
# | | |
# |:--|:--|
# | **You will** | compute what a loss wants where every right answer is known; sort seven pictures of equal error by eye; follow a shift and a blur through the layers of VGG; ask a loss for its gradient; compare networks that differ in their loss alone; take a distance apart; blend two networks |
# | **You need** | lessons 1 to 3; what a gradient step is |
# | **Time** | 60 to 90 minutes; the cells alone run in under two minutes |
# | **GPU** | not needed |
# | **Photographs** | public domain, CC0 and CC BY: `datasets/CREDITS.md` |
#
# ## Set-up

# %% tags=["nbval-ignore-output"]
# output not compared: it names this machine and the versions on it
import json

from sr_course.data.shipped import photos
from sr_course.features import VGGFeatures
from sr_course.lessons import perceptual, setup, stripes
from sr_course.metrics import PERCEPTUAL_LAYERS, interval, perceptual_distance, ssim, texture_distance
from sr_course.resample import imresize
from sr_course.training.history import Sample
from sr_course.zoo import ZOO

setup()
for name in ("great_wall", "kingfisher", "red_panda", "eiffel_tower"):
    print(photo(name).credit.split(" (")[0])

# %% [markdown]
# ## A toy whose answers are all known
#
# A fence of thin bright wires, seen from afar: one pixel in four is white. It may begin at any of four pixels.
#
# **Predict.** Shrink each of the four by 4. Can the small pictures tell them apart?

# %%
truths = torch.stack([(torch.arange(32) % 4 == start).double() for start in range(4)])  # (4, 32)
small = imresize(truths[:, None, None].expand(-1, 1, 8, -1), 1 / 4)[..., 2:-2]  # without the ends, which are mirrored
for truth, row in zip(truths, small[:, 0, 0], strict=True):
    print(truth[:12].int().tolist(), "becomes", [round(value, 6) for value in row.tolist()])

# %% [markdown]
# All become the same even grey. So here we know *every* right answer, four of them, each as likely. No training, no data:
# what a loss wants can be computed.
#
# **Predict.** You are given the grey. Which 32 pixels have the smallest squared error, on average over the four? We let
# gradient descent look for them, from noise.

# %%
torch.manual_seed(0)
guess = torch.rand(32, dtype=torch.float64)
for _ in range(40):
    guess.requires_grad_()
    loss = (guess - truths).square().mean(dim=0).sum()
    guess = guess.detach() - 0.25 * torch.autograd.grad(loss, guess)[0]  # each step halves the way
print("found:", [round(value, 4) for value in guess[:8].tolist()])
assert (guess - truths.mean(dim=0)).abs().max() < 1e-6

# %% [markdown]
# One even grey, 0.25: the **mean** of the right answers, and none of them. The network did not train too little. *Blur is the
# right answer to the wrong question.*
#
# **Predict.** Many papers take the absolute error, L1, instead. What will it answer: the same grey, a wire, or something
# else?

# %%
guesses = {"grey": torch.full((32,), 0.25).double(), "black": torch.zeros(32).double(), "one of the wires": truths}
print("answer            squared  absolute")
for name, answer in guesses.items():
    apart = answer.reshape(-1, 1, 32) - truths  # every answer against every truth
    print(f"{name:17}{apart.square().mean():8.4f}{apart.abs().mean():10.4f}")

# %% [markdown]
# Black. At each pixel L1 wants the **median**, and three of four truths are black there. The wires are gone; shrunk again,
# the answer does not even fit the small picture. L1 does not blur less, it asks for something else: where one answer is
# likelier than not, L1 gives it, sharply.
#
# A drawn wire is worst by both: by squared error exactly twice as bad as grey, whatever the truths are. It pays for being
# one of them.
#
# Who would ask for a wire? A **discriminator** that has seen all four, and knows what the generator answers. The best one
# says D = p / (p + q): p is how often the picture is a truth, q how often an answer (Goodfellow et al. 2014, prop. 1).
#
# **Predict** D for an answer that is always grey, always the first wire, each wire as often.

# %%
answers = {"always grey": (0, 1), "always the first wire": (1 / 4, 1), "each wire as often": (1 / 4, 1 / 4)}
for name, (p, q) in answers.items():
    print(f"{name:22} D = {p / (p + q):.2f}")

# %% [markdown]
# Grey is found out at once. A wire passes, best when it is not always the same one, and be it the wrong one.
#
# The same from the course's module, for the whole family of errors |guess − truth|ᵖ:

# %%
wires = stripes.phases(stripes.WIRE, length=32)
assert torch.equal(wires, truths)
assert (stripes.best_guess(wires, power=2) - guess).abs().max() < 1e-6
for name, made in {"grey": guesses["grey"][None], "first wire": wires[:1], "each wire": wires}.items():
    verdict = stripes.best_discriminator(wires, made)
    print(f"{name:10} D = {verdict.made[0]:.2f}, loss of D {verdict.loss:.3f}")
print("   p   best guess")
for power in (1, 1.2, 1.5, 2, 4, 20):
    found, closed = stripes.best_guess(wires, power)[0].item(), stripes.best_grey(1 / 4, power)
    assert abs(found - closed) < 1e-6  # 1 / (1 + 3 ** (1 / (p - 1)))
    print(f"{power:4}   {found:.3f}")

# %% [markdown]
# Median, mean, and towards the middle of the extremes: every power has its own grey, and none has wires. No error that is
# counted pixel by pixel has them. We must compare something other than pixels.
#
# ## Seven errors of one size
#
# Here is a kingfisher, spoiled in seven ways. The squared error is the same in all, to a millionth: 27 dB.
#
# **Predict.** Sort A to G: which is nearest to the original, which is farthest? Write it down.

# %%
from sr_course.lessons.distortions import DISTORTIONS, to_mse

bird = images.read(photo("kingfisher").path)[..., 60:220, 90:250]
spoiled = dict(zip("ABCDEFG", (to_mse(bird, name, 0.002) for name in DISTORTIONS), strict=True))
for one in spoiled.values():
    assert abs(one.mse - 0.002) < 1e-8
show({"original": bird, **{letter: one.picture for letter, one in spoiled.items()}}, zoom=1, columns=4,
     alt="A kingfisher eight times: the original, moved, noisy, soft, pale, bright, blocky, and with a strange texture")

# %% [markdown]
# Now ask the metrics. The **VGG distance** looks with a network that has learned to name things: at every place of five of
# its layers stands a vector of features; each is brought to length 1, and the squared distance to the truth's is averaged
# (exercise 4.2). As a control, the same with a network of random weights.
#
# **Predict.** What will training have added: which of the seven will VGG move up, and which down, against the random one?

# %% tags=["nbval-rtol=0.02"]
networks = {name: VGGFeatures(PERCEPTUAL_LAYERS, name) for name in ("vgg16", "random")}
rows = []
for letter, one in spoiled.items():
    far = [perceptual_distance(one.picture, bird, features=network).item() for network in networks.values()]
    rows.append((far[0], f"{letter} {one.name:14}{one.mse:.4f}  {ssim(one.picture, bird).item():.3f}"
                         f"  {far[0]:.3f}  {far[1]:.4f}"))
print("                 MSE     SSIM   VGG    random")
for _, row in sorted(rows):
    print(row)

# %% [markdown]
# MSE sees no difference. SSIM has no good word for the shift: it places it beside JPEG, and below the false texture. VGG
# parts them in two: light, contrast and shift cost next to nothing, all that harms feathers nearly eight times the shift or
# more. The random network has the tendency, but its worst is not four times its best.
#
# Is that VGG's training, or would any stack of convolutions do? A clean test: move a picture by one pixel, or blur it with
# sigma 2. Nobody sees the first.

# %% tags=["nbval-rtol=0.02"]
from sr_course.lessons.distortions import blur

far = {name: {"shift": 0.0, "blur": 0.0} for name in ("squared error", *networks)}
for one in photos("test"):
    whole = images.centre_crop(images.read(one.path), 128, 129)
    hr = whole[..., :128]
    for kind, picture in {"shift": whole[..., 1:], "blur": blur(whole, 2 / 8)[..., :128]}.items():  # 1 is sigma 8
        far["squared error"][kind] += (picture - hr).square().mean().item() / 12
        for name, network in networks.items():
            far[name][kind] += perceptual_distance(picture, hr, features=network).item() / 12
for name, kinds in far.items():
    print(f"{name:14} shift {kinds['shift']:.4f}, blur {kinds['blur']:.4f}, ratio {kinds['blur'] / kinds['shift']:.1f}")
assert far["vgg16"]["blur"] > 6 * far["vgg16"]["shift"]
assert far["random"]["blur"] < 2 * far["random"]["shift"]

# %% [markdown]
# By squared error the shift is the worse one. To random features the blur is somewhat farther; to trained ones, many times.
# **That is what training adds:** VGG had to name birds wherever they sat, and to name them it needed feathers.
#
# But in which layer? VGG halves its maps four times: **max pooling** keeps the largest of each 2 x 2. Here is a hair in a row
# of eight pixels, moved by one, or blurred.
#
# **Predict.** Which of the two is farther from the hair by squared error? And after pooling by twos?

# %%
hairs = {"sharp": [0, 0, 9, 0, 0, 0, 0, 0], "moved": [0, 0, 0, 9, 0, 0, 0, 0], "blurred": [0, 3, 3, 3, 0, 0, 0, 0]}
hairs = {name: torch.tensor([row]) for name, row in hairs.items()}
pooled = {name: row.reshape(4, 2).amax(dim=1) for name, row in hairs.items()}
assert torch.equal(pooled["blurred"], torch.nn.functional.max_pool1d(hairs["blurred"].float(), 2)[0].int())
for name in ("moved", "blurred"):
    off = [(rows[name] - rows["sharp"]).square().sum().item() for rows in (hairs, pooled)]
    print(f"{name:8} by {off[0]:3}, after pooling by {off[1]:2}; it is {pooled[name].tolist()}")

# %% [markdown]
# Pooling forgives the shift and keeps the blur. Not always: from the fourth pixel to the fifth the hair would have changed
# pairs. So each pooling forgives some shifts, and four forgive most.
#
# **Task 1.** The maps of the panda's face: shifted by one pixel on the left, blurred on the right. Begin with `conv1_1` and go
# down the tree, always to the first layer after a pooling: `conv2_1`, `conv3_1`. Where do you first find maps that are blue
# nearly everywhere on the left, and orange on the right?

# %%
from sr_course.widgets import FeatureExplorer

whole = images.read(photo("red_panda").path)[..., 100:228, 60:189]
faces = {"sharp": whole[..., :128], "shifted": whole[..., 1:], "blurred": blur(whole, 2 / 8)[..., :128]}
FeatureExplorer(networks["vgg16"], {name: faces[name] for name in ("shifted", "blurred")}, layer="conv3_1",
                order="difference")

# %% [markdown]
# **Predict.** The shifted face is farther from the sharp one in pixels. In which layer is the blurred one farther for the
# first time? And with random weights?

# %%
from sr_course.features import tap

layers = [f"conv{place}" for place in ("1_1", "1_2", "2_1", "2_2", "3_1", "3_3", "4_1", "4_3", "5_1", "5_3")]
ratios = {}
for network in networks.values():
    answers = {}
    for kind, face in faces.items():
        with tap(network, layers) as seen:
            network(face)
        answers[kind] = seen
    for layer in layers:
        sharp, *others = (answers[kind][layer] for kind in faces)
        shift, soft = (100 * ((one - sharp).square().mean() / sharp.square().mean()).item() for one in others)
        ratios.setdefault(layer, []).append((shift, soft, soft / shift))

# %% tags=["nbval-rtol=0.02", "nbval-atol=0.02"]
print("squared error, % of the features' own squares\n" + " " * 9 + "   shift    blur   ratio" * 2)
for layer, both in ratios.items():
    print(f"{layer:9}" + "".join(f"{shift:8.2f}{soft:8.2f}{ratio:8.1f}" for shift, soft, ratio in both))
for before, after in (("conv1_2", "conv2_1"), ("conv2_2", "conv3_1"), ("conv3_3", "conv4_1"), ("conv4_3", "conv5_1")):
    assert all(two[2] > 1.1 * one[2] for one, two in zip(ratios[before], ratios[after], strict=True))

# %% [markdown]
# <details><summary>Answer</summary>
#
# By eye the halves part in `conv3_1`: maps 184, 109 and 162 speak of the opposite. In figures, trained weights in the left
# three columns, the blur is the farther one from `conv1_2` on, with random weights from `conv2_1` on. The ratio climbs at every
# pooling, in both.
#
# </details>
#
# Now follow each column down. The shift gets cheaper in both networks, to a fifth with random weights, to a fiftieth with
# trained ones. The blur costs about the same all the way with random weights, and three times as much in the end with trained
# ones. So pooling begins to forgive, for nothing. Training forgives ten times more, and only training minds the blur.
#
# **Task 2.** Sort another picture, and see how well each metric agrees with you. At which error do you lose to VGG?

# %%
from sr_course.widgets import EqualError

EqualError(images.read(photo("red_panda").path)[..., 100:260, 60:220], scene="a red panda's face")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Your order is your own. Most people put brightness and contrast first: a paler panda is a panda. Noise and blocks stand far
# down. A shift nobody sees at all, if the original is not beside it.
#
# </details>
#
# ## Ask the loss
#
# A loss can be asked. Its gradient at a picture says, for every pixel: darker or lighter, and how urgently. Here is bicubic
# fur. Grey: leave it. Lighter or darker than grey: the loss wants the pixel so.
#
# **Predict.** What does the map of MSE look like? And that of VGG's layer 5_3, which has seen 196 pixels around each place?

# %%
from sr_course.lessons.descent import descend, loss_gradient

fur = images.read(photo("red_panda").path)[..., 128:224, 96:192]
start = imresize(bicubic_lr(fur, 4), 4).clamp(0, 1)  # bicubic
maps = {}
for name in ("mse", "l1", "relu2_2", "relu5_3"):
    wanted = -loss_gradient(name, start, fur)
    maps[name] = (0.5 + wanted / wanted.abs().quantile(0.98) / 2).clamp(0, 1)
show({"bicubic": start, "original": fur, **maps}, zoom=2, columns=3,
     alt="Fur, and four maps: the missing detail by MSE, its sign alone by L1, edges by relu2_2, woven noise by relu5_3")

# %% [markdown]
# MSE shows the missing detail itself: its gradient is the difference, times a number. L1 keeps only the sign: a faint error
# pulls as hard as a gross one. Layer 2_2 pulls at edges and hairs. The map of 5_3 resembles no detail of the picture.
#
# Now follow: no network to train, the pixels alone move from bicubic to where each loss is small. This is cheating, for the
# loss knows the truth. But it shows what each loss *can* tell.
#
# **Predict.** Which of them comes back to the original?

# %% tags=["nbval-atol=0.5"]
ends = {"bicubic": start}
for name in ("mse", "relu2_2", "relu5_3"):
    path = descend(start, fur, {name: 1.0}, steps=40, step_size=0.02)
    first, last = path.moments[0], path.moments[-1]
    ends[name] = path.picture
    print(f"{name:8} the loss falls to {100 * last.loss / first.loss:5.1f}%; PSNR {first.psnr:.1f} to {last.psnr:.1f} dB")
show({**ends, "original": fur}, zoom=2, columns=3,
     alt="Fur: MSE and relu2_2 look like the original; relu5_3 covers it with a woven, coloured pattern")

# %% [markdown]
# MSE comes back: with the truth at hand there is no doubt, so no blur. In training there is doubt, and then it averages. Layer
# 2_2 comes back too, in other pixels: 3 dB better, where MSE gained nearly 22. Layer 5_3 is served as well, its loss falls to a few
# hundredths, by a woven pattern that is 5 dB *worse* than bicubic. It has forgotten too much: *a deep loss alone leaves the
# pixels free.*
#
# **Task 3.** Choose the feature relu5_3 and the corner "feature" of the triangle, and descend. Then pull the mixture towards
# "pixel", and towards "adversarial". Find a mixture with a small loss and no pattern.

# %%
from sr_course.widgets import LossLab

LossLab(images.read(photo("red_panda").path)[..., 80:272, 60:252], loss="relu5_3", feature="relu5_3", weights=(0, 1, 0),
        scene="a red panda's face")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Feature alone weaves a pattern. A share of pixel takes it away, and the more of it, the nearer to the truth. Adversarial
# alone knows no truth: it draws texture of other photographs.
#
# </details>
#
# ## What networks learn
#
# Here the truth is not at hand, and doubt is back. Five small SRResNets of the course, from the *same* weights, for the same
# 800 steps on the same crops. Only the loss differs.
#
# **Predict.** Which has the best PSNR? Which the worst? Which looks best?

# %%
runs = {"MSE": "srresnet-s-mse", "L1": "srresnet-s-l1", "VGG 2_2": "srresnet-s-vgg22", "VGG 5_3": "srresnet-s-vgg53",
        "VGG + adversary": "srgan-s"}
panda = images.read(photo("red_panda").path)
for label, name in runs.items():
    recipe = json.loads((ZOO / "runs" / f"{name}_x4" / "recipe.json").read_text())
    print(f"{label:16} {recipe['steps']} steps from {recipe['start']}:",
          ", ".join(f"{term['weight']:g} {term['name']}" for term in recipe["losses"]))
with torch.no_grad():
    made = {label: load(name)(bicubic_lr(panda, 4)).clamp(0, 1) for label, name in runs.items()}
show({label: one[..., 110:260, 70:270] for label, one in {**made, "original": panda}.items()}, zoom=1, columns=3,
     alt="A panda's face: soft by MSE and L1 alike, crisper under a fine grid by VGG 2_2, pale under a grid by VGG 5_3, crisper with a faint grid by VGG and adversary")

# %% [markdown]
# MSE and L1 cannot be told apart. VGG 2_2 has crisper fur, and a fine grid over it; VGG 5_3 a grid and paler colours, as in the
# descent: nothing holds the pixels. The adversary shows the grid least of the three, and some hairs. Small networks and 800
# steps are not SRGAN; but the *direction* is the loss's.
#
# ## Measure
#
# **Predict.** The pair at the top, on twelve photographs: SRResNet has the better PSNR. Surely SRGAN has the smaller VGG
# distance?

# %%
plane = json.loads((ZOO / "runs" / "plane_x4.json").read_text())  # measured ahead with tools/measure_plane.py


def figures(method, key):
    """One figure for each of the 12 test photographs; where there is one for each layer, their mean."""
    values = torch.tensor(plane["methods"][method][key])
    return values if values.ndim == 1 else values.mean(dim=1)


keys = ("psnr", "ssim", "perceptual", "texture", "structure", "niqe")
print("                     PSNR   SSIM    VGG  texture  structure  NIQE")
for method in plane["methods"]:
    p, s, v, t, u, n = (figures(method, key).mean() for key in keys)
    print(f"{method:18} {p:6.2f}  {s:.4f}  {v:.3f}  {t:.3f}    {u:.3f}     {n:5.2f}")
print("\nSRResNet less SRGAN, mean of the differences and interval:")
for key in ("psnr", "perceptual", "texture", "structure", "niqe"):
    better = figures("srresnet", key) - figures("srgan", key)
    low, high = interval(better)
    print(f"{key:10} {better.mean():7.3f}  [{low:.3f}, {high:.3f}]; {int((better > 0).sum())} of 12 above 0")

# %% [markdown]
# PSNR: 2 dB for SRResNet, beyond doubt. The VGG distance: *nothing*, the interval holds 0. We had expected a difference. So
# here is every layer, and four ways to compare features: their directions (the VGG distance), their
# squared error, and two halves of a published measure, DISTS (Ding et al. 2020), without its fitted weights: **texture**,
# how strong each feature is over the whole picture; **structure**, whether it rises and falls at the same places.

# %%
print("SRResNet less SRGAN: above 0, SRGAN is nearer. A star: the interval leaves out 0.")
print("layer      perceptual     squared     texture   structure")
for number, layer in enumerate(plane["layers"]):
    row = ""
    for key in ("perceptual", "squared", "texture", "structure"):
        ours, theirs = (torch.tensor(plane["methods"][name][key])[:, number] for name in ("srresnet", "srgan"))
        low, high = interval(ours - theirs)
        row += f"{(ours - theirs).mean():+11.3f}{'*' if low * high > 0 else ' '}"
    print(f"{layer:9}{row}")
ours, theirs = (torch.tensor(plane["methods"][name]["perceptual"])[:, 3] for name in ("srresnet", "srgan"))
photograph, apart = min(zip(plane["photographs"], (ours - theirs).tolist(), strict=True), key=lambda one: one[1])
print(f"relu4_3, perceptual: SRGAN is farthest behind on {photograph}, {apart:+.2f}")


# %% [markdown]
# Read it from top to bottom. To the first layers SRGAN is *farther*: its leaves lie elsewhere, and early features are edges
# at places. To the last it is nearer: "leaves here". The mean of five layers adds the two up to nothing. **Even a trained
# network's distance is a distance: it punishes texture in the wrong place.** Structure, which asks for the place, turns in
# the same way. Texture does not: wherever it may lie, SRGAN's is nearer in every layer.
#
# One photograph makes the deep layers of the first column doubtful, the Eiffel tower. SRGAN left a blotch and a faint grid in
# its even sky (lesson 5 shows them). Features are faint there, but once each is brought to length 1, a place in the sky
# counts as much as one on the tower. The squared error, which leaves lengths alone, has no such doubt.
#
# And the five? Each loss wins its own game: MSE and L1 in PSNR, VGG 2_2 in the VGG distance, where it shares the first place
# with the adversary. But by NIQE its grid is the least natural of all, worse than bicubic. *What you measure by must not be
# what you trained on.*
#
# By hand, on the wall:

# %%
def texture(sr, hr):
    x, y = networks["vgg16"](sr), networks["vgg16"](hr)
    alike = []
    for layer in PERCEPTUAL_LAYERS:
        a, b = x[layer].mean(dim=(2, 3)), y[layer].mean(dim=(2, 3))  # how strong each feature is: (1, C)
        alike.append(((2 * a * b + 1e-6) / (a**2 + b**2 + 1e-6)).mean())
    return 1 - torch.stack(alike).mean()


hr = wall[..., 100:260, 120:320]
cut = {**{name: one[..., 100:260, 120:320] for name, one in pair.items()}, "mirrored": hr.flip(3)}
for name, one in cut.items():
    by_hand = texture(one, hr)
    assert torch.isclose(by_hand, texture_distance(one, hr)[0], atol=1e-5)
    print(f"{name:9} texture {by_hand:.3f}, VGG {perceptual_distance(one, hr).item():.3f}, {psnr(one, hr).item():5.2f} dB")

# %% [markdown]
# The mirrored truth has the best texture and is nowhere near. So no number will do: **one axis for how near, one for how
# real**. Blau and Michaeli (2018) proved that beyond a point lower distortion *costs* likeness to photographs. Their second
# axis asks for no truth. NIQE asks for none either: it knows the statistics of photographs, and not this one. By NIQE SRGAN
# is the more natural on all twelve. How far may NIQE be trusted?

# %%
from sr_course.naturalness import niqe

print("of the 12 photographs, more natural in blocks of 2 x 2 than as they are:")
for one in photos("test"):
    whole = images.read(one.path)
    blocky = imresize(whole, 1 / 2).clamp(0, 1).repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)
    natural, in_blocks = niqe(whole).item(), niqe(blocky).item()
    if in_blocks < natural:
        print(f"{one.name}: NIQE {natural:.2f}, in blocks {in_blocks:.2f}")

# %% [markdown]
# Not blindly: the Eiffel Tower in blocks it takes for more natural than the photograph itself.
#
# **Task 4.** Click through the plane. Which points are beaten in both axes? Select the pair, and blend.

# %%
from sr_course.widgets import PerceptionDistortion, PlanePoint
from sr_course.widgets.perception_distortion import NIQE_DISTANCE

top, left = 96, 112
view = Sample(lr=bicubic_lr(wall, 4)[..., top // 4 : top // 4 + 48, left // 4 : left // 4 + 72],
              hr=wall[..., top : top + 192, left : left + 288])
points = []
for method in plane["methods"]:
    across, up = figures(method, "psnr"), figures(method, "niqe")
    points.append(PlanePoint(name=method, psnr=across.mean().item(), perceptual=up.mean().item(), network=load(method),
                             psnr_interval=interval(across), perceptual_interval=interval(up)))
PerceptionDistortion(points, [view], distance=NIQE_DISTANCE, scene=["trees before a wall on a hill"])

# %% [markdown]
# <details><summary>Answer</summary>
#
# Bicubic is beaten in both by SRResNet and by SRResNet-S, VGG 2_2 and VGG 5_3 are by SRGAN-S. What nothing beats in both:
# SRResNet and SRGAN, each better in one, and SRGAN-S between them. Blends lie between their ends.
#
# </details>
#
# ## Between two networks
#
# SRGAN began as SRResNet, so their weights still mean the same. Then one may blend them, weight by weight (Wang et al. 2018,
# sec. 3.4): (1 − α) · SRResNet + α · SRGAN.
#
# **Predict.** At α = 0.5: half the leaves? And will blending the two *pictures* do the same?

# %%
from sr_course.widgets import InterpolationSlider

small_view = Sample(lr=view.lr[..., :40, :50], hr=view.hr[..., :160, :200])
InterpolationSlider(load("srresnet"), load("srgan"), small_view, names=("SRResNet", "SRGAN"),
                    scene="trees before a wall on a hill")


# %% [markdown]
# <details><summary>Answer</summary>
#
# Blended in weights, leaves come late: up to α = 0.5 little changes, then much. Blended as pictures, the leaves are there at
# once, half transparent. Set both to the same PSNR, and say which you would print. Wang et al. preferred the weights.
#
# </details>
#
# ## Exercises
#
# Replace `...`, run the cell, read what the check says. It gives two hints before the answer.
#
# **4.1 Warm-up.** Write `guesses(truths)`: from `(K, pixels)`, K right answers and each as likely, a pair: the guess with the
# smallest squared error, and the one with the smallest absolute error. K is odd.

# %%
def guesses(truths):
    # solution begins; until then: return ...
    return truths.mean(dim=0), truths.median(dim=0).values
    # solution ends


perceptual.check_guesses(guesses)


# %% [markdown]
# **4.2 Core: directions.** Write `directions(found, wanted)`, the VGG distance of one layer: features `(N, C, h, w)`, which
# may be 0 at a place, to one distance for each picture, `(N,)`.

# %%
def directions(found, wanted):
    # solution begins; until then: return ...
    x, y = (torch.nn.functional.normalize(one, dim=1) for one in (found, wanted))
    return (x - y).square().sum(dim=1).mean(dim=(1, 2))
    # solution ends


perceptual.check_directions(directions)


# %% [markdown]
# **4.3 Core: descend.** Write `descend_by_hand(picture, loss, steps, step_size)`: plain gradient descent on the pixels. After
# each step the levels are cut to [0, 1]; the picture that was given stays as it is. `loss` takes a picture.

# %%
def descend_by_hand(picture, loss, steps, step_size):
    # solution begins; until then: return ...
    pixels = picture.clone()
    for _ in range(steps):
        pixels.requires_grad_()
        slope = torch.autograd.grad(loss(pixels), pixels)[0]
        pixels = (pixels.detach() - step_size * slope).clamp(0, 1)
    return pixels
    # solution ends


perceptual.check_descend(descend_by_hand)


# %% [markdown]
# **4.4 Stretch: blend.** Write `mix(first, second, alpha)` for two state dictionaries. Counts, which are whole numbers, stay
# those of the first. Then blend the state dictionaries of `srresnet` and `srgan`: does the PSNR fall along a straight line?

# %%
def mix(first, second, alpha):
    # solution begins; until then: return ...
    return {
        name: torch.lerp(one, second[name], alpha) if one.is_floating_point() else one.clone()
        for name, one in first.items()
    }
    # solution ends


perceptual.check_mix(mix)

# %% [markdown]
# ## True or false?
#
# <details><summary>Training longer takes the blur away.</summary>
# False. In the toy grey is the exact minimum; a longer way leads there more surely.</details>
#
# <details><summary>L1 gives sharper pictures than MSE because it punishes large errors less.</summary>
# It asks for the median. Where one answer is likelier than not, that is sharp; the rest is lost.</details>
#
# <details><summary>Two pictures with the same PSNR are equally good.</summary>
# False: seven kingfishers had the same to a millionth.</details>
#
# <details><summary>A perceptual loss measures what people see.</summary>
# False. It measures what a network that names things sees; nobody asked a person.</details>
#
# <details><summary>The VGG distance prefers SRGAN.</summary>
# Not on these photographs: deep layers do, early ones do not, and their mean is a draw.</details>
#
# <details><summary>Any two networks of one architecture can be blended.</summary>
# False. Only where one was trained on from the other do their maps mean the same.</details>
#
# ## Recap
#
# 1. A pixel loss wants a middle of all that could be: MSE the mean, L1 the median.
# 2. A discriminator wants one of them, and does not ask which.
# 3. Trained features forgive a shift and punish a blur; deep ones alone leave the pixels free.
# 4. A distance of features still punishes texture in the wrong place; texture and structure are two questions.
# 5. How near and how real are two axes; blending weights moves between them.
#
# **Eight questions**
#
# 1. What has the smallest squared error, when two answers are possible, one twice as likely as the other?
# 2. And the smallest absolute error?
# 3. By how much is a drawn answer worse than the mean, in squared error?
# 4. Why does the best discriminator say 0 to grey?
# 5. What does the control with random weights tell?
# 6. Why is the gradient of MSE a picture of what is missing?
# 7. Why may a VGG distance call SRResNet and SRGAN equal?
# 8. What does NIQE not know?
#
# The answers stand in `solved/04_mse_vs_perceptual.ipynb`.
#
# **Three readings**
#
# - J. Johnson, A. Alahi, L. Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution", ECCV 2016: the
#   loss, and pictures of what each layer keeps.
# - R. Zhang and others, "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018: LPIPS, and
#   what people said to 484,000 choices.
# - Y. Blau, T. Michaeli, "The perception-distortion tradeoff", CVPR 2018: why one cannot have both.

# %% [markdown] tags=["solution"]
# **Answers**
#
# 1. Their mean, weighted: two thirds of the one, one third of the other.
# 2. The likelier one.
# 3. It is twice as bad, whatever the answers are.
# 4. No truth is grey: p is 0.
# 5. What comes of the form of the network, and so what its training adds.
# 6. It is the difference of the pictures, times 2 over the number of values.
# 7. Early layers ask for edges at their places, deep ones for what is there; the mean of the layers adds both up.
# 8. What the picture should show.
