//! A SentencePiece model file: the few fields of its protobuf `ModelProto` that matter here, read as hostile input.
//!
//! Field numbers are those of `sentencepiece_model.proto`; all other fields are skipped.

/// The parts of a model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Model {
    /// Pieces in the order of their ids.
    pub(super) pieces: Vec<Piece>,
    /// Index of the piece that stands for what is not known.
    pub(super) unknown: usize,
    /// Are characters without a piece written as bytes?
    pub(super) byte_fallback: bool,
    /// Rules of normalisation; empty for none.
    pub(super) charsmap: Vec<u8>,
}

/// One piece.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Logarithm of its probability.
    pub(super) score: f32,
    pub(super) kind: u64,
}

/// Kinds of pieces.
const NORMAL: u64 = 1;
const UNKNOWN: u64 = 2;
pub(super) const CONTROL: u64 = 3;
pub(super) const USER_DEFINED: u64 = 4;

/// `model_type` of the trainer's settings.
const UNIGRAM: u64 = 1;

/// What is wrong with a file.
type Wrong = &'static str;

impl Model {
    /// Reads a Unigram model.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Wrong> {
        let mut model = Self {
            pieces: Vec::new(),
            unknown: 0,
            byte_fallback: false,
            charsmap: Vec::new(),
        };
        let mut kind = UNIGRAM;
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(piece)) => model.pieces.push(Piece::read(piece)?),
                (2, Value::Bytes(trainer)) => {
                    for field in Fields(trainer) {
                        match field? {
                            (3, Value::Number(number)) => kind = number,
                            (35, Value::Number(number)) => model.byte_fallback = number != 0,
                            _ => {}
                        }
                    }
                }
                (3, Value::Bytes(normalizer)) => {
                    for field in Fields(normalizer) {
                        if let (2, Value::Bytes(charsmap)) = field? {
                            model.charsmap = charsmap.to_vec();
                        }
                    }
                }
                _ => {}
            }
        }
        if kind != UNIGRAM {
            return Err("not a Unigram model");
        }
        let unknown = model.pieces.iter().position(|piece| piece.kind == UNKNOWN);
        model.unknown = unknown.ok_or("not a SentencePiece model: it has no piece for what is not known")?;
        Ok(model)
    }
}

impl Piece {
    fn read(bytes: &[u8]) -> Result<Self, Wrong> {
        let (mut text, mut score, mut kind) = ("", 0.0, NORMAL);
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(bytes)) => text = std::str::from_utf8(bytes).map_err(|_| "a piece is not UTF-8")?,
                (2, Value::Fixed(bits)) => score = f32::from_bits(bits),
                (3, Value::Number(number)) => kind = number,
                _ => {}
            }
        }
        if text.is_empty() {
            return Err("a piece is empty");
        }
        if !score.is_finite() {
            return Err("the score of a piece is not finite");
        }
        Ok(Self {
            text: text.to_owned(),
            score,
            kind,
        })
    }
}

/// The value of a field on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'a> {
    Number(u64),
    Fixed(u32),
    Long,
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers; ends at the first that is broken.
struct Fields<'a>(&'a [u8]);

const CUT: Wrong = "it ends in the middle of a field";

impl<'a> Fields<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], Wrong> {
        let count = usize::try_from(count).map_err(|_| CUT)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, Wrong> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number is longer than ten bytes")
    }

    fn field(&mut self) -> Result<(u64, Value<'a>), Wrong> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => {
                self.take(8)?;
                Value::Long
            }
            2 => {
                let length = self.number()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?.try_into().map_err(|_| CUT)?;
                Value::Fixed(u32::from_le_bytes(bytes))
            }
            _ => return Err("not a protobuf message"),
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Wrong>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(number: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, body.len() as u8];
        bytes.extend(body);
        bytes
    }

    fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
        let mut body = message(1, text.as_bytes());
        body.push(2 << 3 | 5);
        body.extend(score.to_le_bytes());
        body.extend([3 << 3, kind]);
        message(1, &body)
    }

    fn small() -> Vec<u8> {
        let mut bytes = [piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3), piece("▁a", -1.5, 1)].concat();
        bytes.extend(message(2, &[3 << 3, 1, 0x98, 0x02, 1])); // model_type 1, byte_fallback (35) true
        bytes.extend(message(3, &message(2, b"\x04\0\0\0\0\0\0\0")));
        bytes
    }

    #[test]
    fn fields_are_found() {
        let model = Model::read(&small()).unwrap();
        assert_eq!((model.unknown, model.byte_fallback, model.charsmap.len()), (0, true, 8));
        assert_eq!((model.pieces[2].text.as_str(), model.pieces[2].score), ("▁a", -1.5));
        assert_eq!(model.pieces[1].kind, CONTROL);
    }

    #[test]
    fn what_is_not_such_a_model_is_refused() {
        let bpe = [small(), message(2, &[3 << 3, 2])].concat();
        assert_eq!(Model::read(&bpe), Err("not a Unigram model"));
        assert!(Model::read(b"").is_err());
        assert!(Model::read(b"version https://git-lfs.github.com/spec/v1\n").is_err());
        let whole = small();
        assert!(Model::read(&whole[..whole.len() - 1]).is_err());
        let infinite = [small(), piece("b", f32::INFINITY, 1)].concat();
        assert_eq!(Model::read(&infinite), Err("the score of a piece is not finite"));
        assert_eq!(
            Model::read(&[small(), piece("", 0.0, 1)].concat()),
            Err("a piece is empty")
        );
        assert_eq!(
            Model::read(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            Err(CUT)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), cut: prop::sample::Index) {
            let mut bytes = small();
            for (place, byte) in mutations {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            if let Ok(model) = Model::read(&bytes) {
                prop_assert!(model.unknown < model.pieces.len());
            }
        }
    }
}
