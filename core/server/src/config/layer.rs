//! One layer of settings: texts for keys, each with its place.

use std::fmt;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{KEYS, Origin};

/// Prefix of environment variables that are settings: `LYNK__SECTION__KEY`.
const ENVIRONMENT_PREFIX: &str = "LYNK__";

/// A text for a key.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Row of [`KEYS`].
    pub(crate) row: usize,
    /// What it is set to.
    pub(crate) text: String,
    /// Which layer says so.
    pub(crate) origin: Origin,
    /// Where, for messages.
    pub(crate) place: String,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    place: String,
    what: String,
}

impl Problem {
    /// A problem at `place`.
    pub(crate) fn new(place: impl fmt::Display, what: impl Into<String>) -> Self {
        Self { place: place.to_string(), what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Everything that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn one(problem: Problem) -> Self {
        Self(vec![problem])
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each on its own.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

fn row_of(path: &str) -> Option<usize> {
    KEYS.iter().position(|key| key.path == path)
}

/// "there is no such key", with the nearest one that is.
pub(crate) fn unknown(path: &str) -> String {
    let last = path.rsplit('.').next().unwrap_or(path);
    let nearness = |key: &str| {
        let own = key.rsplit('.').next().unwrap_or(key);
        // A right key in the wrong section is as near as a misspelt one.
        strsim::jaro_winkler(path, key).max(strsim::jaro_winkler(last, own) - 0.02)
    };
    let nearest = KEYS.iter().map(|key| (nearness(key.path), key.path)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((near, key)) if near > 0.75 => format!("there is no key `{path}`; did you mean `{key}`?"),
        _ => format!("there is no key `{path}`; `lynk config default` lists all"),
    }
}

/// Settings of a TOML file.
pub(crate) fn file(path: &Path, text: &str, settings: &mut Vec<Setting>, problems: &mut Problems) {
    let line_at = |offset: usize| {
        let before = text.get(..offset).unwrap_or(text);
        u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX)
    };
    let place = |offset: usize| format!("{} line {}", path.display(), line_at(offset));
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            problems.push(Problem::new(place(at), error.message()));
            return;
        }
    };
    let mut tables: Vec<(String, &DeTable<'_>)> = vec![(String::new(), document.get_ref())];
    while let Some((prefix, table)) = tables.pop() {
        for (name, value) in table {
            let full = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            let here = place(name.span().start);
            match (row_of(&full), value.get_ref()) {
                (Some(row), _) => match text_of(value) {
                    Ok(text) => {
                        let origin = Origin::File(line_at(name.span().start));
                        settings.push(Setting { row, text, origin, place: here });
                    }
                    Err(what) => problems.push(Problem::new(here, format!("`{full}` {what}"))),
                },
                (None, DeValue::Table(inner)) if is_section(&full) => tables.push((full, inner)),
                (None, DeValue::Table(_)) => problems.push(Problem::new(here, unknown_section(&full))),
                (None, _) => problems.push(Problem::new(here, unknown(&full))),
            }
        }
    }
}

fn sections() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(|key| key.path.split_once('.').map(|(section, _)| section))
}

fn is_section(name: &str) -> bool {
    sections().any(|section| section == name)
}

fn unknown_section(name: &str) -> String {
    let nearest = sections().map(|s| (strsim::jaro_winkler(name, s), s)).max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((near, section)) if near > 0.7 => {
            format!("there is no section `[{name}]`; did you mean `[{section}]`?")
        }
        _ => format!("there is no section `[{name}]`"),
    }
}

/// The text that a flag would have for a TOML value; lists are joined by commas.
fn text_of(value: &Spanned<DeValue<'_>>) -> Result<String, &'static str> {
    Ok(match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Array(items) => {
            let words = items.iter().map(|item| item.get_ref().as_str().ok_or("must be a list of texts"));
            words.collect::<Result<Vec<_>, _>>()?.join(",")
        }
        DeValue::Table(_) => return Err("is not a section"),
        _ => return Err("must be a text, a whole decimal number, true or false"),
    })
}

/// Settings of the environment.
pub(crate) fn environment(
    variables: &[(String, String)],
    settings: &mut Vec<Setting>,
    problems: &mut Problems,
) {
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        let path = rest.to_ascii_lowercase().replace("__", ".");
        match row_of(&path) {
            Some(row) => settings.push(Setting {
                row,
                text: value.clone(),
                origin: Origin::Environment(name.clone()),
                place: format!("environment {name}"),
            }),
            None => problems.push(Problem::new(format!("environment {name}"), unknown(&path))),
        }
    }
}

/// Settings of the command line.
pub(crate) fn flags(flags: &[(String, String)], settings: &mut Vec<Setting>, problems: &mut Problems) {
    for (path, value) in flags {
        match row_of(path) {
            Some(row) => settings.push(Setting {
                row,
                text: value.clone(),
                origin: Origin::Flag,
                place: "command line".to_owned(),
            }),
            None => problems.push(Problem::new("command line", unknown(path))),
        }
    }
}
