//! The provider's own settings, from a file and from flags.

use std::path::Path;

use serde_json::Value;
use shivneri_providers::Settings;

/// Settings that can't be read. Never repeats a value, since it may be a secret.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub(crate) struct SettingsError {
    place: String,
    reason: String,
}

impl SettingsError {
    fn new(place: impl Into<String>, reason: impl ToString) -> Self {
        Self { place: place.into(), reason: reason.to_string() }
    }
}

/// Reads the file, then puts each `KEY=VALUE` over it, then what `${env:…}` and `${file:…}`
/// refer to in their place.
pub(crate) fn load(file: Option<&Path>, set: &[String]) -> Result<Settings, SettingsError> {
    let mut settings = match file {
        Some(file) => read(file)?,
        None => Settings::new(),
    };
    for pair in set {
        let (key, value) = pair
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| SettingsError::new("--set", "is not of the form KEY=VALUE"))?;
        settings.insert(key.to_owned(), Value::String(value.to_owned()));
    }
    let mut whole = Value::Object(settings);
    let env = |name: &str| std::env::var(name).ok();
    shivneri_providers::resolve(&mut whole, "", &env)
        .map_err(|error| SettingsError::new(error.key, error.reason))?;
    match whole {
        Value::Object(settings) => Ok(settings),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Ok(Settings::new())
        }
    }
}

fn read(file: &Path) -> Result<Settings, SettingsError> {
    let place = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| SettingsError::new(&*place, format!("can't be read: {error}")))?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        SettingsError::new(format!("{place}:{line}"), error.message())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_flag_is_stronger_than_the_file() {
        let file = file("latency = \"1s\"\nfault = \"none\"\n");
        let settings = load(Some(file.path()), &["latency=5ms".into()]).unwrap();
        assert_eq!(settings["latency"], "5ms");
        assert_eq!(settings["fault"], "none");
    }

    #[test]
    fn mistakes_name_their_place_and_no_value() {
        let broken = file("api_key = \"x\"\nlatency =\n");
        let error = load(Some(broken.path()), &[]).unwrap_err().to_string();
        assert!(error.contains(":2: "), "{error}");
        let error = load(None, &["sesame".into()]).unwrap_err().to_string();
        assert_eq!(error, "--set: is not of the form KEY=VALUE");
        let error =
            load(None, &["api_key=${env:NO_SUCH_VARIABLE}".into()]).unwrap_err().to_string();
        assert_eq!(error, "api_key: the environment variable NO_SUCH_VARIABLE is not set");
        assert!(load(Some(Path::new("/nowhere.toml")), &[]).is_err());
    }
}
