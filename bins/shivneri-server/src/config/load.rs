//! Bringing flags, environment, file and defaults together.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Config, ConfigError, Origin, check::checked, lines::line_at, sections::File};

const PREFIX: &str = "SHIVNERI__";

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--data`: where the spool lives, unless `spool.url` says otherwise.
    pub data: Option<PathBuf>,
    /// `--http`.
    pub http: Option<String>,
    /// `--agents`.
    pub agents: Option<String>,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file, if one was named. Without one the server runs in dev mode.
    pub file: Option<PathBuf>,
    /// The environment's variables.
    pub env: Vec<(String, String)>,
    /// The command line's flags.
    pub flags: Overrides,
}

impl Source {
    /// This process's environment, with a file and flags.
    pub fn of_process(file: Option<PathBuf>, flags: Overrides) -> Self {
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self { file, env: std::env::vars_os().filter_map(text).collect(), flags }
    }

    /// Reads and checks it all.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], which names the file, the line and the key.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let text = match &self.file {
            Some(path) => std::fs::read_to_string(path).map_err(|error| {
                ConfigError::new("", format!("can't be read: {error}")).at(Some(path.clone()), None)
            })?,
            None => String::new(),
        };
        let origin = Origin { file: self.file.clone(), text: text.as_str().into() };
        let mut config = self.load_text(&text).map_err(|error| origin.located(error))?;
        config.origin = origin;
        Ok(config)
    }

    fn load_text(&self, text: &str) -> Result<Config, ConfigError> {
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| line_at(text, span.start));
            ConfigError::new("", error.message()).at(self.file.clone(), line)
        })?;
        self.overlay_env(&mut table)?;
        let env = |name: &str| {
            self.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        };
        let mut value = json(Value::Table(table));
        shivneri_providers::resolve(&mut value, "", &env)
            .map_err(|error| ConfigError::new(error.key, error.reason))?;
        let file: File = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            named(&path, &error.into_inner().to_string())
        })?;
        checked(file, &self.flags, self.file.is_none())
    }

    /// `SHIVNERI__HTTP__LISTEN=…` is `http.listen = …`.
    fn overlay_env(&self, table: &mut Table) -> Result<(), ConfigError> {
        for (variable, text) in &self.env {
            let Some(path) = variable.strip_prefix(PREFIX) else { continue };
            let parts: Vec<String> = path.split("__").map(str::to_lowercase).collect();
            let [section, key] = parts.as_slice() else {
                return Err(ConfigError::new(
                    variable,
                    "is not of the form SHIVNERI__SECTION__KEY",
                ));
            };
            let inner = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = inner else {
                return Err(ConfigError::new(
                    variable,
                    format!("[[{section}]] can't be set by a variable"),
                ));
            };
            inner.insert(key.clone(), scalar(text));
            check_alone(section, key, text).map_err(|reason| ConfigError::new(variable, reason))?;
        }
        Ok(())
    }
}

/// A variable's text as the TOML value it looks like, or else as text.
fn scalar(text: &str) -> Value {
    match format!("value = {text}").parse::<Table>() {
        Ok(mut table) => match table.remove("value") {
            Some(value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_))) => value,
            Some(_) | None => Value::String(text.to_owned()),
        },
        Err(_) => Value::String(text.to_owned()),
    }
}

/// A variable's own mistakes are told by its own name.
fn check_alone(section: &str, key: &str, text: &str) -> Result<(), String> {
    let section = serde_json::json!({ section: { key: json(scalar(text)) } });
    File::deserialize(section).map(drop).map_err(|error| error.to_string())
}

fn json(value: Value) -> Json {
    match value {
        Value::String(text) => Json::String(text),
        Value::Integer(number) => Json::from(number),
        Value::Float(number) => Json::from(number),
        Value::Boolean(truth) => Json::Bool(truth),
        Value::Datetime(time) => Json::String(time.to_string()),
        Value::Array(items) => Json::Array(items.into_iter().map(json).collect()),
        Value::Table(table) => Json::Object(table.into_iter().map(|(k, v)| (k, json(v))).collect()),
    }
}

/// The error's key: for an unknown one, serde names it in the message only.
fn named(path: &str, message: &str) -> ConfigError {
    let path = if path == "." { "" } else { path };
    let unknown = message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'))
        .map(|(key, _)| key);
    match unknown {
        Some(key) if path != key && !path.ends_with(&format!(".{key}")) => {
            let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            ConfigError::new(path, message)
        }
        Some(_) | None => ConfigError::new(path, message),
    }
}

/// The database file of `sqlite:PATH`.
pub(super) fn sqlite_path(url: &str) -> Result<PathBuf, ConfigError> {
    match url.split_once(':') {
        Some(("sqlite", path)) if !path.trim_start_matches('/').is_empty() => {
            Ok(Path::new(path.strip_prefix("//").unwrap_or(path)).to_owned())
        }
        Some(("postgres" | "postgresql", _)) => Err(ConfigError::new(
            "spool.url",
            "postgres is not built yet; this release has sqlite:PATH",
        )),
        Some(_) | None => Err(ConfigError::new("spool.url", "is not of the form sqlite:PATH")),
    }
}
