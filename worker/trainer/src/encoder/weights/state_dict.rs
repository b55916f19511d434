//! What the pickle of a state dict may consist of: names, numbers, and tensors that lie in storages beside it.

use super::names::shown;
use crate::failure::{Failure, Result};
use tch::Kind;

/// Most axes of a tensor; a bound for what hostile files can ask for.
const MOST_AXES: usize = 8;

/// A value of the pickle. Tuples, dicts, storages and tensors are places in [`Objects`]: sharing them costs nothing, and
/// however deep they nest, nothing here recurses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    None,
    Bool,
    Int(i64),
    Float,
    Text(&'a str),
    /// What is in it does not matter, as no state dict has one.
    List,
    Tuple(usize),
    Dict(usize),
    Global(Global),
    Storage(usize),
    Tensor(usize),
}

impl Value<'_> {
    /// What messages call it.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool => "a bool",
            Self::Int(_) => "a whole number",
            Self::Float => "a number",
            Self::Text(_) => "a text",
            Self::List => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dict",
            Self::Global(_) => "a class or function",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// What a pickle may refer to by name; each is understood here, none is executed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Global {
    /// `collections.OrderedDict`
    OrderedDict,
    /// `torch.Size`, a tuple
    Size,
    /// `torch._utils._rebuild_tensor_v2`
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`
    RebuildParameter,
    /// `torch.FloatStorage` and the like
    StorageType(Element),
}

/// What a storage consists of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Element {
    /// Numbers with a fraction.
    Float(Kind),
    /// Whole numbers of so many bytes; no model here takes them from a file.
    Whole(usize),
}

impl Element {
    /// Bytes of one value.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Float(kind) => kind.elt_size_in_bytes(),
            Self::Whole(size) => size,
        }
    }
}

impl Global {
    /// The allow-list.
    ///
    /// # Errors
    ///
    /// A user's failure that names anything else.
    pub(super) fn named(module: &str, name: &str) -> Result<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch", "Size") => Some(Self::Size),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", storage) => storage_type(storage).map(Self::StorageType),
            _ => None,
        }
        .ok_or_else(|| refused(&format!("asks for {}", shown(&format!("{module}.{name}")))))
    }
}

/// A storage, which is an entry of the archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    /// The entry's name below `data/`.
    pub(super) key: &'a str,
    pub(super) element: Element,
    /// How many values it is said to hold.
    pub(super) values: u64,
}

/// A tensor, which is a view of a storage. Nothing of it is checked against the storage yet but signs and axes.
#[derive(Debug, Clone)]
pub(super) struct View<'a> {
    pub(super) storage: Storage<'a>,
    pub(super) offset: u64,
    pub(super) shape: Vec<i64>,
    pub(super) strides: Vec<i64>,
}

/// Everything that was made.
#[derive(Debug, Default)]
pub(super) struct Objects<'a> {
    pub(super) tuples: Vec<Vec<Value<'a>>>,
    pub(super) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<View<'a>>,
}

impl<'a> Objects<'a> {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.tuples.len() + self.dicts.len() + self.storages.len() + self.tensors.len()
    }

    /// What a persistent id stands for: the storage `('storage', type, key, device, values)`.
    pub(super) fn storage(&mut self, id: Value<'a>) -> Result<Value<'a>> {
        let fields = match id {
            Value::Tuple(at) => self.tuples[at].as_slice(),
            _ => &[],
        };
        let [
            Value::Text("storage"),
            Value::Global(Global::StorageType(element)),
            Value::Text(key),
            Value::Text(_),
            Value::Int(values),
        ] = *fields
        else {
            return Err(refused(&format!(
                "has a persistent id that is not a storage but {}",
                self.described(id)
            )));
        };
        let values =
            u64::try_from(values).map_err(|_| damaged(&format!("storage {} has {values} values", shown(key))))?;
        self.storages.push(Storage { key, element, values });
        Ok(Value::Storage(self.storages.len() - 1))
    }

    /// What a call gives.
    pub(super) fn call(&mut self, function: Value<'a>, arguments: Value<'a>) -> Result<Value<'a>> {
        let Value::Global(function) = function else {
            return Err(refused(&format!("calls {}", function.kind())));
        };
        let Value::Tuple(given) = arguments else {
            return Err(damaged(&format!("it calls with {} as arguments", arguments.kind())));
        };
        match (function, self.tuples[given].as_slice()) {
            (Global::OrderedDict, []) => {
                self.dicts.push(Vec::new());
                Ok(Value::Dict(self.dicts.len() - 1))
            }
            (Global::Size, [Value::Tuple(size)]) => Ok(Value::Tuple(*size)),
            (Global::RebuildParameter, [Value::Tensor(tensor), Value::Bool, Value::Dict(_)]) => {
                Ok(Value::Tensor(*tensor))
            }
            (
                Global::RebuildTensor,
                &[
                    Value::Storage(storage),
                    Value::Int(offset),
                    Value::Tuple(size),
                    Value::Tuple(stride),
                    Value::Bool,
                    Value::Dict(_),
                ],
            ) => self.tensor(storage, offset, size, stride),
            (function, _) => Err(refused(&format!(
                "calls {function:?} with {}",
                self.described(arguments)
            ))),
        }
    }

    fn tensor(&mut self, storage: usize, offset: i64, size: usize, stride: usize) -> Result<Value<'a>> {
        let storage = self.storages[storage];
        let wrong = |what: &str| damaged(&format!("a tensor in storage {} has {what}", shown(storage.key)));
        let view = View {
            storage,
            offset: u64::try_from(offset).map_err(|_| wrong("a negative offset"))?,
            shape: self.sizes(size).ok_or_else(|| wrong("no sizes"))?,
            strides: self.sizes(stride).ok_or_else(|| wrong("no strides"))?,
        };
        self.tensors.push(view);
        Ok(Value::Tensor(self.tensors.len() - 1))
    }

    /// A tuple of a few numbers, none of them negative.
    fn sizes(&self, tuple: usize) -> Option<Vec<i64>> {
        let tuple = &self.tuples[tuple];
        let size = |value: &Value<'_>| match value {
            Value::Int(number) if *number >= 0 => Some(*number),
            _ => None,
        };
        if tuple.len() > MOST_AXES {
            return None;
        }
        tuple.iter().map(size).collect()
    }

    /// Sets the attributes of an object: `_metadata` of a state dict, which is not needed.
    pub(super) fn set_attributes(&self, object: Value<'a>, attributes: Value<'a>) -> Result<()> {
        let refuse = |what: &str| Err(refused(&format!("sets {what} of {}", object.kind())));
        let (Value::Dict(_), Value::Dict(at)) = (object, attributes) else {
            return refuse("the state");
        };
        match self.dicts[at].as_slice() {
            [] | [(Value::Text("_metadata"), Value::Dict(_))] => Ok(()),
            [(Value::Text(name), value)] => refuse(&format!("the attribute {} ({})", shown(name), value.kind())),
            several => refuse(&format!("{} attributes", several.len())),
        }
    }

    /// The named tensors that the pickle is, in its order.
    pub(super) fn state_dict(&self, whole: Value<'a>) -> Result<Vec<(&'a str, &View<'a>)>> {
        let Value::Dict(at) = whole else {
            return Err(Failure::user(format!(
                "it holds {}, not a state dict (names and their tensors)",
                whole.kind()
            )));
        };
        let named = |(name, value): &(Value<'a>, Value<'a>)| match (name, value) {
            (Value::Text(name), Value::Tensor(at)) => Ok((*name, &self.tensors[*at])),
            (Value::Text(name), Value::Dict(_)) => Err(Failure::user(format!(
                "{} is a dict within the dict, as checkpoints of a training have them; save the model's `state_dict()` \
                 alone",
                shown(name)
            ))),
            (Value::Text(name), other) => Err(Failure::user(format!(
                "{} is {}, not a tensor",
                shown(name),
                other.kind()
            ))),
            (name, _) => Err(Failure::user(format!(
                "{} stands where a tensor's name belongs",
                name.kind()
            ))),
        };
        self.dicts[at].iter().map(named).collect()
    }

    fn described(&self, value: Value<'_>) -> String {
        match value {
            Value::Tuple(at) => {
                let some: Vec<_> = self.tuples[at].iter().take(8).map(|value| value.kind()).collect();
                format!("({})", some.join(", "))
            }
            Value::Global(global) => format!("{global:?}"),
            other => other.kind().to_owned(),
        }
    }
}

fn storage_type(name: &str) -> Option<Element> {
    Some(match name {
        "FloatStorage" => Element::Float(Kind::Float),
        "HalfStorage" => Element::Float(Kind::Half),
        "BFloat16Storage" => Element::Float(Kind::BFloat16),
        "DoubleStorage" => Element::Float(Kind::Double),
        "LongStorage" => Element::Whole(8),
        "IntStorage" => Element::Whole(4),
        "ShortStorage" => Element::Whole(2),
        "CharStorage" | "ByteStorage" | "BoolStorage" => Element::Whole(1),
        _ => return None,
    })
}

/// Something that only a program would do.
pub(super) fn refused(what: &str) -> Failure {
    Failure::user(format!(
        "the pickle {what}, which is refused (only tensors are read; nothing was executed)"
    ))
}

pub(super) fn damaged(what: &str) -> Failure {
    Failure::user(format!("damaged: {what}"))
}
