//! The tokenizer classes of `transformers` whose files are known.

/// How a vocabulary is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `vocab.txt`: one token a line.
    WordPiece,
    /// `vocab.json` and `merges.txt`.
    ByteLevelBpe,
    /// A SentencePiece model, with ids and rules of its own in each family.
    Unigram(Layout),
}

/// What a family makes of a SentencePiece model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// fairseq's ids: `<s> <pad> </s> <unk>` first, then the pieces behind the third, `<mask>` last.
    Xlm,
    /// The same with fairseq's own `NOTUSED` doubles.
    Camembert,
    /// Ids as in the model; quotes, accents and case are changed first.
    Albert,
    /// Ids as in the model, `[MASK]` behind them.
    Deberta,
}

/// The files of vocabularies, in every form.
pub(super) const VOCABULARIES: &[&str] = &[
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
];

/// What is put around a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Around {
    /// `[CLS] A [SEP]`, `[CLS] A [SEP] B [SEP]` with a second token type.
    Bert,
    /// `<s> A </s>`, `<s> A </s></s> B </s>`.
    Fairseq,
    /// The same by `RobertaProcessing`, which also trims offsets.
    Roberta,
}

/// One class.
#[derive(Debug)]
pub(super) struct Class {
    /// Without `Fast`.
    pub(super) name: &'static str,
    /// `model_type` of the models that use it where nothing else is said.
    pub(super) model_type: &'static str,
    pub(super) form: Form,
    /// Its special tokens where the repository names no others.
    pub(super) tokens: &'static [(&'static str, &'static str)],
    /// Does `<mask>` take the white space before it?
    pub(super) mask_takes_space: bool,
    pub(super) around: Around,
    /// Do the models take token types?
    pub(super) types: bool,
}

const BERT_TOKENS: &[(&str, &str)] = &[
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];

const MPNET_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "[UNK]"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];

const FAIRSEQ_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "<unk>"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];

const ALBERT_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "[CLS]"),
    ("eos_token", "[SEP]"),
    ("unk_token", "<unk>"),
    ("sep_token", "[SEP]"),
    ("pad_token", "<pad>"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];

const DEBERTA_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "[CLS]"),
    ("eos_token", "[SEP]"),
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];

const BERT: Class = Class {
    name: "BertTokenizer",
    model_type: "bert",
    form: Form::WordPiece,
    tokens: BERT_TOKENS,
    mask_takes_space: false,
    around: Around::Bert,
    types: true,
};

const FAIRSEQ: Class = Class {
    name: "XLMRobertaTokenizer",
    model_type: "xlm-roberta",
    form: Form::Unigram(Layout::Xlm),
    tokens: FAIRSEQ_TOKENS,
    mask_takes_space: true,
    around: Around::Fairseq,
    types: false,
};

/// Every class that is known.
pub(super) const CLASSES: &[Class] = &[
    BERT,
    Class {
        name: "DistilBertTokenizer",
        model_type: "distilbert",
        types: false,
        ..BERT
    },
    Class {
        name: "ElectraTokenizer",
        model_type: "electra",
        ..BERT
    },
    Class {
        name: "MPNetTokenizer",
        model_type: "mpnet",
        tokens: MPNET_TOKENS,
        mask_takes_space: true,
        around: Around::Roberta,
        types: false,
        ..BERT
    },
    Class {
        name: "RobertaTokenizer",
        model_type: "roberta",
        form: Form::ByteLevelBpe,
        around: Around::Roberta,
        ..FAIRSEQ
    },
    FAIRSEQ,
    Class {
        name: "CamembertTokenizer",
        model_type: "camembert",
        form: Form::Unigram(Layout::Camembert),
        ..FAIRSEQ
    },
    Class {
        name: "AlbertTokenizer",
        model_type: "albert",
        form: Form::Unigram(Layout::Albert),
        tokens: ALBERT_TOKENS,
        mask_takes_space: true,
        ..BERT
    },
    Class {
        name: "DebertaV2Tokenizer",
        model_type: "deberta-v2",
        form: Form::Unigram(Layout::Deberta),
        tokens: DEBERTA_TOKENS,
        ..BERT
    },
];

impl Class {
    /// The class of this name, `Fast` or not.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        let name = name.strip_suffix("Fast").unwrap_or(name);
        CLASSES.iter().find(|class| class.name == name)
    }

    /// The class that `transformers` takes for a model where nobody names one.
    pub(super) fn of_model(model_type: &str) -> Option<&'static Self> {
        CLASSES.iter().find(|class| class.model_type == model_type)
    }

    /// The files that its vocabulary is read from.
    pub(super) fn files(&self) -> &'static [&'static str] {
        match self.form {
            Form::WordPiece => &["vocab.txt"],
            Form::ByteLevelBpe => &["vocab.json", "merges.txt"],
            Form::Unigram(Layout::Xlm | Layout::Camembert) => &["sentencepiece.bpe.model"],
            Form::Unigram(Layout::Albert) => &["spiece.model"],
            Form::Unigram(Layout::Deberta) => &["spm.model"],
        }
    }
}
