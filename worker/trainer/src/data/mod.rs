//! Data files: read, cut to a sample, divide, write.
//!
//! A reader accepts a file whole or refuses it: the first row that does not hold what the task needs is a
//! [`DataError`] that names the file as the user did, the line, the column and what was expected. Nothing is skipped
//! or mended, except a byte order mark at the start.

mod conll;
mod csv;
mod dataset;
mod error;
mod jsonl;
mod lines;
mod parquet;
mod record;
mod rows;
mod sample;
mod shuffle;
mod split;
mod write;

pub use dataset::Dataset;
pub use error::{DataError, Place};
pub use shuffle::permutation;
pub use split::split;
pub use write::write_parquet;

use rows::Rows;
use std::fs::File;
use std::path::{Component, Path};
use trainer_protocol::{DataColumns, DataFormat, DataSource, Task};

/// Bytes at most in one line of a text file or one record of a CSV file.
pub const MAX_LINE_BYTES: usize = 4 << 20;

/// Reads `source` below the folder `inputs`, at most `max_rows` rows of it.
///
/// Which columns are read, and what they hold:
///
/// | task | columns | JSONL, Parquet | CSV | CoNLL |
/// |---|---|---|---|---|
/// | text classification | text, label | strings; a label may be an integer | text | – |
/// | token classification | tokens, tags | lists of strings; a tag may be an integer | – | first and last column |
/// | keywords | text, keyphrases | string, list of strings | keyphrases between `;` | – |
///
/// With `max_rows` the sample is the same on every call: the first row of each label as far as there is room, then
/// the first rows of the file, in the file's order.
///
/// # Errors
/// [`DataError`]; never an empty [`Dataset`].
pub fn read(
    inputs: &Path,
    source: &DataSource,
    task: Task,
    columns: &DataColumns,
    max_rows: Option<u64>,
) -> Result<Dataset, DataError> {
    let file = || source.name.clone();
    if !Path::new(&source.path)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Err(DataError::Outside {
            file: file(),
            path: source.path.clone(),
        });
    }
    let open = File::open(inputs.join(&source.path)).map_err(|error| DataError::Read {
        file: file(),
        source: error,
    })?;
    let mut rows = Rows::new(&source.name, task, columns);
    match (source.format, task) {
        (DataFormat::Jsonl, _) => jsonl::read(open, &mut rows)?,
        (DataFormat::Parquet, _) => parquet::read(open, &mut rows)?,
        (DataFormat::Conll, Task::TokenClassification) => conll::read(open, &mut rows)?,
        (DataFormat::Csv, Task::TextClassification | Task::FeatureExtraction) => csv::read(open, &mut rows)?,
        (DataFormat::Conll, _) => return Err(rows.unusable("CoNLL files hold words and tags, not texts".into())),
        (DataFormat::Csv, _) => {
            return Err(rows.unusable("a CSV file cannot hold words and tags; expected JSONL, CoNLL or Parquet".into()));
        }
    }
    let dataset = rows.finish()?;
    Ok(match max_rows {
        Some(0) => return Err(DataError::Empty { file: file() }),
        Some(limit) => sample::first_rows(dataset, usize::try_from(limit).unwrap_or(usize::MAX)),
        None => dataset,
    })
}
