//! A model repository below `--inputs`, and the model that is built from it.

use crate::arithmetic::Arithmetic;
use crate::batches::{Batch, Example};
use crate::dropout::Dropout;
use crate::encoder::{Classifier, Config, Encoder, Family, HeadKind, Loader, Weights};
use crate::failure::{Failure, Result};
use crate::optimizer::Parameter;
use crate::recompute::Tape;
use crate::tokens::Tokenizer;
use std::path::PathBuf;
use tch::{Device, Tensor, no_grad};
use trainer_protocol::Checkpoint;

/// A repository whose files were opened; the weights are mapped, the model is not built yet, for its head may depend
/// on data.
#[derive(Debug)]
pub struct Repository {
    /// Where its files lie.
    pub folder: PathBuf,
    /// What messages call it.
    pub name: String,
    /// Its config.json.
    pub config: Config,
    /// Its architecture.
    pub family: &'static Family,
    /// Its tokenizer, cutting at what the model takes.
    pub tokenizer: Tokenizer,
    /// Of the models that are built: fp32 on the CPU where nothing else is said.
    pub arithmetic: Arithmetic,
    weights: Weights,
}

impl Repository {
    /// Opens `folder`.
    ///
    /// # Errors
    ///
    /// A user's failure that names the file, where one is missing or says what is not known.
    pub fn open(folder: PathBuf, name: &str) -> Result<Self> {
        let config = Config::open(&folder, name)?;
        Ok(Self {
            family: config.family(),
            tokenizer: Tokenizer::open(&folder, name, &config)?,
            weights: Weights::open(&folder, name)?,
            name: name.to_owned(),
            arithmetic: Arithmetic::default(),
            config,
            folder,
        })
    }

    /// Does the checkpoint have a layer over the labels of `head`?
    #[must_use]
    pub fn has_classifier(&self, head: HeadKind) -> bool {
        self.weights.has(&format!("{}.weight", self.family.classifier(head)))
    }

    /// Where the weights of `model`, which was built from this repository, came from.
    #[must_use]
    pub fn checkpoint(&self, model: &Model) -> Checkpoint {
        Checkpoint {
            format: self.weights.format.to_owned(),
            files: self.weights.files.clone(),
            initialised: model.initialised.clone(),
            unused: model.unused.clone(),
        }
    }

    /// Lets the embeddings and the `layers` lowest layers of `model`, which was built from this repository, stay as they
    /// came: they get no gradients, and nothing is computed for any.
    ///
    /// # Errors
    ///
    /// A user's failure where the model has fewer layers, or layers that share their weights.
    pub fn freeze(&self, model: &mut Model, layers: u32) -> Result<()> {
        let there = self.config.layers("num_hidden_layers")?;
        let name = &self.name;
        if i64::from(layers) > there {
            return Err(Failure::user(format!(
                "FREEZE=embeddings+{layers}: {name} has {there} layers"
            )));
        }
        if layers > 0 && model.parameters.iter().all(|p| depth(&p.name) != Some(1)) {
            return Err(Failure::user(format!(
                "FREEZE=embeddings+{layers}: the layers of {name} share their weights; expected none or embeddings"
            )));
        }
        model.freeze(layers);
        Ok(())
    }

    /// Builds the model. `training` is the seed of new tensors where training follows.
    ///
    /// # Errors
    ///
    /// Where tensors are missing beyond a new head, left over in the encoder, or of other shapes than config.json says.
    pub fn build(&mut self, head: HeadKind, classifier: Classifier, training: Option<u64>) -> Result<Model> {
        let mut loader =
            Loader::new(&self.config, &mut self.weights, head, classifier, training)?.onto(&self.arithmetic);
        let encoder = (self.family.load)(&self.config, &mut loader, head)?;
        let used = loader.finish()?;
        Ok(Model {
            encoder,
            parameters: used.parameters,
            frozen: 0,
            head,
            initialised: used.initialised,
            unused: used.unused,
            padding: self.config.pad_token_id()?,
            arithmetic: self.arithmetic.clone(),
        })
    }
}

/// An encoder with its head, and its parameters under the names that they have in a checkpoint.
#[derive(Debug)]
pub struct Model {
    encoder: Box<dyn Encoder>,
    /// In the order in which they were loaded, but frozen ones before all others; they share storage with the layers.
    pub parameters: Vec<Parameter>,
    /// So many of them are not trained.
    frozen: usize,
    /// What sits on the encoder.
    pub head: HeadKind,
    /// Names of the parameters that the checkpoint did not have.
    pub initialised: Vec<String>,
    /// Names of the checkpoint's tensors that the model has no use for.
    pub unused: Vec<String>,
    /// Where it computes, and what its training computes in.
    pub arithmetic: Arithmetic,
    padding: i64,
}

/// How far up in an encoder a parameter is, by its name in a checkpoint: 0 are embeddings, also those of relative
/// positions, and n is the layer of number n - 1. `None`: above all layers, or in one that stands for several.
fn depth(name: &str) -> Option<u32> {
    let parts: Vec<&str> = name.split('.').collect();
    if let Some(at) = parts.iter().position(|part| *part == "layer") {
        return parts.get(at + 1)?.parse::<u32>().ok().map(|number| number + 1);
    }
    match parts[..] {
        // DeBERTa's: over the output of its first layer, and over the embeddings of relative positions.
        [.., "encoder", "conv", _, _] => Some(1),
        [.., "encoder", "LayerNorm", _] => Some(0),
        _ if parts.iter().any(|part| part.contains("embedding")) => Some(0),
        _ if parts.contains(&"relative_attention_bias") => Some(0),
        _ => None,
    }
}

impl Model {
    fn freeze(&mut self, layers: u32) {
        let stays = |p: &Parameter| depth(&p.name).is_some_and(|depth| depth <= layers);
        self.parameters.sort_by_key(|p| !stays(p));
        self.frozen = self.parameters.partition_point(stays);
        self.parameters[..self.frozen].iter().for_each(Parameter::freeze);
    }

    /// Those that are trained.
    #[must_use]
    pub fn trained(&self) -> &[Parameter] {
        &self.parameters[self.frozen..]
    }

    /// The same, to be written.
    pub fn trained_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters[self.frozen..]
    }

    /// Pads examples to a batch with this model's padding token, to be computed in fp32.
    #[must_use]
    pub fn batch(&self, examples: &[&Example]) -> Batch {
        Batch::new(examples, self.padding).on(self.arithmetic.device)
    }

    /// The same for training.
    #[must_use]
    pub fn training_batch(&self, examples: &[&Example]) -> Batch {
        Batch {
            kind: self.arithmetic.kind,
            ..self.batch(examples)
        }
    }

    /// Scores before softmax: `[rows, labels]` or `[rows, tokens, labels]`, for training.
    pub fn logits<'m>(&'m self, batch: &Batch, dropout: &mut Dropout, tape: &mut Tape<'m>) -> Tensor {
        let hidden = self.encoder.hidden(batch, dropout, tape);
        self.encoder.logits(&hidden, dropout)
    }

    /// The same for evaluation and prediction: no dropout, no gradients.
    pub fn predict(&self, batch: &Batch) -> Tensor {
        no_grad(|| self.logits(batch, &mut Dropout::off(), &mut Tape::new(false)))
    }

    /// Names and values on the CPU, as they are written to files.
    #[must_use]
    pub fn named_tensors(&self) -> Vec<(String, Tensor)> {
        self.parameters
            .iter()
            .map(|p| (p.name.clone(), p.value.detach().to_device(Device::Cpu)))
            .collect()
    }
}
