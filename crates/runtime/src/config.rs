//! Configuration: one tree of values out of a file, the environment and flags.
//!
//! The file is TOML, YAML or JSON by its extension. The environment stands above
//! the file, flags stand above both. Which keys exist follows from
//! [`Schema::sample`]; any other key is a problem that is named with its full
//! path and the nearest known key. All problems are reported together.

pub mod duration;
mod flags;
mod secret;
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::duration::Timespan;
pub use self::flags::Flags;
pub use self::secret::{Secret, SecretUrl};

/// The exit status for a bad configuration (`EX_USAGE` of sysexits).
pub const EXIT_BAD_CONFIG: u8 = 64;

/// The prefix of every environment variable that is read.
pub const ENV_PREFIX: &str = "FANFARE_";

/// A type that can be loaded from a configuration.
///
/// Put `#[serde(default)]` on every struct of the tree, so that a missing key
/// takes its default.
pub trait Schema: Default + Serialize + DeserializeOwned {
    /// Keys that users of a compatible program may have set, whose feature does
    /// not exist here: `channel.namespaces[].delta_publish`. They are accepted
    /// with a value that changes nothing (`false`, `0`, empty) and otherwise
    /// refused as not supported yet, with all that is below them.
    const UNSUPPORTED: &'static [&'static str] = &[];

    /// A value that shows every key: each list of tables has one element, each
    /// `Option` is `Some`. Types of environment variables and flags are taken
    /// from it. A map with free keys shows one entry named `*`.
    #[must_use]
    fn sample() -> Self {
        Self::default()
    }

    /// Rules between the values, as problems that name their keys.
    fn validate(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The full path of the key, such as `channel.namespaces[1].history_size`,
    /// or the file, variable or flag that could not be read.
    pub key: String,
    /// What is wrong and, where possible, what to write instead.
    pub message: String,
}

impl Problem {
    /// A problem of the key at `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Everything that is wrong with the configuration; at least one problem.
///
/// Exit with [`EXIT_BAD_CONFIG`]. Its text holds no secret values of the tree.
#[derive(Clone, Debug)]
pub struct ConfigError {
    /// The problems, in the order of discovery.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [one] => write!(f, "bad configuration: {one}"),
            many => {
                write!(f, "bad configuration, {} problems:", many.len())?;
                many.iter().try_for_each(|p| write!(f, "\n  {p}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Defaults that differ from the type's: dotted key and value as text.
    /// Everything else stands above them.
    pub base: Vec<(String, String)>,
    /// A `.toml`, `.yaml`, `.yml` or `.json` file.
    pub file: Option<PathBuf>,
    /// Environment variables; those that do not begin with [`ENV_PREFIX`] are
    /// ignored, and so are `FANFARE_CONFIG`, `FANFARE_TEST_…` and what
    /// Kubernetes sets for services named `fanfare…`.
    pub env: Vec<(String, String)>,
    /// Flags: dotted key and value as text; they win over all else.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// The file, this process's environment, and flags.
    #[must_use]
    pub fn from_process(file: Option<PathBuf>, overrides: Vec<(String, String)>) -> Self {
        // A variable that is not Unicode cannot be one of ours.
        let env = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        Self {
            base: Vec::new(),
            file,
            env,
            overrides,
        }
    }
}

/// Reads, merges and checks a configuration.
///
/// # Errors
/// All problems together: a file that cannot be read or parsed, unknown keys,
/// values of the wrong type; if there is none of these, what
/// [`Schema::validate`] finds.
pub fn load<T: Schema>(sources: Sources) -> Result<T, ConfigError> {
    let sample = tree::of(&T::sample());
    let mut problems = Vec::new();

    let mut file = match sources.file.as_deref().map(read_file) {
        Some(Ok(value)) => value,
        Some(Err(problem)) => {
            return Err(ConfigError {
                problems: vec![problem],
            });
        }
        None => Value::Object(serde_json::Map::new()),
    };
    tree::remove_unset(&mut file);
    tree::remove_unknown(&mut file, &sample, T::UNSUPPORTED, &mut problems);

    let mut tree = Value::Object(serde_json::Map::new());
    tree::apply_overrides(&mut tree, &sample, sources.base, &mut problems);
    tree::merge(&mut tree, file);
    tree::apply_env(&mut tree, &sample, sources.env, &mut problems);
    tree::apply_overrides(&mut tree, &sample, sources.overrides, &mut problems);

    let config: T = tree::deserialize(tree, &sample, &mut problems);
    if problems.is_empty() {
        problems = config.validate();
    }
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError { problems })
    }
}

fn read_file(path: &Path) -> Result<Value, Problem> {
    let problem = |message: String| Problem::new(path.display().to_string(), message);
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    let text = std::fs::read_to_string(path).map_err(|e| problem(e.to_string()))?;
    let value: Value = match extension {
        "toml" => toml::from_str(&text).map_err(|e| problem(e.to_string()))?,
        "yaml" | "yml" if text.trim().is_empty() => Value::Null,
        "yaml" | "yml" => serde_saphyr::from_str(&text).map_err(|e| problem(e.to_string()))?,
        "json" => serde_json::from_str(&text).map_err(|e| problem(e.to_string()))?,
        _ => {
            return Err(problem(
                "the extension must be .toml, .yaml, .yml or .json".to_owned(),
            ));
        }
    };
    match value {
        Value::Object(_) => Ok(value),
        Value::Null => Ok(Value::Object(serde_json::Map::new())),
        _ => Err(problem("the top level must be a table".to_owned())),
    }
}

/// The whole configuration as TOML, defaults included, secrets masked.
#[must_use]
pub fn print_effective<T: Serialize>(config: &T) -> String {
    let mut value = tree::of(config);
    tree::remove_unset(&mut value);
    toml::to_string_pretty(&value).expect("a tree of tables, lists and scalars is valid TOML")
}

/// Every key of a configuration with its default, as dotted paths; a list of
/// tables is written `namespaces[]`. What `docs/configuration.md` has to cover.
#[must_use]
pub fn keys<T: Schema>() -> Vec<(String, Value)> {
    tree::keys(&tree::of(&T::sample()), &tree::of(&T::default()))
}

#[cfg(test)]
mod tests;
