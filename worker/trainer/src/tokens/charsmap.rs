//! `precompiled_charsmap`: how a SentencePiece model normalises text.
//!
//! It holds the length of a trie, the trie as a double array of 32-bit units (darts-clone), and the texts that replace
//! what the trie finds, each ended by a zero byte. The reader in the `tokenizers` crate trusts it: a broken one makes it
//! panic at some text or ask for memory without end. So every unit that a text can reach is checked first.

use serde_json::Value;

/// Can this map be used with every text?
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or("the trie is missing")?;
    let length = u32::from_le_bytes(*length) as usize;
    if !length.is_multiple_of(4) {
        return Err("the length of the trie is not a multiple of 4");
    }
    let (trie, texts) = rest.split_at_checked(length).ok_or("the trie is cut off")?;
    let texts = std::str::from_utf8(texts).map_err(|_| "the texts are not UTF-8")?;
    let units: Vec<u32> = trie
        .chunks_exact(4)
        .map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]))
        .collect();
    check_units(&units, texts)
}

/// Where the children of a unit lie, relative to it.
fn offset(unit: u32) -> usize {
    ((unit >> 10) as usize) << ((unit & (1 << 9)) >> 6)
}

fn check_units(units: &[u32], texts: &str) -> Result<(), &'static str> {
    const OUTSIDE: &str = "the trie points outside itself";
    let root = *units.first().ok_or("the trie is empty")?;
    // Bases from which children were looked for: as in every search, a child is at `base ^ letter`.
    let mut seen = vec![false; units.len()];
    let mut bases = vec![offset(root)];
    while let Some(base) = bases.pop() {
        if std::mem::replace(seen.get_mut(base).ok_or(OUTSIDE)?, true) {
            continue;
        }
        for letter in 1..=255 {
            let place = base ^ letter;
            let unit = *units.get(place).ok_or(OUTSIDE)?;
            if unit & (1 << 31 | 0xff) != letter as u32 {
                continue;
            }
            let next = place ^ offset(unit);
            if unit >> 8 & 1 == 1 {
                let value = *units.get(next).ok_or(OUTSIDE)? & !(1 << 31);
                if !texts.is_char_boundary(value as usize) {
                    return Err("the trie points outside the texts");
                }
            }
            bases.push(next);
        }
    }
    Ok(())
}

/// The same for every map in the normalizer of a `tokenizer.json`.
pub(super) fn check_normalizer(normalizer: &Value) -> Result<(), &'static str> {
    match normalizer {
        Value::Array(parts) => parts.iter().try_for_each(check_normalizer),
        Value::Object(fields) => {
            if let Some(Value::String(map)) = fields.get("precompiled_charsmap") {
                check(&decode(map).ok_or("precompiled_charsmap is not base64")?)?;
            }
            fields.values().try_for_each(check_normalizer)
        }
        _ => Ok(()),
    }
}

/// Base64 with padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let letters = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(letters.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in letters.bytes() {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use tokenizers::normalizers::Precompiled;
    use tokenizers::{NormalizedString, Normalizer};

    /// `a` becomes `bc`: the root's children lie at 0 ^ letter, the leaf of `a` at 2.
    fn small() -> Vec<u8> {
        let mut units = vec![0_u32; 256];
        units[b'a' as usize] = u32::from(b'a') | 1 << 8 | ((b'a' as u32 ^ 2) << 10);
        units[2] = 1 << 31 | 1;
        let mut bytes = (units.len() as u32 * 4).to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(b"\0bc\0");
        bytes
    }

    fn normalize(map: &[u8], text: &str) -> String {
        let mut text = NormalizedString::from(text);
        Precompiled::from(map).unwrap().normalize(&mut text).unwrap();
        text.get().to_owned()
    }

    #[test]
    fn a_good_map_passes_and_works() {
        check(&small()).unwrap();
        assert_eq!(normalize(&small(), "xax"), "xbcx");
    }

    #[test]
    fn broken_maps_are_named() {
        assert_eq!(check(b""), Err("the trie is missing"));
        assert_eq!(check(&[0; 4]), Err("the trie is empty"));
        assert_eq!(
            check(&u32::MAX.to_le_bytes()),
            Err("the length of the trie is not a multiple of 4")
        );
        assert_eq!(check(&[0xfc, 0xff, 0xff, 0xff]), Err("the trie is cut off"));
        let mut outside = small();
        outside[4..8].copy_from_slice(&(1_u32 << 20).to_le_bytes());
        assert_eq!(check(&outside), Err("the trie points outside itself"));
        let mut texts = small();
        texts[4 + 8] = 200;
        assert_eq!(check(&texts), Err("the trie points outside the texts"));
    }

    #[test]
    fn maps_are_found_in_a_normalizer() {
        let map = |text: &str| json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Precompiled", "precompiled_charsmap": text}]});
        assert_eq!(check_normalizer(&map("AAAAAA==")), Err("the trie is empty"));
        assert_eq!(check_normalizer(&map("?")), Err("precompiled_charsmap is not base64"));
        assert_eq!(check_normalizer(&json!(null)), Ok(()));
        assert_eq!(decode("AQIDBP8="), Some(vec![1, 2, 3, 4, 255]));
    }

    proptest! {
        #[test]
        fn a_map_that_passes_takes_every_text(mutations in prop::collection::vec((0_usize..600, any::<u8>()), 0..30), text: String) {
            let mut map = small();
            for (place, byte) in mutations {
                let place = place % map.len();
                map[place] = byte;
            }
            if check(&map).is_ok() {
                normalize(&map, &(text + "a ab\u{e4}"));
            }
        }
    }
}
