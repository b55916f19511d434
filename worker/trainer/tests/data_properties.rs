//! Properties of reading, dividing and writing data.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use trainer::data::{DataError, Dataset, permutation, read, split, write_parquet};
use trainer_protocol::{DataColumns, DataFormat, DataSource, Task};

const FORMATS: [DataFormat; 4] = [
    DataFormat::Jsonl,
    DataFormat::Csv,
    DataFormat::Conll,
    DataFormat::Parquet,
];
const TASKS: [Task; 3] = [
    Task::TextClassification,
    Task::TokenClassification,
    Task::FeatureExtraction,
];

fn read_bytes(bytes: &[u8], format: DataFormat, task: Task) -> Result<Dataset, DataError> {
    let folder = tempfile::tempdir().expect("a folder for the file");
    fs::write(folder.path().join("file"), bytes).expect("the file can be written");
    read_in(folder.path(), format, task)
}

fn read_in(folder: &Path, format: DataFormat, task: Task) -> Result<Dataset, DataError> {
    let source = DataSource {
        path: "file".into(),
        format,
        name: "rows".into(),
    };
    read(folder, &source, task, &DataColumns::default(), None)
}

fn parquet_bytes(dataset: &Dataset) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let file = folder.path().join("file");
    write_parquet(dataset, &file).expect("the rows can be written");
    fs::read(file).expect("the file can be read")
}

/// Text that is not blank, with quotes, separators, line ends and all scripts.
fn text() -> impl Strategy<Value = String> {
    "[\\PC\\n\\r\\t\",;]{0,20}[a-z\u{416}\u{4e2d}\u{1f686}][\\PC\\n\\r\\t\",;]{0,20}"
}

/// A word or a tag: no white space, no comma.
fn word() -> impl Strategy<Value = String> {
    "[\\PC&&[^\\s,\u{feff}-]]{0,6}[A-Za-z\u{416}]"
}

fn labelled() -> impl Strategy<Value = Dataset> {
    vec((text(), word()), 1..40).prop_map(|rows| {
        let (texts, labels) = rows.into_iter().unzip();
        Dataset::Texts { texts, labels }
    })
}

fn tagged() -> impl Strategy<Value = Dataset> {
    vec(vec((word(), word()), 1..8), 1..20).prop_map(|rows| {
        let (tokens, tags) = rows.into_iter().map(|row| row.into_iter().unzip()).unzip();
        Dataset::Sentences { tokens, tags }
    })
}

fn described() -> impl Strategy<Value = Dataset> {
    vec((text(), vec(text(), 0..5)), 1..20).prop_map(|rows| {
        let (texts, keyphrases) = rows.into_iter().unzip();
        Dataset::Documents { texts, keyphrases }
    })
}

fn any_rows() -> impl Strategy<Value = (Dataset, Task)> {
    prop_oneof![
        labelled().prop_map(|rows| (rows, Task::TextClassification)),
        tagged().prop_map(|rows| (rows, Task::TokenClassification)),
        described().prop_map(|rows| (rows, Task::FeatureExtraction)),
    ]
}

fn json_lines(dataset: &Dataset) -> String {
    let line = |row: usize| match dataset {
        Dataset::Texts { texts, labels } => serde_json::json!({"text": texts[row], "label": labels[row]}),
        Dataset::Sentences { tokens, tags } => serde_json::json!({"tokens": tokens[row], "tags": tags[row]}),
        Dataset::Documents { texts, keyphrases } => {
            serde_json::json!({"text": texts[row], "keyphrases": keyphrases[row]})
        }
    };
    (0..dataset.len()).map(|row| format!("{}\n", line(row))).collect()
}

fn count(labels: &[String]) -> BTreeMap<&String, usize> {
    labels.iter().fold(BTreeMap::new(), |mut counts, label| {
        *counts.entry(label).or_default() += 1;
        counts
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..400)) {
        for format in FORMATS {
            for task in TASKS {
                if let Ok(dataset) = read_bytes(&bytes, format, task) {
                    prop_assert!(!dataset.is_empty());
                }
            }
        }
    }

    #[test]
    fn nearly_good_text_does_not_make_a_reader_panic(
        pieces in vec(prop_oneof![
            Just("{\"text\":"), Just("\"label\":"), Just("\"tokens\":["), Just("\"tags\":["), Just("\"x\""), Just("]"), Just("}"),
            Just(","), Just("\n"), Just("\r"), Just("\t"), Just("text,label\n"), Just("\""), Just("a O"), Just("\u{feff}"), Just("1"),
        ], 0..30)
    ) {
        for format in FORMATS {
            for task in TASKS {
                if let Err(error) = read_bytes(pieces.concat().as_bytes(), format, task) {
                    prop_assert!(error.to_string().starts_with("failed to read rows"), "{error}");
                }
            }
        }
    }

    #[test]
    fn damaged_parquet_does_not_make_the_reader_panic(
        (rows, task) in any_rows(), place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()
    ) {
        let mut bytes = parquet_bytes(&rows);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let _ = read_bytes(&bytes, DataFormat::Parquet, task);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(read_bytes(&bytes, DataFormat::Parquet, task).is_err());
    }

    #[test]
    fn json_lines_come_back((rows, task) in any_rows()) {
        let found = read_bytes(json_lines(&rows).as_bytes(), DataFormat::Jsonl, task);
        prop_assert_eq!(found.expect("the file is good"), rows);
    }

    #[test]
    fn parquet_comes_back_and_is_the_same_every_time((rows, task) in any_rows()) {
        let bytes = parquet_bytes(&rows);
        prop_assert_eq!(&bytes, &parquet_bytes(&rows));
        prop_assert_eq!(read_bytes(&bytes, DataFormat::Parquet, task).expect("the file is good"), rows);
    }

    #[test]
    fn csv_comes_back(rows in labelled()) {
        let Dataset::Texts { texts, labels } = &rows else { unreachable!("labelled rows are texts") };
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["text", "label"]).expect("memory can be written");
        for row in texts.iter().zip(labels) {
            writer.write_record([row.0, row.1]).expect("memory can be written");
        }
        let bytes = writer.into_inner().expect("memory can be written");
        prop_assert_eq!(read_bytes(&bytes, DataFormat::Csv, Task::TextClassification).expect("the file is good"), rows);
    }

    #[test]
    fn conll_comes_back(rows in tagged(), separator in prop_oneof![Just('\t'), Just(' ')]) {
        let Dataset::Sentences { tokens, tags } = &rows else { unreachable!("tagged rows are sentences") };
        let mut file = String::new();
        for (words, marks) in tokens.iter().zip(tags) {
            for (word, mark) in words.iter().zip(marks) {
                file.push_str(&format!("{word}{separator}X{separator}{mark}\n"));
            }
            file.push('\n');
        }
        let found = read_bytes(file.as_bytes(), DataFormat::Conll, Task::TokenClassification);
        prop_assert_eq!(found.expect("the file is good"), rows);
    }

    #[test]
    fn a_split_loses_nothing_and_keeps_the_shares(
        labels in vec(0..5u8, 2..300), test_size in 0.05..0.95f64, seed in any::<u64>()
    ) {
        let rows = Dataset::Texts {
            texts: (0..labels.len()).map(|row| row.to_string()).collect(),
            labels: labels.iter().map(ToString::to_string).collect(),
        };
        let Ok((training, validation)) = split(&rows, test_size, seed) else { return Ok(()) };
        prop_assert_eq!(&split(&rows, test_size, seed).expect("it did before"), &(training.clone(), validation.clone()));
        let (Dataset::Texts { texts: kept, labels: kept_labels }, Dataset::Texts { texts: held, labels: held_labels }) =
            (training, validation) else { unreachable!("the parts of texts are texts") };
        let mut all: Vec<usize> = kept.iter().chain(&held).map(|text| text.parse().expect("a number")).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
        let (kept, held) = (count(&kept_labels), count(&held_labels));
        let single = kept.values().filter(|&&rows| rows == 1).count() as f64;
        for (label, rows) in &kept {
            let held = held.get(label).copied().unwrap_or(0);
            let share = (rows + held) as f64 * test_size;
            prop_assert!((held as f64 - share).abs() <= 2.0 + single, "{held} of label {label}, expected about {share}");
        }
    }

    #[test]
    fn a_permutation_has_every_index_once(count in 0..500usize, seed in any::<u64>()) {
        let mut order = permutation(count, seed);
        order.sort_unstable();
        prop_assert_eq!(order, (0..count).collect::<Vec<_>>());
    }
}
