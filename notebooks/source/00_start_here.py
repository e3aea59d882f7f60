# %% [markdown]
# # Start here
#
# A photograph is a grid of numbers. This first lesson shows one such grid, and how an exercise works.

# %%
import torch

torch.set_num_threads(1)
stripes = torch.tensor([0.0, 1.0]).repeat(4)  # a fine stripe: black, white, black, white
print(f"mean {stripes.mean():.2f} over {len(stripes)} pixels")


# %% [markdown]
# ## Exercise 0.1
#
# Keep every second pixel. What is left of the stripe?

# %%
def check_halved(halved):
    """Compare the learner's answer with the stripe's even pixels."""
    if halved is None or halved is ...:
        print("Exercise 0.1: not solved yet.")
    elif torch.equal(halved, torch.zeros(4)):
        print("Exercise 0.1: right. The stripe has become black.")
    else:
        print(f"Exercise 0.1: expected four zeros, got {halved.tolist()}.")


# %%
def halve(row):
    # solution begins; until then: return ...
    every_second = slice(None, None, 2)
    return row[every_second]
    # solution ends


check_halved(halve(stripes))

# %% [markdown] tags=["solution"]
# Half of the light is gone: after sampling, the fine stripe and a black wall are the same picture.
