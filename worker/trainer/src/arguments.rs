//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
Trains, evaluates, predicts and exports one model.

usage: trainer JOB.json --inputs DIR --outputs DIR --checkpoints DIR [--profile DIR]
       trainer --version | --help

JOB.json       what to do; every path in it is relative to --inputs
--inputs       model repository and data files
--outputs      gets model_artifacts/, predictions.json, report.json, loss_curve.jsonl, train.parquet
--checkpoints  where training is saved, and goes on from
--profile      gets profile.md, .svg (a flame graph) and .folded: where the time of 20 steps, or of all keywords, goes

stdout carries one JSON event a line, stderr the log. SIGTERM: finish the step, save, exit 75.
Exit codes: 0 done, 64 usage, 65 data or settings, 69 out of memory, 70 internal, 75 interrupted.
";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// A job.
    Run(Arguments),
    /// Print the version.
    Version,
    /// Print [`HELP`].
    Help,
}

/// Where everything lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// The job's file.
    pub job: PathBuf,
    /// Folder that is read.
    pub inputs: PathBuf,
    /// Folder that gets the results.
    pub outputs: PathBuf,
    /// Folder of checkpoints.
    pub checkpoints: PathBuf,
    /// Folder that gets the profile of some steps, or of all keywords.
    pub profile: Option<PathBuf>,
}

/// Reads the command line, without the program's name.
///
/// # Errors
///
/// What is wrong with it, for the person.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let (mut job, mut inputs, mut outputs, mut checkpoints, mut profile) = (None, None, None, None, None);
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        let place = match argument.to_str() {
            Some("--version" | "-V") => return Ok(Command::Version),
            Some("--help" | "-h") => return Ok(Command::Help),
            Some("--inputs") => &mut inputs,
            Some("--outputs") => &mut outputs,
            Some("--checkpoints") => &mut checkpoints,
            Some("--profile") => &mut profile,
            Some(flag) if flag.starts_with('-') => return Err(format!("{flag} is not known")),
            _ if job.is_none() => {
                job = Some(PathBuf::from(argument));
                continue;
            }
            _ => return Err(format!("{} is one argument too many", argument.display())),
        };
        let value = rest
            .next()
            .ok_or_else(|| format!("{} needs a folder", argument.display()))?;
        *place = Some(PathBuf::from(value));
    }
    let given = |value: Option<PathBuf>, name: &str| value.ok_or_else(|| format!("{name} is missing"));
    Ok(Command::Run(Arguments {
        job: given(job, "JOB.json")?,
        inputs: given(inputs, "--inputs")?,
        outputs: given(outputs, "--outputs")?,
        checkpoints: given(checkpoints, "--checkpoints")?,
        profile,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_order_of_arguments_is_free() {
        let line = "--inputs i job.json --checkpoints c --outputs o";
        let Ok(Command::Run(arguments)) = parsed(line) else {
            panic!("{:?}", parsed(line))
        };
        assert_eq!(arguments.job, PathBuf::from("job.json"));
        assert_eq!(arguments.outputs, PathBuf::from("o"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(parsed("job.json --inputs i"), Err("--outputs is missing".into()));
        assert_eq!(parsed("job.json --input i"), Err("--input is not known".into()));
        assert_eq!(parsed("job.json --inputs"), Err("--inputs needs a folder".into()));
        assert_eq!(parsed("a b"), Err("b is one argument too many".into()));
    }
}
