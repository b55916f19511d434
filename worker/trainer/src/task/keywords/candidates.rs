//! Which words and phrases of a document may be its keywords: the rules of scikit-learn's `CountVectorizer`, or stricter
//! ones of which phrases there are.

use super::stop_words;
use anyhow::{Result, bail, ensure};
use regex::Regex;
use std::collections::{BTreeSet, HashMap};
use trainer_protocol::{KeywordOptions, PhraseRule};

/// Words as `(?u)\b\w\w+\b` finds them. Python's `\w` is letters, numbers and the underscore, without combining marks
/// (unlike `\w` of the regex crate), so Devanagari vowel signs divide words. Runs of two or more of them are all that
/// the word boundaries leave.
const WORD: &str = r"[\p{L}\p{N}_]{2,}";

/// Words of phrases that stand in the text: what hyphens join is one, as in "rule-based system". On Inspec (500 abstracts,
/// n-grams 1 to 3) F1@10 is 0.200 so, 0.187 with [`WORD`], and 0.087 with KeyBERT's phrases (on 100).
const COMPOUND: &str = r"[\p{L}\p{N}_]+(?:-[\p{L}\p{N}_]+)*";

/// The candidates of some documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    names: Vec<String>,
    of_documents: Vec<Vec<usize>>,
}

impl Candidates {
    /// What `CountVectorizer(ngram_range=…, stop_words=…)` finds in `documents`: words in lower case, stop words dropped
    /// **before** neighbours are joined to phrases; or of these phrases those that stand in the text.
    ///
    /// # Errors
    /// An n-gram range that is empty or starts at 0, or a stop word list that is not known.
    pub fn find(documents: &[String], options: &KeywordOptions) -> Result<Self> {
        let (fewest, most) = options.keyphrase_ngram_range;
        ensure!(
            0 < fewest && fewest <= most,
            "keyphrase_ngram_range is [{fewest}, {most}], expected two numbers from 1 up, the smaller one first"
        );
        let drop_english = match options.stop_words.as_deref() {
            None => false,
            Some("english") => true,
            Some(other) => bail!("stop_words is `{other}`, expected `english` or nothing"),
        };
        let word = Regex::new(match options.candidates {
            PhraseRule::Keybert => WORD,
            PhraseRule::Contiguous => COMPOUND,
        })?;
        let phrases: Vec<BTreeSet<String>> = documents
            .iter()
            .map(|document| {
                let lower = document.to_lowercase();
                let runs = runs(&lower, &word, drop_english, options.candidates);
                let of_length = |length| runs.iter().flat_map(move |run| run.windows(length));
                (fewest as usize..=most as usize)
                    .flat_map(|length| of_length(length).map(|words| words.join(" ")))
                    .collect()
            })
            .collect();
        Ok(Self::number(&phrases))
    }

    /// Numbers the distinct phrases by code point.
    fn number(phrases: &[BTreeSet<String>]) -> Self {
        let distinct: BTreeSet<&String> = phrases.iter().flatten().collect();
        let numbers: HashMap<&String, usize> = distinct.iter().zip(0..).map(|(&name, number)| (name, number)).collect();
        let of_documents = phrases
            .iter()
            .map(|own| own.iter().map(|name| numbers[name]).collect())
            .collect();
        Self {
            names: distinct.into_iter().cloned().collect(),
            of_documents,
        }
    }

    /// Every candidate once, by code point (`get_feature_names_out`).
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// For each document its candidates, as ascending indices into [`Candidates::names`].
    #[must_use]
    pub fn of_documents(&self) -> &[Vec<usize>] {
        &self.of_documents
    }
}

/// The words of a text that are kept, in runs within which neighbours make phrases.
fn runs<'a>(text: &'a str, word: &Regex, drop_english: bool, rule: PhraseRule) -> Vec<Vec<&'a str>> {
    let mut runs = vec![Vec::new()];
    let mut end = 0;
    for found in word.find_iter(text) {
        let is_stop_word = drop_english && stop_words::is_english(found.as_str());
        let dropped = is_stop_word || found.as_str().chars().nth(1).is_none();
        let apart = dropped || !text[end..found.start()].chars().all(char::is_whitespace);
        end = found.end();
        if apart && rule == PhraseRule::Contiguous {
            runs.push(Vec::new());
        }
        if let (false, Some(run)) = (dropped, runs.last_mut()) {
            run.push(found.as_str());
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(document: &str, range: (u32, u32), stop_words: Option<&str>) -> Vec<String> {
        let options = KeywordOptions {
            keyphrase_ngram_range: range,
            stop_words: stop_words.map(String::from),
            ..KeywordOptions::default()
        };
        let found = Candidates::find(&[document.to_owned()], &options).expect("the options are in range");
        found.names().to_vec()
    }

    #[test]
    fn phrases_reach_across_dropped_stop_words() {
        let found = find("The state of the Art", (2, 2), Some("english"));
        assert_eq!(found, ["state art"]);
    }

    #[test]
    fn contiguous_phrases_have_nothing_between_their_words() {
        let options = |range| KeywordOptions {
            keyphrase_ngram_range: range,
            candidates: PhraseRule::Contiguous,
            ..KeywordOptions::default()
        };
        let found = |text: &str, range| {
            let found = Candidates::find(&[text.to_owned()], &options(range)).expect("in range");
            found.names().to_vec()
        };
        let text = "The state of the Art, tram\n line 5 well-known plan b works";
        let all = [
            "art",
            "line",
            "plan",
            "state",
            "tram",
            "tram line",
            "well-known",
            "well-known plan",
            "works",
        ];
        assert_eq!(found(text, (1, 2)), all);
        assert_eq!(found(text, (3, 3)), Vec::<String>::new());
        assert_eq!(found("fast tram line", (3, 3)), ["fast tram line"]);
    }

    #[test]
    fn single_letters_are_no_words() {
        assert_eq!(find("a b1 c_ é éa", (1, 1), None), ["b1", "c_", "éa"]);
    }

    #[test]
    fn combining_marks_divide_words() {
        // Not one word of the Devanagari text is left: marks stand between all its letters.
        assert_eq!(find("हिन्दी भाषा cafe\u{301}s", (1, 1), None), ["cafe"]);
    }

    #[test]
    fn a_short_document_has_no_long_phrases() {
        assert_eq!(find("tram line", (3, 5), None), Vec::<String>::new());
    }

    #[test]
    fn ranges_that_cannot_be_are_refused() {
        for range in [(0, 1), (2, 1)] {
            let options = KeywordOptions {
                keyphrase_ngram_range: range,
                ..KeywordOptions::default()
            };
            let error = Candidates::find(&[], &options).expect_err("the range is impossible");
            assert!(error.to_string().contains("keyphrase_ngram_range"), "{error}");
        }
    }
}
