//! The rows that were trained on, as Parquet.

use super::{DataError, Dataset};
use anyhow::Result;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Rows in a row group; what is buffered at a time.
const GROUP_ROWS: usize = 1 << 16;

/// Writes `dataset` with the columns `text` and `label`, `tokens` and `tags`, or `text` and `keyphrases`. The same
/// rows in the same order give the same bytes.
///
/// # Errors
/// [`DataError::Write`].
pub fn write_parquet(dataset: &Dataset, path: &Path) -> Result<(), DataError> {
    write(dataset, path).map_err(|source| DataError::Write {
        file: path.display().to_string(),
        source,
    })
}

fn write(dataset: &Dataset, path: &Path) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by("trainyard".into())
        .build();
    let schema = Arc::new(parse_message_type(schema(dataset))?);
    let mut file = SerializedFileWriter::new(File::create(path)?, schema, Arc::new(properties))?;
    for start in (0..dataset.len()).step_by(GROUP_ROWS) {
        let rows = start..dataset.len().min(start + GROUP_ROWS);
        let mut group = file.next_row_group()?;
        match dataset {
            Dataset::Texts { texts, labels } => {
                strings(&mut group, &texts[rows.clone()])?;
                strings(&mut group, &labels[rows])?;
            }
            Dataset::Sentences { tokens, tags } => {
                lists(&mut group, tokens, rows.clone())?;
                lists(&mut group, tags, rows)?;
            }
            Dataset::Documents { texts, keyphrases } => {
                strings(&mut group, &texts[rows.clone()])?;
                lists(&mut group, keyphrases, rows)?;
            }
        }
        group.close()?;
    }
    file.close()?;
    Ok(())
}

fn schema(dataset: &Dataset) -> &'static str {
    match dataset {
        Dataset::Texts { .. } => "message rows { required binary text (STRING); required binary label (STRING); }",
        Dataset::Sentences { .. } => {
            "message rows {
                required group tokens (LIST) { repeated group list { required binary element (STRING); } }
                required group tags (LIST) { repeated group list { required binary element (STRING); } }
            }"
        }
        Dataset::Documents { .. } => {
            "message rows {
                required binary text (STRING);
                required group keyphrases (LIST) { repeated group list { required binary element (STRING); } }
            }"
        }
    }
}

fn strings(group: &mut SerializedRowGroupWriter<'_, File>, values: &[String]) -> Result<()> {
    let values: Vec<ByteArray> = values.iter().map(|value| value.as_str().into()).collect();
    column(group, &values, None, None)
}

/// A list column in Dremel's encoding: an item is defined at level 1, the first of a row repeats from level 0; an
/// empty list is one undefined item.
fn lists(group: &mut SerializedRowGroupWriter<'_, File>, lists: &[Vec<String>], rows: Range<usize>) -> Result<()> {
    let (mut values, mut defined, mut repeated) = (Vec::<ByteArray>::new(), Vec::new(), Vec::new());
    for list in &lists[rows] {
        if list.is_empty() {
            defined.push(0);
            repeated.push(0);
        }
        for (index, item) in list.iter().enumerate() {
            values.push(item.as_str().into());
            defined.push(1);
            repeated.push(i16::from(index > 0));
        }
    }
    column(group, &values, Some(&defined), Some(&repeated))
}

fn column(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[ByteArray],
    defined: Option<&[i16]>,
    repeated: Option<&[i16]>,
) -> Result<()> {
    let mut writer = group
        .next_column()?
        .ok_or_else(|| anyhow::anyhow!("the schema has fewer columns than the rows"))?;
    writer.typed::<ByteArrayType>().write_batch(values, defined, repeated)?;
    writer.close()?;
    Ok(())
}
