//! Logs: to stderr, for people on a terminal, as JSON where a machine reads them.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Lines for people, in colour on a terminal unless `NO_COLOR` is set.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `TRAINYARD_LOG_FORMAT`.
    #[error("failed to read TRAINYARD_LOG_FORMAT: {0:?} is neither human nor json")]
    Format(String),
    /// `RUST_LOG`.
    #[error("failed to read RUST_LOG")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Called twice.
    #[error("failed to start logging: it was started before")]
    Started,
}

impl std::str::FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "human" | "" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            other => Err(TelemetryError::Format(other.chars().take(64).collect())),
        }
    }
}

/// Starts logging for the process: `TRAINYARD_LOG_FORMAT` (`human`, `json`) and `RUST_LOG`, else `default_filter`
/// (for example `info`), decide what is written.
///
/// # Errors
/// A setting that says nothing known, or a second call.
pub fn start(default_filter: &str) -> Result<(), TelemetryError> {
    let setting = |name: &str| std::env::var(name).unwrap_or_default();
    let format: LogFormat = setting("TRAINYARD_LOG_FORMAT").parse()?;
    let directives = Some(setting("RUST_LOG")).filter(|text| !text.is_empty());
    // hf-hub reports as an error what `hub` retries and then reports itself.
    let default = format!("{default_filter},hf_hub=off");
    let directives = directives.as_deref().unwrap_or(&default);
    // lapin writes frames at its finest level, and the broker's password is in one of them.
    let filter = EnvFilter::try_new(format!("{directives},lapin=off")).map_err(TelemetryError::Filter)?;
    let color = colored(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR").is_some());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(BoxMakeWriter::new(std::io::stderr));
    match format {
        LogFormat::Human => builder.with_ansi(color).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|_| TelemetryError::Started)
}

/// <https://no-color.org>: the variable counts when it is there, whatever it holds.
fn colored(terminal: bool, no_color: bool) -> bool {
    terminal && !no_color
}

/// An error with what caused it, for a log's single line.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{LogFormat, colored};

    #[test]
    fn format_is_human_unless_json_is_asked_for() {
        assert_eq!("".parse::<LogFormat>().ok(), Some(LogFormat::Human));
        assert_eq!("json".parse::<LogFormat>().ok(), Some(LogFormat::Json));
    }

    #[test]
    fn unknown_format_names_the_variable() {
        let error = "xml".parse::<LogFormat>().unwrap_err().to_string();
        assert!(
            error.contains("TRAINYARD_LOG_FORMAT") && error.contains("xml"),
            "{error}"
        );
    }

    #[test]
    fn color_only_on_a_terminal_without_no_color() {
        assert!(colored(true, false));
        assert!(!colored(true, true) && !colored(false, false));
    }
}
