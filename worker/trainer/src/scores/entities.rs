//! Scores of named entities, as seqeval counts them by default (the rules of CoNLL-2000's `conlleval`).

use super::{Scores, label_scores, ratio};
use std::collections::{BTreeMap, HashSet};

/// Strict scores: an entity is right if its type, first and last word are. `precision`, `recall` and `f1` are micro
/// averages over all entities, `accuracy` is over words, `per_label` is by entity type.
///
/// `gold[i]` and `predicted[i]` are the tags of the words of sentence `i`, as long as each other. Without words there
/// are no scores. A broken tag sequence is read leniently, as [`spans`] says.
#[must_use]
pub fn entities(gold: &[Vec<String>], predicted: &[Vec<String>]) -> Scores {
    debug_assert_eq!(gold.len(), predicted.len(), "one prediction a sentence");
    let (mut words, mut right_words) = (0, 0);
    let mut counts: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for (gold, predicted) in gold.iter().zip(predicted) {
        debug_assert_eq!(gold.len(), predicted.len(), "one tag a word");
        words += gold.len() as u64;
        right_words += gold
            .iter()
            .zip(predicted)
            .filter(|(right, guess)| right == guess)
            .count() as u64;
        let wanted: HashSet<Span<'_>> = spans(gold).into_iter().collect();
        for span in spans(predicted) {
            let of_type = counts.entry(span.kind.to_owned()).or_default();
            of_type[0] += u64::from(wanted.contains(&span));
            of_type[1] += 1;
        }
        for span in wanted {
            counts.entry(span.kind.to_owned()).or_default()[2] += 1;
        }
    }
    if words == 0 {
        return Scores::default();
    }
    let [right, guessed, support] = counts.values().fold([0; 3], |sum, count| {
        std::array::from_fn(|index| sum[index] + count[index])
    });
    let total = label_scores(right, guessed, support);
    let per_label = counts
        .into_iter()
        .map(|(kind, [right, guessed, support])| (kind, label_scores(right, guessed, support)))
        .collect();
    Scores::new(
        [
            ("precision", total.precision),
            ("recall", total.recall),
            ("f1", total.f1),
            ("accuracy", ratio(right_words, words)),
        ],
        per_label,
    )
}

/// One entity: its type, first word and the word after its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Span<'a> {
    kind: &'a str,
    start: usize,
    end: usize,
}

/// The entities of one sentence.
///
/// A tag is one character (`B`, `I`, `E`, `S`, `O`) and, after a hyphen, a type; no type counts as type `_`. An entity
/// starts at `B` or `S`, at `I` or `E` after an entity's end, and wherever the type changes; so `I-x` after `O` starts
/// one. This is `get_entities` of seqeval 1.2.2, with its answers for tags outside the scheme.
fn spans(tags: &[String]) -> Vec<Span<'_>> {
    let outside = ('O', "");
    let mut found = Vec::new();
    let mut start = 0;
    let mut previous = outside;
    for (index, tag) in tags.iter().map(|tag| parts(tag)).chain([parts("O")]).enumerate() {
        if ends(previous, tag) {
            found.push(Span {
                kind: previous.1,
                start,
                end: index,
            });
        }
        if starts(previous, tag) {
            start = index;
        }
        previous = tag;
    }
    found
}

/// Prefix and type of a tag.
fn parts(tag: &str) -> (char, &str) {
    let mut rest = tag.chars();
    let prefix = rest.next().unwrap_or('O');
    let rest = rest.as_str();
    let kind = rest.split_once('-').map_or(rest, |(_, kind)| kind);
    (prefix, if kind.is_empty() { "_" } else { kind })
}

/// Whether an entity that holds the previous word ends before this one.
fn ends(previous: (char, &str), tag: (char, &str)) -> bool {
    match (previous.0, tag.0) {
        ('E' | 'S', _) | ('B' | 'I', 'B' | 'S' | 'O') => true,
        ('O' | '.', _) => false,
        _ => previous.1 != tag.1,
    }
}

/// Whether an entity starts at this word.
fn starts(previous: (char, &str), tag: (char, &str)) -> bool {
    match (previous.0, tag.0) {
        (_, 'B' | 'S') | ('E' | 'S' | 'O', 'E' | 'I') => true,
        (_, 'O' | '.') => false,
        _ => previous.1 != tag.1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(line: &str) -> Vec<String> {
        line.split(' ').map(String::from).collect()
    }

    fn found(line: &str) -> Vec<(String, usize, usize)> {
        spans(&tags(line))
            .iter()
            .map(|span| (span.kind.to_owned(), span.start, span.end))
            .collect()
    }

    fn span(kind: &str, start: usize, end: usize) -> (String, usize, usize) {
        (kind.to_owned(), start, end)
    }

    #[test]
    fn an_inside_tag_after_outside_starts_an_entity() {
        assert_eq!(found("O I-x I-x O"), [span("x", 1, 3)]);
    }

    #[test]
    fn a_change_of_type_ends_and_starts() {
        assert_eq!(found("B-x I-y I-y"), [span("x", 0, 1), span("y", 1, 3)]);
    }

    #[test]
    fn a_type_may_hold_hyphens() {
        assert_eq!(found("B-creative-work I-creative-work"), [span("creative-work", 0, 2)]);
    }

    #[test]
    fn half_an_entity_is_wrong() {
        let scores = entities(&[tags("B-x I-x O B-y")], &[tags("B-x O O B-y")]);
        assert_eq!(scores.scores["precision"], 0.5);
        assert_eq!(scores.scores["f1"], 0.5);
        assert_eq!(scores.scores["accuracy"], 0.75);
        assert_eq!(scores.per_label["x"].f1, 0.0);
        assert_eq!(scores.per_label["y"].support, 1);
    }
}
