"""What transformers' classes say of families: defaults, names of classes, prefixes of tensors.

usage: family_facts.py MODEL_TYPE…   -> {"<model_type>": {"defaults": {…}, "prefix": "…", "classes": ["…", "…", "…"]}}
"""
import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification


def facts(model_type):
    config = AutoConfig.for_model(model_type)
    autos = (AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification)
    classes = [auto._model_mapping[type(config)] for auto in autos]
    return {"defaults": config.to_dict(), "prefix": classes[0].base_model_prefix + ".",
            "classes": [found.__name__ for found in classes]}


print(json.dumps({model_type: facts(model_type) for model_type in sys.argv[1:]}))
