"""The paper's own figures, as they stand in its Tables 2 and 3 (Zhang et al., ACL 2024).

Written down a second time, by row of the table, to hold what the methods' own files say against.
TALLRec is also the ablation without codes. Of compressed codes the paper gives no figures, and it
has no codes of taste.
"""

# Data set -> row -> (AUC, UAUC) of the test rows.
PUBLISHED: dict[str, dict[str, tuple[float, float]]] = {
    "ml-1m": {
        "mf": (0.6482, 0.6361),
        "lightgcn": (0.5959, 0.6499),
        "sasrec": (0.7078, 0.6884),
        "din": (0.7166, 0.6459),
        "ctrl": (0.7159, 0.6492),
        "binmf": (0.7189, 0.6654),
        "icl": (0.5320, 0.5268),
        "prompt4nr": (0.7071, 0.6739),
        "personprompt": (0.7214, 0.6563),
        "collm_mf": (0.7295, 0.6875),
        "collm_din": (0.7243, 0.6897),
        "text": (0.7097, 0.6818),
        "id_only": (0.7307, 0.6797),
        "intuitive": (0.7286, 0.6842),
        "codes": (0.7425, 0.6956),
    },
    "amazon-book": {
        "mf": (0.7134, 0.5565),
        "lightgcn": (0.7103, 0.5639),
        "sasrec": (0.6887, 0.5714),
        "din": (0.8163, 0.6145),
        "ctrl": (0.8202, 0.5996),
        "binmf": (0.8087, 0.5895),
        "icl": (0.4820, 0.4856),
        "prompt4nr": (0.7224, 0.5881),
        "personprompt": (0.7273, 0.5956),
        "collm_mf": (0.8109, 0.6225),
        "collm_din": (0.8245, 0.6474),
        "text": (0.7375, 0.5983),
        "id_only": (0.8173, 0.5919),
        "intuitive": (0.8246, 0.6165),
        "codes": (0.8264, 0.6319),
    },
}
TITLES = {
    "item_mean": "Item mean",
    "bias": "User + item bias",
    "title_bias": "User + item + title bias",
    "item_knn": "Item kNN",
    "title_knn": "Title kNN",
    "mf": "MF",
    "lightgcn": "LightGCN",
    "sasrec": "SASRec",
    "din": "DIN",
    "ctrl": "CTRL (DIN)",
    "taste": "codes of taste",
    "binmf": "BinMF",
    "icl": "ICL",
    "prompt4nr": "Prompt4NR",
    "personprompt": "PersonPrompt",
    "collm_mf": "CoLLM-MF",
    "collm_din": "CoLLM-DIN",
    "text": "TALLRec",
    "id_only": "BinLLM, ID-only",
    "intuitive": "BinLLM, intuitive tuning",
    "compressed": "BinLLM, compressed",
    "codes": "BinLLM",
}
