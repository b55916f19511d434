//! Variables by name, each with its origin, and typed reading of them.

use super::{Connection, Contradiction, Origin, SettingsError, dotenv, is_secret};
use crate::secret::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// One value and where it was written. `Debug` shows no value: it may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    value: Secret,
    /// Where it was written.
    pub origin: Origin,
}

impl Variable {
    /// The text itself.
    #[must_use]
    pub fn text(&self) -> &str {
        self.value.expose()
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Variable(*** from {})", self.origin)
    }
}

/// Variables from all origins, by upper-case name. What is added first wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<String, Variable>);

impl Variables {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a variable unless it is there or its value is empty.
    pub fn add(&mut self, name: &str, value: &str, origin: Origin) {
        if !value.is_empty() {
            let variable = Variable {
                value: Secret::new(value.to_owned()),
                origin,
            };
            self.0.entry(name.to_ascii_uppercase()).or_insert(variable);
        }
    }

    /// Adds those variables of a process environment that `known` names.
    pub fn add_environment(&mut self, environment: &BTreeMap<String, String>, known: impl Fn(&str) -> bool) {
        for (name, value) in environment.iter().filter(|(name, _)| known(&name.to_ascii_uppercase())) {
            self.add(name, value, Origin::Environment);
        }
    }

    /// Adds every assignment of a dotenv file.
    ///
    /// # Errors
    /// [`SettingsError::Unreadable`] and [`SettingsError::Syntax`].
    pub fn add_file(&mut self, path: &Path, environment: &BTreeMap<String, String>) -> Result<(), SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        // Backwards: within a file the later assignment counts.
        for assignment in dotenv::parse(&text, path, environment)?.iter().rev() {
            let origin = Origin::File {
                path: path.to_owned(),
                line: assignment.line,
            };
            self.add(&assignment.name, &assignment.value, origin);
        }
        Ok(())
    }

    /// Gives a variable another name, unless there is one of that name.
    pub(crate) fn rename(&mut self, name: &str, to: &str) {
        if let Some(variable) = self.0.remove(name) {
            self.0.entry(to.to_owned()).or_insert(variable);
        }
    }

    /// Moves the variables that `wanted` names into a set of their own.
    #[must_use]
    pub fn split_off(&mut self, wanted: impl Fn(&str) -> bool) -> Self {
        let (moved, kept) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(name, _)| wanted(name));
        self.0 = kept;
        Self(moved)
    }

    /// Adds those of `others` that are not there.
    pub fn add_all(&mut self, others: &Self) {
        for (name, variable) in &others.0 {
            self.0.entry(name.clone()).or_insert_with(|| variable.clone());
        }
    }

    /// A variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.0.get(name)
    }

    /// All names with their variables.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.0.iter().map(|(name, variable)| (name.as_str(), variable))
    }

    /// Refuses variables that are not among `known`.
    ///
    /// # Errors
    /// [`SettingsError::Unknown`] with the known name that looks most like it.
    pub fn refuse_unknown(&self, known: &BTreeSet<&str>, context: &str) -> Result<(), SettingsError> {
        let Some((name, variable)) = self.iter().find(|(name, _)| !known.contains(name)) else {
            return Ok(());
        };
        let near = known.iter().map(|k| (strsim::damerau_levenshtein(name, k), k)).min();
        Err(SettingsError::Unknown {
            variable: name.to_owned(),
            origin: variable.origin.clone(),
            context: context.to_owned(),
            suggestion: near
                .filter(|(steps, _)| *steps <= 1 + name.len() / 4)
                .map(|(_, name)| (*name).to_owned()),
        })
    }

    /// A text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|variable| variable.text().to_owned())
    }

    /// A secret.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.get(name).map(|variable| variable.value.clone())
    }

    /// Where a variable was written.
    #[must_use]
    pub fn origin(&self, name: &str) -> Origin {
        self.get(name)
            .map_or(Origin::Default, |variable| variable.origin.clone())
    }

    /// Reads a variable with a function that says what it expected.
    ///
    /// # Errors
    /// [`SettingsError::Invalid`] with the value (unless it is secret), the origin and that text.
    pub fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SettingsError> {
        let Some(variable) = self.get(name) else {
            return Ok(None);
        };
        read(variable.text()).map(Some).map_err(|expected| {
            // A URL may hold a password wherever one may be written.
            let text = variable.text();
            let text = if text.contains("://") {
                Connection::new(text.to_owned()).to_string()
            } else {
                text.to_owned()
            };
            let shown: String = text.chars().take(80).collect();
            let value = if is_secret(name) {
                "the value".to_owned()
            } else {
                format!("{shown:?}")
            };
            SettingsError::Invalid {
                variable: name.to_owned(),
                origin: variable.origin.clone(),
                reason: format!("{value} is not {expected}"),
            }
        })
    }

    /// A number within a range.
    ///
    /// # Errors
    /// As [`Variables::read`].
    pub fn number<T>(&self, name: &str, range: &RangeInclusive<T>) -> Result<Option<T>, SettingsError>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        self.read(name, |text| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| format!("a number from {} to {}", range.start(), range.end()))
        })
    }

    /// A truth value, as pydantic reads it.
    ///
    /// # Errors
    /// As [`Variables::read`].
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, SettingsError> {
        self.read(name, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
            "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
            _ => Err("true or false".to_owned()),
        })
    }

    /// A duration with its unit (`30s`, `2min`); above zero.
    ///
    /// # Errors
    /// As [`Variables::read`].
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, SettingsError> {
        self.read(name, |text| {
            let duration = humantime::parse_duration(text)
                .ok()
                .filter(|duration| !duration.is_zero());
            duration.ok_or_else(|| "a duration with its unit, for example 30s or 2min".to_owned())
        })
    }

    /// JSON of a type.
    ///
    /// # Errors
    /// As [`Variables::read`]; `expected` is an example or a description.
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>, SettingsError> {
        self.read(name, |text| {
            serde_json::from_str(text).map_err(|e| format!("{expected} in JSON ({e})"))
        })
    }

    /// One of a few words, in lower case.
    ///
    /// # Errors
    /// As [`Variables::read`].
    pub fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, SettingsError> {
        self.read(name, |text| {
            let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
            let list = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            found
                .map(|(_, value)| *value)
                .ok_or_else(|| format!("one of {}", list()))
        })
    }

    /// An error about a variable that is there.
    #[must_use]
    pub fn invalid(&self, name: &str, reason: impl Into<String>) -> SettingsError {
        SettingsError::Invalid {
            variable: name.to_owned(),
            origin: self.origin(name),
            reason: reason.into(),
        }
    }

    /// An error about two variables that exclude each other.
    #[must_use]
    pub fn contradiction(&self, first: &str, second: &str, reason: impl Into<String>) -> SettingsError {
        SettingsError::Contradiction(Box::new(Contradiction {
            first: first.to_owned(),
            first_origin: self.origin(first),
            second: second.to_owned(),
            second_origin: self.origin(second),
            reason: reason.into(),
        }))
    }
}
