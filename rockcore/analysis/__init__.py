"""What is asked of a run beyond its Rock Tokens: steps, texts, gradients, two runs side by side.
Loads no torch.
"""
