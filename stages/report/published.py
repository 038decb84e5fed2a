"""The paper's own figures (Zhang et al., ACL 2024, Tables 2 and 3): LLM rows with Vicuna-7B."""

# Data set -> method -> (AUC, UAUC) of the test rows. TALLRec is also the ablation without codes;
# BinMF and the other ablations stand in Table 3. Of compressed codes the paper gives no figures.
PUBLISHED: dict[str, dict[str, tuple[float, float]]] = {
    "ml-1m": {
        "mf": (0.6482, 0.6361),
        "lightgcn": (0.5959, 0.6499),
        "sasrec": (0.7078, 0.6884),
        "din": (0.7166, 0.6459),
        "binmf": (0.7189, 0.6654),
        "ctrl": (0.7159, 0.6492),
        "icl": (0.5320, 0.5268),
        "prompt4nr": (0.7071, 0.6739),
        "tallrec": (0.7097, 0.6818),
        "personprompt": (0.7214, 0.6563),
        "collm_mf": (0.7295, 0.6875),
        "collm_din": (0.7243, 0.6897),
        "binllm_id_only": (0.7307, 0.6797),
        "binllm_intuitive": (0.7286, 0.6842),
        "binllm": (0.7425, 0.6956),
    },
    "amazon-book": {
        "mf": (0.7134, 0.5565),
        "lightgcn": (0.7103, 0.5639),
        "sasrec": (0.6887, 0.5714),
        "din": (0.8163, 0.6145),
        "binmf": (0.8087, 0.5895),
        "ctrl": (0.8202, 0.5996),
        "icl": (0.4820, 0.4856),
        "prompt4nr": (0.7224, 0.5881),
        "tallrec": (0.7375, 0.5983),
        "personprompt": (0.7273, 0.5956),
        "collm_mf": (0.8109, 0.6225),
        "collm_din": (0.8245, 0.6474),
        "binllm_id_only": (0.8173, 0.5919),
        "binllm_intuitive": (0.8246, 0.6165),
        "binllm": (0.8264, 0.6319),
    },
}
