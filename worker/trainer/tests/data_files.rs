//! What the readers accept, and what they say about a file that they refuse.

use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use trainer::data::{DataError, Dataset, MAX_LINE_BYTES, read, split, write_parquet};
use trainer_protocol::{DataColumns, DataFormat, DataSource, Task};

/// A folder with one data file, which the user calls `config/x/rows`.
struct Inputs {
    folder: TempDir,
    columns: DataColumns,
}

impl Inputs {
    fn with(bytes: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the file");
        fs::write(folder.path().join("file"), bytes).expect("the file can be written");
        Self {
            folder,
            columns: DataColumns::default(),
        }
    }

    fn read(&self, format: DataFormat, task: Task) -> Result<Dataset, DataError> {
        self.read_path("file", format, task, None)
    }

    fn read_path(&self, path: &str, format: DataFormat, task: Task, rows: Option<u64>) -> Result<Dataset, DataError> {
        let source = DataSource {
            path: path.to_owned(),
            format,
            name: "config/x/rows".to_owned(),
        };
        read(self.folder.path(), &source, task, &self.columns, rows)
    }

    #[track_caller]
    fn refusal(&self, format: DataFormat, task: Task) -> String {
        self.read(format, task).expect_err("the file is bad").to_string()
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn texts(texts: &[&str], labels: &[&str]) -> Dataset {
    Dataset::Texts {
        texts: strings(texts),
        labels: strings(labels),
    }
}

fn sentences(tokens: &[&[&str]], tags: &[&[&str]]) -> Dataset {
    Dataset::Sentences {
        tokens: tokens.iter().map(|words| strings(words)).collect(),
        tags: tags.iter().map(|marks| strings(marks)).collect(),
    }
}

#[test]
fn json_lines_may_have_a_byte_order_mark_blank_lines_and_integer_labels() {
    let file = "\u{feff}{\"text\": \"one\", \"label\": 1, \"more\": {}}\r\n\n{\"label\": \"2\", \"text\": \"two\\n\"}";
    let found = Inputs::with(file)
        .read(DataFormat::Jsonl, Task::TextClassification)
        .expect("the file is good");
    assert_eq!(found, texts(&["one", "two\n"], &["1", "2"]));
}

#[test]
fn json_lines_hold_sentences_and_documents() {
    let file = Inputs::with(r#"{"tokens": ["Ann", "runs"], "tags": [1, "O"], "text": "Ann", "keyphrases": ["a b"]}"#);
    let found = file
        .read(DataFormat::Jsonl, Task::TokenClassification)
        .expect("the file is good");
    assert_eq!(found, sentences(&[&["Ann", "runs"]], &[&["1", "O"]]));
    let found = file
        .read(DataFormat::Jsonl, Task::FeatureExtraction)
        .expect("the file is good");
    let expected = Dataset::Documents {
        texts: strings(&["Ann"]),
        keyphrases: vec![strings(&["a b"])],
    };
    assert_eq!(found, expected);
}

#[test]
fn a_bad_json_line_is_named_with_its_field() {
    let good = "{\"text\": \"one\", \"label\": \"a\"}\n";
    for (line, expected) in [
        ("{\"text\": \"x\"", "line 2: it is not JSON"),
        ("[1]", "line 2: found a list, expected a JSON object"),
        (
            "{\"label\": \"a\"}",
            "line 2, field `text`: it is missing, expected a string",
        ),
        (
            "{\"text\": 5, \"label\": \"a\"}",
            "line 2, field `text`: found an integer, expected a string",
        ),
        (
            "{\"text\": \" \", \"label\": \"a\"}",
            "line 2, field `text`: it is blank",
        ),
        (
            "{\"text\": \"x\", \"label\": \"\"}",
            "line 2, field `label`: it is blank",
        ),
        (
            "{\"text\": \"x\", \"label\": null}",
            "line 2, field `label`: it is missing, expected a string or an integer",
        ),
        (
            "{\"text\": \"x\", \"label\": 0.5}",
            "line 2, field `label`: found a number with a fraction",
        ),
        (
            "{\"text\": \"x\", \"label\": true}",
            "line 2, field `label`: found true or false",
        ),
    ] {
        let found = Inputs::with(format!("{good}{line}\n")).refusal(DataFormat::Jsonl, Task::TextClassification);
        assert!(
            found.starts_with(&format!("failed to read config/x/rows, {expected}")),
            "{line}: {found}"
        );
    }
}

#[test]
fn lists_are_checked_item_by_item() {
    for (line, expected) in [
        (
            r#"{"tokens": ["a", "b"], "tags": ["O"]}"#,
            "field `tags`: 1 tags for 2 tokens",
        ),
        (
            r#"{"tokens": [], "tags": []}"#,
            "field `tokens`: expected at least one token",
        ),
        (
            r#"{"tokens": ["a", 1], "tags": ["O", "O"]}"#,
            "field `tokens`: item 2 is an integer, expected a string",
        ),
        (r#"{"tokens": ["a"], "tags": [""]}"#, "field `tags`: item 1 is blank"),
        (
            r#"{"tokens": "a", "tags": ["O"]}"#,
            "field `tokens`: found a string, expected a list of strings",
        ),
    ] {
        let found = Inputs::with(line).refusal(DataFormat::Jsonl, Task::TokenClassification);
        assert_eq!(found, format!("failed to read config/x/rows, line 1, {expected}"));
    }
}

#[test]
fn text_that_is_not_utf_8_is_named_with_its_line() {
    let jsonl = Inputs::with(b"{\"text\": \"a\", \"label\": \"b\"}\n{\"text\": \"\xff\"}\n");
    let found = jsonl.refusal(DataFormat::Jsonl, Task::TextClassification);
    assert!(found.contains("line 2: byte 11 is not UTF-8"), "{found}");
    let csv = Inputs::with(b"text,label\na,b\n\xff,b\n");
    let found = csv.refusal(DataFormat::Csv, Task::TextClassification);
    assert!(found.contains("line 3, field `text`: it is not UTF-8"), "{found}");
}

#[test]
fn a_line_without_end_is_refused_without_reading_on() {
    let line = vec![b'x'; MAX_LINE_BYTES + 5];
    for (format, task) in [
        (DataFormat::Jsonl, Task::TextClassification),
        (DataFormat::Conll, Task::TokenClassification),
    ] {
        let found = Inputs::with(&line).refusal(format, task);
        assert!(found.contains("line 1: it is longer than 4194304 bytes"), "{found}");
    }
    let unclosed = [b"text,label\n\"".as_slice(), &line].concat();
    let found = Inputs::with(unclosed).refusal(DataFormat::Csv, Task::TextClassification);
    assert!(found.contains("line 2"), "{found}");
}

#[test]
fn csv_takes_columns_by_name_and_quoted_line_ends() {
    let mut file = Inputs::with("\u{feff}id,Topic,body\r\n1,a,\"two\nlines, \"\"quoted\"\"\"\r\n2,b,x\r\n");
    file.columns.text = "body".into();
    file.columns.label = "Topic".into();
    let found = file
        .read(DataFormat::Csv, Task::TextClassification)
        .expect("the file is good");
    assert_eq!(found, texts(&["two\nlines, \"quoted\"", "x"], &["a", "b"]));
}

#[test]
fn csv_keyphrases_stand_between_semicolons() {
    let file = Inputs::with("text,keyphrases\na red tram,red tram; tram ;\nnothing,\n");
    let expected = Dataset::Documents {
        texts: strings(&["a red tram", "nothing"]),
        keyphrases: vec![strings(&["red tram", "tram"]), vec![]],
    };
    assert_eq!(
        file.read(DataFormat::Csv, Task::FeatureExtraction)
            .expect("the file is good"),
        expected
    );
}

#[test]
fn a_bad_csv_record_is_named() {
    for (file, expected) in [
        (
            "text,kind\na,b\n",
            "line 1, field `label`: the header has no such column; it has: text, kind",
        ),
        (
            "text,label,text\na,b,c\n",
            "line 1, field `text`: the header names it twice",
        ),
        (
            "text,label\n\"a\nb\",c\nd\n",
            "line 4: found 1 fields, expected 2 as in the header",
        ),
        ("text,label\na,\n", "line 2, field `label`: it is blank"),
    ] {
        let found = Inputs::with(file).refusal(DataFormat::Csv, Task::TextClassification);
        assert_eq!(found, format!("failed to read config/x/rows, {expected}"));
    }
}

#[test]
fn conll_takes_first_and_last_column_between_tabs_or_spaces() {
    let file = "-DOCSTART- -X- O O\n\nAnn NNP B-NP B-person\nruns VBZ I-NP O\n \t \nNew York\tx\tB-location,B-group\r\n\n\n\nx\tO";
    let found = Inputs::with(file)
        .read(DataFormat::Conll, Task::TokenClassification)
        .expect("the file is good");
    let expected = sentences(
        &[&["Ann", "runs"], &["New York"], &["x"]],
        &[&["B-person", "O"], &["B-location"], &["O"]],
    );
    assert_eq!(found, expected);
}

#[test]
fn a_bad_conll_line_is_named() {
    for (file, expected) in [
        (
            "a\tO\nword\n",
            "line 2, field `tags`: found one column, expected a word and its tag; the word is `word`",
        ),
        ("a\tO\nword\t\n", "line 2, field `tags`: it is blank"),
        ("a\t,B-x\n", "line 1, field `tags`: it is blank"),
        ("\tO\n", "line 1, field `tokens`: it is blank"),
    ] {
        let found = Inputs::with(file).refusal(DataFormat::Conll, Task::TokenClassification);
        assert_eq!(found, format!("failed to read config/x/rows, {expected}"));
    }
}

#[test]
fn files_of_pyarrow_are_read() {
    let mut file = Inputs::with(fs::read(fixture("pyarrow.parquet")).expect("the fixture can be read"));
    let expected = texts(&["Grüße", "zwei\nZeilen", "three"], &["a", "b", "a"]);
    assert_eq!(
        file.read(DataFormat::Parquet, Task::TextClassification)
            .expect("the file is good"),
        expected
    );
    let words: &[&[&str]] = &[&["Ann", "runs"], &["Oslo"], &["a", "b", "c"]];
    let expected = sentences(words, &[&["B-person", "O"], &["B-location"], &["O", "O", "O"]]);
    assert_eq!(
        file.read(DataFormat::Parquet, Task::TokenClassification)
            .expect("the file is good"),
        expected
    );
    file.columns.label = "number".into();
    file.columns.tags = "tag_ids".into();
    let expected = texts(&["Grüße", "zwei\nZeilen", "three"], &["3", "1", "2"]);
    assert_eq!(
        file.read(DataFormat::Parquet, Task::TextClassification)
            .expect("the file is good"),
        expected
    );
    let expected = sentences(words, &[&["1", "0"], &["2"], &["0", "0", "0"]]);
    assert_eq!(
        file.read(DataFormat::Parquet, Task::TokenClassification)
            .expect("the file is good"),
        expected
    );
}

#[test]
fn a_bad_parquet_file_is_named() {
    let null = Inputs::with(fs::read(fixture("null.parquet")).expect("the fixture can be read"));
    let found = null.refusal(DataFormat::Parquet, Task::TextClassification);
    assert_eq!(
        found,
        "failed to read config/x/rows, row 2, field `text`: it is missing, expected a string"
    );
    let found = null.refusal(DataFormat::Parquet, Task::TokenClassification);
    assert_eq!(
        found,
        "failed to read config/x/rows: it has no column `tokens`; it has: text, label"
    );
    let mut share = Inputs::with(fs::read(fixture("pyarrow.parquet")).expect("the fixture can be read"));
    share.columns.label = "share".into();
    let found = share.refusal(DataFormat::Parquet, Task::TextClassification);
    assert!(
        found.contains("row 1, field `share`: found a number with a fraction"),
        "{found}"
    );
    let found = Inputs::with("PAR1 no PAR1").refusal(DataFormat::Parquet, Task::TextClassification);
    assert!(
        found.starts_with("failed to read config/x/rows: it is not a readable Parquet file"),
        "{found}"
    );
}

#[test]
fn files_without_rows_are_refused() {
    for (file, format, task) in [
        ("", DataFormat::Jsonl, Task::TextClassification),
        ("\n \n", DataFormat::Jsonl, Task::TextClassification),
        ("", DataFormat::Csv, Task::TextClassification),
        ("text,label\n", DataFormat::Csv, Task::TextClassification),
        ("-DOCSTART- O\n\n", DataFormat::Conll, Task::TokenClassification),
    ] {
        assert_eq!(
            Inputs::with(file).refusal(format, task),
            "failed to read config/x/rows: it holds no rows"
        );
    }
}

#[test]
fn formats_that_cannot_hold_the_task_are_refused() {
    let found = Inputs::with("a O").refusal(DataFormat::Conll, Task::TextClassification);
    assert!(found.contains("words and tags, not texts"), "{found}");
    let found = Inputs::with("tokens,tags").refusal(DataFormat::Csv, Task::TokenClassification);
    assert!(found.contains("expected JSONL, CoNLL or Parquet"), "{found}");
}

#[test]
fn no_path_leaves_the_inputs() {
    let file = Inputs::with("");
    for path in ["../file", "/etc/hostname", "a/../../file"] {
        let refusal = file.read_path(path, DataFormat::Jsonl, Task::TextClassification, None);
        let found = refusal.expect_err("the path leads outside").to_string();
        assert!(found.contains("not below the folder of the inputs"), "{found}");
    }
    let missing = file.read_path("nothing", DataFormat::Jsonl, Task::TextClassification, None);
    assert!(matches!(missing, Err(DataError::Read { .. })));
}

#[test]
fn a_sample_is_the_first_rows_with_every_label() {
    let file: String = ["a", "a", "a", "b"]
        .map(|label| format!("{{\"text\": \"{label}\", \"label\": \"{label}\"}}\n"))
        .concat();
    let sample = Inputs::with(file).read_path("file", DataFormat::Jsonl, Task::TextClassification, Some(2));
    assert_eq!(sample.expect("the file is good"), texts(&["a", "b"], &["a", "b"]));
}

#[test]
fn a_test_size_that_leaves_nothing_is_refused() {
    let one = texts(&["x"], &["a"]);
    for (dataset, test_size) in [
        (&one, 0.5),
        (&texts(&["x", "y"], &["a", "b"]), 0.5),
        (&one, 0.0),
        (&one, f64::NAN),
    ] {
        let refusal = split(dataset, test_size, 1)
            .expect_err("nothing can be held out")
            .to_string();
        assert!(refusal.starts_with("failed to hold out validation data"), "{refusal}");
    }
}

#[test]
fn an_unwritable_file_is_named() {
    let refusal = write_parquet(&texts(&["x"], &["a"]), Path::new("/nowhere/at/all.parquet"));
    let found = refusal.expect_err("there is no such folder").to_string();
    assert_eq!(found, "failed to write /nowhere/at/all.parquet");
}
