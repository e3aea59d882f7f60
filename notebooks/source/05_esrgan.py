# %% [markdown]
# # Lesson 5: ESRGAN
#
# SRGAN draws leaves and fur, and it leaves marks. In 2018 Wang and others changed five things at once, called it ESRGAN, and
# won a competition with it.
#
# **The question:** what is each of the five worth, and how would one know?

# %%
import torch

from sr_course import images
from sr_course.data.shipped import photo
from sr_course.degradations import bicubic_lr
from sr_course.lessons import show
from sr_course.zoo import load

sky = images.read(photo("eiffel_tower").path)[..., :160, :208]  # (1, 3, 160, 208), RGB in [0, 1]
small_sky = bicubic_lr(sky, 4)
with torch.no_grad():
    skies = {name: load(name)(small_sky).clamp(0, 1) for name in ("srresnet", "srgan")}
show({**skies, "original": sky}, zoom=1,
     alt="The top of the Eiffel Tower: SRGAN puts a dark, red and green blotch at the left edge of the sky, and a fine grid")

# %% [markdown]
# The iron is crisp. But at the left edge of the sky stands a thing that nobody photographed, and a grid lies over the rest.
#
# | | |
# |:--|:--|
# | **You will** | find out whether batch norm is guilty; count zeros in VGG; build the RRDB by hand and count its numbers; compute who is pulled by a relativistic loss; predict five ablations; blend two networks; find the pixels that made a patch; enlarge your own photograph and see why that fails |
# | **You need** | lessons 3 and 4 |
# | **Time** | 60 to 90 minutes; the cells alone run in under two minutes |
# | **GPU** | not needed |
# | **Photographs** | public domain, CC0 and CC BY: `datasets/CREDITS.md` |
#
# ## Set-up

# %% tags=["nbval-ignore-output"]
# output not compared: it names this machine and the versions on it
from functools import lru_cache

import torch.nn.functional as F

from sr_course.data.shipped import photos
from sr_course.features import VGGFeatures
from sr_course.lessons import esrgan, setup
from sr_course.metrics import MATLAB_Y, PERCEPTUAL_LAYERS, interval, perceptual_distance, psnr, texture_distance
from sr_course.training.history import Sample, read_history, shipped_run

setup()
for name in ("eiffel_tower", "red_panda", "kingfisher", "great_wall"):
    print(photo(name).credit.split(" (")[0])

# %% [markdown]
# ## What SRGAN leaves behind
#
# **Tweak 1: no batch norm.** In evaluation batch norm takes running means of the training crops, and an even sky is unlike
# most crops. Is that the trouble? Test it: let every layer take the mean and variance of *this* picture.
#
# **Predict.** Which goes: the blotch, the grid, both, neither?

# %% tags=["nbval-rtol=0.05"]
fresh = load("srgan").train()  # in training mode batch norm takes the statistics of what it is given
with torch.no_grad():
    skies["srgan, own statistics"] = fresh(small_sky).clamp(0, 1)
    skies["srgan-s"] = load("srgan-s")(small_sky).clamp(0, 1)
print("levels of 255          left edge too bright by   spread of the rest")
for name, one in {**skies, "original": sky}.items():
    edge = 255 * (one - sky)[..., 20:84, :4].mean()
    spread = 255 * one[..., 20:84, 40:120].std(dim=(2, 3)).mean()
    print(f"{name:22}{edge:24.1f}{spread:21.1f}")
part = {name: one[..., 20:84, :96] for name, one in {**skies, "original": sky}.items()}
stretched = {name: (0.5 + 6 * (one - one.mean(dim=(2, 3), keepdim=True))).clamp(0, 1) for name, one in part.items()}
show(stretched, zoom=2, columns=3,
     alt="Sky, contrast times six: SRGAN has a blotch; with its own statistics a weave all over; SRGAN-S only a faint grid")

# %% [markdown]
# The blotch goes: 91 levels become 3. And a weave comes all over the sky, its spread 18 where the truth has 4: this crop is no
# training batch either. But batch norm is not guilty alone. SRResNet has the very same layers, and an even sky. And SRGAN-S of
# lesson 3, without batch norm, has no blotch but a faint grid, the adversary's own. Wang et al. (2018, sec. 3.1) say it with
# the same care: batch norm makes artefacts when the network is deep and trained as a GAN.
#
# **Tweak 2: features before the activation.** SRGAN compares features of VGG after their ReLU.
#
# **Predict.** How many of these features are zero on the panda, in an early layer and in the deepest?

# %%
panda = images.read(photo("red_panda").path)
vgg = VGGFeatures([f"{step}{place}" for place in ("1_2", "2_2", "3_3", "4_3", "5_3") for step in ("conv", "relu")])
for name, values in vgg(panda).items():
    zeros = 100 * (values == 0).float().mean()
    silent = int((values.amax(dim=(0, 2, 3)) == 0).sum())
    print(f"{name}: {zeros:3.0f}% zeros, {silent:2} of {values.shape[1]} channels zero everywhere")

# %% [markdown]
# In the deepest layer more than nine of ten say nothing, and where a feature is zero in the result, no gradient goes back
# through it. Before the ReLU every feature has a value, and pulls. (VGG19 goes one convolution deeper than our VGG16: the
# paper takes its conv5_4.)
#
# ## The RRDB by hand
#
# **Tweak 3: another block.** A **dense block** has five convolutions of 3 x 3. Each is given *all* that came before it. With
# 64 channels and a growth of 32:
#
# ```
# conv1   64 -> 32        conv4   64 + 96  -> 32
# conv2   64 + 32 -> 32   conv5   64 + 128 -> 64, times 0.2, added to what came in
# conv3   64 + 64 -> 32
# ```
#
# Three of them in a row, times 0.2, plus what came in, are one **residual-in-residual dense block**, RRDB. ESRGAN has 23.
#
# **Predict,** with a pencil: how many weights and biases has conv1? And the whole network, about?

# %%
from sr_course.models.esrgan import RRDB, DenseBlock, RRDBNet


def conv(given, made):
    return 9 * given * made + made  # weights of 3 x 3, and a bias for each map


dense = sum(conv(64 + 32 * k, 32) for k in range(4)) + conv(64 + 32 * 4, 64)
blocks = 23 * 3 * dense
around = conv(3, 64) + 4 * conv(64, 64) + conv(64, 3)  # first; after the blocks, twice up, one more; last
full = RRDBNet()
assert dense == sum(weight.numel() for weight in DenseBlock(64, 32).parameters())
assert blocks + around == sum(weight.numel() for weight in full.parameters()) == 16_697_987
print(f"conv1 {conv(64, 32):,}; a dense block {dense:,}; 69 of them {blocks:,}; the rest {around:,}")
print(f"RRDBNet {blocks + around:,}; SRResNet {sum(weight.numel() for weight in load('srresnet').parameters()):,}")


# %% [markdown]
# Eleven times SRResNet. Now write it, and hold it against the module:

# %%
def dense_block(x, block):
    maps = [x]
    for layer in (block.conv1, block.conv2, block.conv3, block.conv4):
        maps.append(F.leaky_relu(layer(torch.cat(maps, dim=1)), 0.2))
    return x + 0.2 * block.conv5(torch.cat(maps, dim=1))


def rrdb(x, block):
    return x + 0.2 * dense_block(dense_block(dense_block(x, block.rdb1), block.rdb2), block.rdb3)


torch.manual_seed(0)
one, x = RRDB(64, 32), torch.randn(1, 64, 12, 12)
with torch.no_grad():
    assert torch.allclose(rrdb(x, one), one(x), atol=1e-6)  # equal to the module

# %% [markdown]
# Why times 0.2? A fresh dense block hardly changes anything: its convolutions begin with a tenth of the usual weights. So
# the three hand on x, and the RRDB gives x + 0.2 x.
#
# **Predict.** By which factor do features grow through 23 fresh RRDBs? And with a plain skip, without the 0.2?

# %% tags=["nbval-rtol=0.02"]
with torch.no_grad():
    print(f"23 RRDBs: {full.body(x).std() / x.std():.1f}; 1.2 ** 23 = {1.2**23:.1f}; 2 ** 23 = {2**23:,}")

# %% [markdown]
# 66 can be lived with; eight million not. Batch norm kept SRResNet's features in bounds. Without it, **residual scaling** and
# small first weights do.
#
# ## Relativistic average
#
# **Tweak 4: another question for D.** SRGAN's D says: is this real? ESRGAN's D says: is this more real *than the average of
# the others* (Jolicoeur-Martineau 2018)? With logits x of photographs and y of made pictures:
#
# ```
# D minimises   mean of −log σ(x − mean y)        +  mean of −log(1 − σ(y − mean x))
# G minimises   mean of −log(1 − σ(x − mean y))   +  mean of −log σ(y − mean x)
# ```
#
# **Predict,** with a pencil: x is 2 and 0, y is −1 and 1. Which four numbers go into σ? Which picture fools D?

# %%
x = torch.tensor([[2.0], [0.0]], requires_grad=True)
y = torch.tensor([[-1.0], [1.0]], requires_grad=True)
ahead, behind = x - y.mean(), y - x.mean()
print("x − mean y:", ahead.flatten().tolist(), "; y − mean x:", behind.flatten().tolist())
of_d = F.softplus(-ahead).mean() + F.softplus(behind).mean()  # softplus(−x) is −log σ(x)
of_g = F.softplus(ahead).mean() + F.softplus(-behind).mean()
print(f"loss of D {of_d.item():.3f}, of G {of_g.item():.3f}")

# %% [markdown]
# The second made picture passes for real: its 1 is above the second photograph's 0, yet no more than the photographs' mean.
# Add 5 to all four logits: nothing changes.
#
# **Predict.** Who is pulled, and how hard? SRGAN's G pulls a picture up the less, the more real D finds it. And here?

# %%
from sr_course.losses import AdversarialLoss

for kind in ("vanilla", "relativistic"):
    loss = AdversarialLoss(kind)
    d, g = sum(loss.discriminator(x, y).values()), loss.generator(y, x)
    pulls = [-torch.autograd.grad(d, x)[0], -torch.autograd.grad(g, y, retain_graph=True)[0]]
    d_real, g_made = (" ".join(f"{value:+.2f}" for value in one.flatten().tolist()) for one in pulls)
    print(f"{kind:13} D pulls the photographs by {d_real}; G the made pictures by {g_made}")
assert torch.isclose(d, of_d) and torch.isclose(g, of_g)
own = (1 - torch.sigmoid(behind)) / 2  # from −log σ(y − mean x)
others = torch.sigmoid(ahead).mean() / 2  # from −log(1 − σ(x − mean y)), through mean y: the same for each
print("own share", [f"{value:.2f}" for value in own.flatten().tolist()], f"and {others.item():.2f} from the photographs")
assert torch.allclose(own + others, -torch.autograd.grad(g, y)[0])

# %% [markdown]
# Everybody is pulled. The made picture that fooled D still goes up by 0.60 instead of 0.13, for the photographs' term lifts
# the *mean* of the made ones: a picture is never real enough while photographs are ahead. The pull is also larger altogether,
# so the two losses need different weights to be compared fairly.
#
# ## The recipe
#
# ```
# loss of G  =  features before the activation  +  0.005 · adversarial  +  0.01 · L1      (Wang et al. 2018, eq. 3)
# ```
#
# **Tweak 5: an L1 term,** a rein on colour and place. As always, phase 1 in pixels comes first. The authors' code departs
# from their paper: it takes half of each adversarial sum, so its 0.005 is worth 0.0025 here, and Adam's second beta is 0.99.
#
# ## One at a time
#
# Five changes at once prove nothing about any of them. An **ablation** takes back one and leaves the rest: same seed, same
# crops, same 400 steps, a small RRDB of 292,395 numbers. Fairness takes thought. 26 residual blocks have as many numbers as
# the four RRDBs; features are conv3_3 and conv4_3 of VGG16; the vanilla loss weighs twice, and features after the activation
# weigh more, so that each pulls as hard at the start.
#
# **Predict.** Write down for each of the five: with it taken back, is the texture nearer to photographs, or farther?

# %%
taken_back = {"esrgan-s": ()} | {f"esrgan-s-{run}": (tweak,) for run, tweak in (
    ("batch-norm", "no batch norm"), ("residual-blocks", "RRDB"), ("vanilla-gan", "relativistic"),
    ("after-activation", "before activation"), ("no-l1", "L1 term"))}
runs = {name: read_history(shipped_run(f"{name}_x4")) for name in (*taken_back, "rrdb-s")}
crops = torch.cat([images.centre_crop(images.read(one.path), 96, 96) for one in photos("test")])  # (12, 3, 96, 96)
small_crops = bicubic_lr(crops, 4)
look = lru_cache(maxsize=2)(VGGFeatures(PERCEPTUAL_LAYERS))  # does not look twice at the same crops


def measure(network):
    """Three figures for each of 12 crops: PSNR, VGG distance, texture distance."""
    with torch.no_grad():
        sr = network(small_crops).clamp(0, 1)
        distances = (one(sr, crops, features=look) for one in (perceptual_distance, texture_distance))
        return torch.stack([psnr(sr, crops), *distances])


# %% tags=["nbval-rtol=0.02"]
found = {name: measure(run.network(run.snapshots[-1])) for name, run in runs.items()}
print("means of 12 crops; a star: against all on, the interval of the difference leaves out 0")
print(f"{'':28}   PSNR      VGG  texture")
for name, figures in found.items():
    row = ""
    for ours, full_recipe, digits in zip(figures, found["esrgan-s"], (2, 3, 3), strict=True):
        low, high = interval(ours - full_recipe)
        row += f"{ours.mean():8.{digits}f}{'*' if low * high > 0 else ' '}"
    label = taken_back[name][0] + " taken back" if taken_back.get(name) else name
    print(f"{label:28}{row}")

# %% [markdown]
# Two tweaks bring the texture nearer: the relativistic loss and the features before the activation. The L1 term holds 0.3 dB
# and does nothing to the texture. The two that change the network do *not* help here: with batch norm, or with residual
# blocks, the texture is even nearer, for some PSNR. That is no refutation, with one seed and 12 crops: ours has four blocks,
# the paper's 23, and its argument was about depth. The paper added its changes one after the other and judged by eye (Wang et
# al. 2018, sec. 4.4).
#
# **Task 1.** Enter your predictions, uncover the table, and look at two rows side by side. Which difference do you see that
# no column shows?

# %%
from sr_course.widgets import Ablation, AblationMatrix, Metric

AblationMatrix(
    [Ablation(history=runs[name], off=off, figures={"texture distance": found[name][2].mean().item()})
     for name, off in taken_back.items()],
    metrics=[Metric("texture distance", higher_is_better=False, digits=3)], predict="texture distance")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Your predictions are your own. Look at even places and at thin lines: the mean of a distance tells nothing of a pattern that
# stands in one corner, as SRGAN's blotch did.
#
# </details>
#
# ## Between two networks
#
# ESRGAN-S began as RRDB-S, so their weights can be blended: (1 − α) · RRDB-S + α · ESRGAN-S (Wang et al. 2018, eq. 4).
#
# **Predict.** Blend weights, or blend the two pictures. Where is the PSNR higher, and does it lie on a straight line between
# the ends?

# %% tags=["nbval-rtol=0.02"]
from sr_course.models.blend import blend

wall = images.read(photo("great_wall").path)[..., 96:256, 112:312]
small_wall = bicubic_lr(wall, 4)
pair = [load("srresnet"), load("srgan")]
with torch.no_grad():
    ends = [network(small_wall).clamp(0, 1) for network in pair]
    for alpha in (0.25, 0.5, 0.75):
        by_weights = blend(*pair, alpha)(small_wall).clamp(0, 1)
        both = by_weights, torch.lerp(*ends, alpha)
        far = ", ".join(f"{psnr(one, wall).item():.2f} dB, texture {texture_distance(one, wall).item():.3f}" for one in both)
        print(f"{alpha}: weights, then pictures: {far}")
print("ends: " + ", ".join(f"{psnr(one, wall).item():.2f} dB" for one in ends))

# %% [markdown]
# Both lie above the straight line: at 0.5 it would be at 24.1 dB. But equal α is not equal texture. Blended pictures at 0.5
# beat blended weights at 0.75 here, in PSNR and in texture. Wang et al. (2018, sec. 4.5) found by eye that blended pictures keep
# noise and blur; on this crop our figures do not show it.
#
# **Task 2.** Find the α with more detail than RRDB-S that you would rather look at than ESRGAN-S.

# %%
from sr_course.widgets import InterpolationSlider

view = Sample(lr=small_wall, hr=wall)
InterpolationSlider(*(runs[name].network(runs[name].snapshots[-1]) for name in ("rrdb-s", "esrgan-s")), view,
                    names=("RRDB-S", "ESRGAN-S"), scene="trees before a wall on a hill")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Yours to choose. Between these two the ways hardly differ: at 0.5 the PSNRs are 0.02 dB apart, for the two networks are near
# each other.
#
# </details>
#
# ## Everything on one plane
#
# **Predict.** Where will ESRGAN-S lie against SRGAN-S: left, right, above, below? It had 400 steps, the other 800.

# %%
from sr_course.widgets import PerceptionDistortion, PlanePoint
from sr_course.widgets.perception_distortion import Distance

TEXTURE = Distance("texture distance", texture_distance)
networks = {name: load(name) for name in ("bicubic", "srcnn", "srresnet", "srgan", "srresnet-s", "srgan-s")}
networks |= {name: runs[name].network(runs[name].snapshots[-1]) for name in ("rrdb-s", "esrgan-s")}

# %% tags=["nbval-rtol=0.02"]
from time import perf_counter

seconds = {}
for name, network in networks.items():
    began = perf_counter()
    with torch.no_grad():
        network(small_crops)
    seconds[name] = perf_counter() - began
    if name not in found:
        found[name] = measure(network)
points = [PlanePoint(name=name, psnr=found[name][0].mean().item(), perceptual=found[name][2].mean().item(),
                     network=network, psnr_interval=interval(found[name][0]),
                     perceptual_interval=interval(found[name][2])) for name, network in networks.items()]
PerceptionDistortion(points, [Sample(lr=small_wall[..., :24, :24], hr=wall[..., :96, :96])], distance=TEXTURE,
                     scene=["trees before a wall"])

# %% [markdown]
# Worse in both: ESRGAN-S has 25.04 dB and a texture distance of 0.204, SRGAN-S 25.14 and 0.174. Is the older recipe better,
# then? The two differ in network, phase 1 and steps too, and RRDB-S was 0.7 dB behind SRResNet-S before the game began.
# Comparing two whole recipes is no ablation. SRGAN is far down and far right: nearest in texture, farthest in pixels.
#
# ## Which pixels made this?
#
# How far a network *could* see, its kernels tell. How far *does* it look? A **local attribution map** (Gu and Dong 2021) asks
# which pixels of the small picture made the edges in a patch of the result. The small picture begins blurred and is sharpened
# step by step. At each step a pixel's share is the gradient times its change. All shares add up to what the patch has gained.
#
# One number says how widely they are spread: the **diffusion index**, 100 · (1 − G). G, the Gini coefficient, is 0 where all
# have equal shares and near 1 where one has everything: the mean difference of two shares, over twice the mean share. Some
# pixels take edges away; of them the size counts.
#
# **Predict,** with a pencil: which index have four pixels with shares of 4, 0, 0, 0?

# %%
from sr_course import inspection
from sr_course.inspection import attribute, diffusion_index

shares = torch.tensor([4.0, 0, 0, 0])
difference = (shares[:, None] - shares).abs().mean()  # of all 16 pairs
assert abs(diffusion_index(shares) - 100 * (1 - difference / (2 * shares.mean()))) < 1e-4
print(f"4, 0, 0, 0: a mean difference of {difference:.1f}, an index of {diffusion_index(shares):.1f}")

# %% [markdown]
# **Predict.** SRCNN, SRResNet-S, RRDB-S: which of them draws on most pixels, for a patch of 16 x 16 on the watchtower?

# %% tags=["nbval-rtol=0.02"]
hill = small_wall[..., 4:36, 9:41]  # (1, 3, 32, 32)
spread = {}
for name in ("srcnn", "srresnet-s", "rrdb-s"):
    dealt = attribute(networks[name], hill, (56, 56, 16), steps=16)  # top, left and side of the patch
    assert dealt.incompleteness < 0.01  # the shares add up
    sizes = dealt.map.abs()  # (32, 32)
    rows = sizes.sum(dim=1).nonzero().flatten().tolist()
    most = sizes.flatten().sort(descending=True).values.cumsum(0) < 0.99 * sizes.sum()
    spread[name] = dealt.diffusion_index
    print(f"{name:10} could see {inspection.look(networks[name], hill).root.sees:>6}; rows {rows[0]:2} to {rows[-1]} of 32 have a share; "
          f"99% lie in {100 * most.float().mean():4.1f}% of the pixels; index {spread[name]:.1f}")
    if name == "srcnn":
        assert rows[0] >= 14 - 4 and rows[-1] <= 17 + 4  # the patch lies in rows 14 to 17
assert spread["srresnet-s"] > spread["rrdb-s"] > spread["srcnn"]

# %% [markdown]
# SRCNN's shares end where it can see no farther: 4 rows above and below the patch. The other two reach to every row. Yet
# nearly all of the patch comes from a few pixels around it, and RRDB-S, which could see twice as far as SRResNet-S, looks
# *less* far. What a network could see says little about what it has learned to use. Gu and Dong found that networks which
# draw on more pixels do better, on the whole; here, too, RRDB-S is behind.
#
# **Task 3.** Click a pixel of the result, then "Find them". Try the tower, the forest, the bare slope. Is there a place where
# RRDB-S has the larger index?

# %%
from sr_course.widgets import FeatureExplorer

explorer = FeatureExplorer({"SRResNet-S": networks["srresnet-s"], "RRDB-S": networks["rrdb-s"]}, hill, layer="")
explorer.attribute()
explorer

# %% [markdown]
# Two corners, from Python:

# %% tags=["nbval-rtol=0.02"]
for top, left in ((20, 20), (92, 92)):
    both = [attribute(networks[name], hill, (top, left, 16), steps=8).diffusion_index for name in ("srresnet-s", "rrdb-s")]
    print(f"the patch at row {top}, column {left}: SRResNet-S {both[0]:.1f}, RRDB-S {both[1]:.1f}")
    assert both[0] > both[1]

# %% [markdown]
# <details><summary>Answer</summary>
#
# Not at these, nor on the watchtower, and we know of no place where it has. Compare two networks at one place only: another
# place is another question, with another index.
#
# </details>
#
# ## Your own photograph
#
# **Task 4.** Take a photograph of yours, from a phone. Choose a part and a network, compare, download. Then try another
# network. (Without one, the example is the panda.) Nothing leaves this machine.

# %%
from sr_course.widgets import UpscaleMyPhoto

UpscaleMyPhoto()

# %% [markdown]
# <details><summary>What you probably saw</summary>
#
# Larger, and hardly sharper: a phone's picture is already sharpened, denoised and packed as JPEG. Where there was noise,
# the GANs draw texture from it.
#
# </details>
#
# ## Why it fails
#
# Our networks have seen one way of becoming small: bicubic, from clean pictures. Spoil the kingfisher a little first: a soft
# lens, noise of 5 levels, JPEG of quality 71.
#
# **Predict.** On the clean picture SRResNet is 2.7 dB above bicubic. And on this one?

# %% tags=["nbval-rtol=0.02"]
from sr_course.lessons.distortions import blur, jpeg, noise

bird = images.read(photo("kingfisher").path)[..., 60:220, 90:250]
clean = bicubic_lr(bird, 4)
real = jpeg(noise(bicubic_lr(blur(bird, 1.5 / 8), 4), 5 / 255 / 0.5), 0.30)  # sigma 1.5; 5 levels; quality 71
shown = {}
with torch.no_grad():
    for name in ("bicubic", "srresnet", "srgan", "esrgan-s"):
        good, bad = (networks[name](lr).clamp(0, 1) for lr in (clean, real))
        shown |= {f"{name}, clean": good, f"{name}, phone": bad}
        print(f"{name:9} clean {psnr(good, bird).item():.2f} dB, phone {psnr(bad, bird).item():.2f} dB")
show(shown, zoom=1, columns=4,
     alt="A kingfisher by four methods: sharp from the clean picture; from the other soft, and SRGAN blows its noise up")

# %% [markdown]
# A third of a decibel is left, and SRGAN falls below bicubic: no network knows that noise is no texture.
#
# The way out is not another network but other pairs. **Real-ESRGAN** (Wang et al. 2021) is the very RRDBNet of this lesson,
# trained on pictures blurred, shrunk, made noisy and packed as JPEG, twice over, at random. Its weights, 33 MB, do not ship;
# `sr-course data get realesrgan-x4plus` fetches them.

# %% tags=["nbval-ignore-output"]
# output not compared: the weights are only where they were fetched
from sr_course.data.catalog import find_entry, load_catalog
from sr_course.data.fetch import is_here

if is_here(find_entry(load_catalog(), "realesrgan-x4plus")):
    with torch.no_grad():
        mended = load("realesrgan-x4plus")(real[..., :32, :32]).clamp(0, 1)
    show({"bicubic": shown["bicubic, phone"][..., :128, :128], "srgan": shown["srgan, phone"][..., :128, :128],
          "Real-ESRGAN x4plus": mended, "original": bird[..., :128, :128]},
         alt="The kingfisher from the spoiled picture: by Real-ESRGAN clean, with firm edges")
else:
    print("realesrgan-x4plus is not here; the lesson goes on without it")

# %% [markdown]
# On Set5 x4 this course measures it at 26.63 dB, *below bicubic's* 28.43, both by the protocol matlab-y. That is no failure.
# Set5's small pictures are clean, and it was taught to distrust what it is given: fine grain might be noise, so it is wiped
# off and drawn anew. A figure answers the question of its test set, and that one nobody asked it.
#
# ## The results table of the course
#
# **Predict.** Sort by seconds: how much does SRGAN pay for its pictures, against SRGAN-S?

# %% tags=["nbval-rtol=0.02"]
from sr_course.evaluation import PUBLISHED, evaluate, shipped_pairs
from sr_course.models.describe import describe
from sr_course.zoo import cards

test = {one.name: m for one in cards() for m in one.measured if m.data == "the course's test photographs"}
test["bicubic"] = evaluate("bicubic", shipped_pairs("test"), protocol=MATLAB_Y)
print("                   12 whole pictures  12 crops                    of one pixel")
print("                     PSNR    SSIM      VGG      parameters    multiply-adds")
for name, network in {**networks, "realesrgan-x4plus": full}.items():  # full is untrained: it is only counted
    layers = [layer for layer in describe(network, 24).layers if "Conv2d" in layer.kind]
    adds = sum(layer.parameters * layer.shape[-1] * layer.shape[-2] for layer in layers) / 96**2  # biases counted too
    p, s = (f"{test[name].psnr:.2f}", f"{test[name].ssim:.4f}") if name in test else ("–", "–")
    v = f"{found[name][1].mean():.3f}" if name in found else "–"
    print(f"{name:18}{p:>8}{s:>8}{v:>9}{sum(w.numel() for w in network.parameters()):16,}{adds:17,.0f}")

# %% tags=["nbval-ignore-output"]
# output not compared: seconds are this machine's
for name, took in seconds.items():
    print(f"{name:12} {took / (crops.shape[0] * 96 * 96 / 1e6):6.1f} seconds per megapixel")

# %% [markdown]
# PSNR and SSIM stand on the networks' cards, measured on the 12 whole test photographs; VGG was measured above, on a crop of
# 96 x 96 from each. x4plus was counted on an untrained RRDBNet: training changes no count. Beside the published figures:

# %%
print("Set5 x4             measured here              published")
theirs = {one.model: f"{one.psnr:.2f} / {one.ssim:.4f}, {one.source.split(';')[0]}" for one in PUBLISHED
          if (one.data, one.scale) == ("Set5", 4)}
for one in cards():
    for m in one.measured:
        if m.data == "Set5" and one.name in (*networks, "realesrgan-x4plus"):
            print(f"{one.name:18}  {m.psnr:.2f} / {m.ssim:.4f} {m.protocol:12}{theirs.get(one.name, '–')}")
print(f"{'RRDB, in pixels':47}32.73 / .9011, Wang et al. 2018, on DIV2K and Flickr2K")
print(f"{'ESRGAN':47}about 30.45 / .868, README of SPSR (Ma et al. 2020)")


# %% [markdown]
# **A table, taken apart.** Many pages give, for Set5 x4: SRGAN 29.40 / .827, ESRGAN 31.81 / .894. Where do they come from?
#
# - 29.40 is from Ledig et al. 2017, table 2. There .8472 stands beside it, not .827. And that SSIM comes from another tool: it
#   gives bicubic .8211, where everybody else has .8104. By our tool the SRGAN that we load has .8415.
# - 31.81 / .894 has no primary source that we know of. Wang et al. 2018 give the RRDB in pixels, 32.73 / .9011, and no mean
#   PSNR of ESRGAN on Set5. Ma et al., who ran ESRGAN, give 30.45, 1.4 dB less.
#
# So: .827 contradicts its own source, and 31.81 the one measurement that names its maker. *Where* either was made we cannot
# know. A number without protocol and source is a rumour.
#
# ## Exercises
#
# Replace `...`, run the cell, read what the check says. It gives two hints before the answer.
#
# **5.1 Warm-up.** Write `dense_parameters(channels, growth)`: the weights and biases of a dense block.

# %%
def dense_parameters(channels, growth):
    # solution begins; until then: return ...
    given = [channels + k * growth for k in range(5)]
    made = [growth] * 4 + [channels]
    return sum(9 * a * b + b for a, b in zip(given, made, strict=True))
    # solution ends


esrgan.check_parameters(dense_parameters)


# %% [markdown]
# **5.2 Core: the dense block.** Write `dense_forward(x, convs)` from `(N, C, H, W)` and five convolutions, without looking
# up. LeakyReLU has a slope of 0.2.

# %%
def dense_forward(x, convs):
    # solution begins; until then: return ...
    known = [x]
    for layer in convs[:4]:
        known.append(F.leaky_relu(layer(torch.cat(known, dim=1)), 0.2))
    return x + 0.2 * convs[4](torch.cat(known, dim=1))
    # solution ends


esrgan.check_dense(dense_forward)


# %% [markdown]
# **5.3 Core: relativistic losses.** Write `relativistic(real, made)`: from the logits, `(N, 1)` each, D's loss and G's, as in
# the paper's equations. Logits may be ±200.

# %%
def relativistic(real, made):
    # solution begins; until then: return ...
    a, b = real - made.mean(), made - real.mean()
    return F.softplus(-a).mean() + F.softplus(b).mean(), F.softplus(a).mean() + F.softplus(-b).mean()
    # solution ends


esrgan.check_relativistic(relativistic)


# %% [markdown]
# **5.4 Stretch: eight views.** Write `eight(network, lr)`, the **self-ensemble**: flip and turn the picture in all eight ways,
# enlarge each, turn it back, take the mean. Then try RRDB-S and ESRGAN-S: what does it do to the PSNR, what to the texture?

# %%
def eight(network, lr):
    # solution begins; until then: return ...
    views = []
    for k in range(4):
        for flips in ([], [-1]):
            sr = network(torch.rot90(lr.flip(flips), k, (-2, -1)))
            views.append(torch.rot90(sr, -k, (-2, -1)).flip(flips))
    return torch.stack(views).mean(dim=0)
    # solution ends


esrgan.check_eight(eight)

# %% tags=["solution", "nbval-rtol=0.02"]
for name in ("rrdb-s", "esrgan-s"):
    with torch.no_grad():
        once, mean = networks[name](clean).clamp(0, 1), eight(networks[name], clean).clamp(0, 1)
    for views, sr in (("one view", once), ("eight views", mean)):
        print(f"{name:9} {views:12} {psnr(sr, bird).item():.2f} dB, texture {texture_distance(sr, bird).item():.3f}")

# %% [markdown] tags=["solution"]
# ESRGAN-S gains 0.2 dB and loses texture: the mean of eight guesses is smoother than each. RRDB-S, a mean already, gains
# nothing.

# %% [markdown]
# ## True or false?
#
# <details><summary>Batch norm is what made SRGAN's artefacts.</summary>
# Half true. It takes batch norm and an adversary for the blotch; a grid comes without.</details>
#
# <details><summary>ESRGAN is better than SRGAN because of the RRDB.</summary>
# Not known from the two alone: five things changed. That is what ablations are for.</details>
#
# <details><summary>A relativistic D cannot be fooled.</summary>
# False. It can; but the picture that fools it is pulled on as long as photographs are ahead on average.</details>
#
# <details><summary>Any network blends with any other of its form.</summary>
# False. One must have been trained on from the other.</details>
#
# <details><summary>26.63 dB on Set5 show that x4plus is worse than bicubic.</summary>
# They show that it was trained for other pictures.</details>
#
# <details><summary>A number that stands on a hundred pages is right.</summary>
# False. It may have been copied ninety-nine times.</details>
#
# ## Recap
#
# 1. Batch norm's running means fit the training crops; an even sky is none.
# 2. After the activation most features are zero; before it, all pull.
# 3. An RRDB: dense blocks in a residual, scaled by 0.2, so that depth without batch norm stays in bounds.
# 4. A relativistic D compares, and pulls everybody; change one thing at a time to learn what it is worth.
# 5. A network knows the damage it was trained on, and no other.
#
# **Eight questions**
#
# 1. What does batch norm take in evaluation, and when is that wrong?
# 2. Why do zeros after a ReLU pull on nothing?
# 3. How many maps is conv4 of a dense block given, with 64 channels and a growth of 32?
# 4. Why 1.2 ** 23?
# 5. All logits rise by 5. What happens to the relativistic losses?
# 6. Why did the vanilla run get twice the weight?
# 7. What must be true of two networks to be blended?
# 8. Why does SRResNet lose its lead on a phone's picture?
#
# The answers stand in `solved/05_esrgan.ipynb`.
#
# **Three readings**
#
# - X. Wang and others, "ESRGAN: enhanced super-resolution generative adversarial networks", ECCV workshops 2018: the five
#   tweaks, and network interpolation.
# - A. Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN", 2018 (ICLR 2019): the
#   argument, and the gradients.
# - X. Wang, L. Xie, C. Dong, Y. Shan, "Real-ESRGAN: training real-world blind super-resolution with pure synthetic data",
#   ICCV workshops 2021: what happens to a picture on its way.

# %% [markdown] tags=["solution"]
# **Answers**
#
# 1. Running means and variances of the training crops; wrong where the picture is unlike them.
# 2. The slope of ReLU below zero is 0: no gradient comes through.
# 3. 64 + 96 = 160.
# 4. A fresh RRDB gives 1.2 times what it gets, and there are 23.
# 5. Nothing: only differences count.
# 6. The relativistic loss of G is a sum of two terms, each of which pulls as hard as the one of the vanilla loss.
# 7. One was trained on from the other, so that their maps mean the same.
# 8. It was trained to undo a bicubic reduction of clean pictures, and finds another one, with noise.
