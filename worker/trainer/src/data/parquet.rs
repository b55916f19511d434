//! Apache Parquet: string columns and lists of strings.

use super::record::{Record, Value};
use super::rows::Rows;
use super::{DataError, Place};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::{Field, Row};
use ::parquet::schema::types::Type;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Reads every row of `file` into `rows`. Of the file's columns only those that the task needs are decoded.
pub(super) fn read(file: File, rows: &mut Rows<'_>) -> Result<(), DataError> {
    // The decoder asserts its way through damaged pages; whoever sent such a file gets an error, not our backtrace.
    let outcome = catch_unwind(AssertUnwindSafe(|| read_rows(file, rows)));
    outcome.unwrap_or_else(|_| Err(rows.unusable("its Parquet pages are damaged".into())))
}

fn read_rows(file: File, rows: &mut Rows<'_>) -> Result<(), DataError> {
    let reader = SerializedFileReader::new(file).map_err(|error| damaged(rows, &error))?;
    let projection = projection(&reader, rows)?;
    let iterator = reader
        .get_row_iter(Some(projection))
        .map_err(|error| damaged(rows, &error))?;
    for (number, row) in (1..).zip(iterator) {
        let row = row.map_err(|error| damaged(rows, &error))?;
        rows.push(Place::Row(number), &mut Columns::from(row))?;
    }
    Ok(())
}

/// The file's schema with only the columns that the task reads.
fn projection(reader: &dyn FileReader, rows: &Rows<'_>) -> Result<Type, DataError> {
    let metadata = reader.metadata().file_metadata();
    let fields = metadata.schema().get_fields();
    let mut wanted = Vec::new();
    for column in rows.columns() {
        match fields.iter().find(|field| field.name() == column) {
            Some(field) if wanted.iter().all(|known: &std::sync::Arc<Type>| known.name() != column) => {
                wanted.push(field.clone());
            }
            Some(_) => {}
            None => {
                let names: Vec<_> = fields.iter().take(20).map(|field| field.name()).collect();
                return Err(rows.unusable(format!("it has no column `{column}`; it has: {}", names.join(", "))));
            }
        }
    }
    Type::group_type_builder(metadata.schema().name())
        .with_fields(wanted)
        .build()
        .map_err(|error| damaged(rows, &error))
}

fn damaged(rows: &Rows<'_>, error: &ParquetError) -> DataError {
    rows.unusable(format!("it is not a readable Parquet file: {error}"))
}

struct Columns(Vec<(String, Field)>);

impl From<Row> for Columns {
    fn from(row: Row) -> Self {
        Self(row.into_columns())
    }
}

impl Record for Columns {
    fn take(&mut self, column: &str) -> Value {
        match self.0.iter().position(|(name, _)| name == column) {
            Some(index) => value(&self.0.swap_remove(index).1),
            None => Value::Missing,
        }
    }
}

fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Missing,
        Field::Str(text) => Value::Text(text.clone()),
        Field::Byte(number) => Value::Integer(number.to_string()),
        Field::Short(number) => Value::Integer(number.to_string()),
        Field::Int(number) => Value::Integer(number.to_string()),
        Field::Long(number) => Value::Integer(number.to_string()),
        Field::UByte(number) => Value::Integer(number.to_string()),
        Field::UShort(number) => Value::Integer(number.to_string()),
        Field::UInt(number) => Value::Integer(number.to_string()),
        Field::ULong(number) => Value::Integer(number.to_string()),
        Field::ListInternal(list) => Value::List(list.elements().iter().map(value).collect()),
        Field::Bool(_) => Value::Other("true or false"),
        Field::Float16(_) | Field::Float(_) | Field::Double(_) | Field::Decimal(_) => {
            Value::Other("a number with a fraction")
        }
        Field::Bytes(_) => Value::Other("bytes without the annotation STRING"),
        Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => Value::Other("a point in time"),
        Field::Group(_) | Field::MapInternal(_) => Value::Other("an object"),
    }
}
