"""The words that stand for bits: short nouns, one token each to SmolLM2 and most other LLMs."""

# Bit i of a code is word 2 i if it is 0, word 2 i + 1 if it is 1.
WORDS = tuple(
    """
    red blue man king dog cat sun rain book tree road car ship gold iron salt fish bird hand
    foot head eye door wall fire ice wind sea star moon day night wood hill lake farm bread
    milk wine tea cup hat coat shoe ring song drum bell clock desk lamp bed chair wheel boat
    train plane bus bike horse cow pig sheep goat duck bear wolf fox lion snake frog bee ant
    rose leaf seed root corn rice bean nut apple lemon peach grape plum stone sand mud clay
    snow cloud storm wave river island beach forest field garden park bridge tower castle
    house roof floor window key lock box bag basket bottle glass plate bowl knife fork spoon
    pot pan oven stove soap towel brush comb mirror mask crown sword shield arrow bow rocket
    robot engine motor wire cable battery radio phone camera film paper pen ink letter stamp
    map flag coin bank shop market school church temple court army soldier doctor nurse
    teacher student lawyer judge police queen prince knight ghost angel giant baby boy girl
    mother father sister brother uncle aunt friend hero poet singer dancer actor artist chef
    baker farmer hunter sailor pilot driver guard tiger monkey elephant mouse rat rabbit
    deer cattle camel whale shark dolphin turtle eagle hawk owl crow chicken turkey spider
    fly worm flower grass bush vine bark branch fruit banana orange cherry berry potato
    tomato onion carrot pepper garlic honey sugar butter cheese egg meat soup cake pie candy
    coffee juice silk cotton wool leather rope
    """.split()  # noqa: SIM905
)
