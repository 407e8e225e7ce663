//! Values that live elsewhere: `${env:NAME}` and `${file:/path}`.

use toml::Value;

use super::ConfigError;

/// Where a variable's value comes from; the environment in production.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Puts the values in place of their references, everywhere below `value`.
pub(super) fn resolve(value: &mut Value, path: &str, env: Lookup<'_>) -> Result<(), ConfigError> {
    match value {
        Value::String(text) => {
            if text.contains("${") {
                *text = resolved(text, path, env)?;
            }
            Ok(())
        }
        Value::Array(items) => items
            .iter_mut()
            .enumerate()
            .try_for_each(|(index, item)| resolve(item, &format!("{path}[{index}]"), env)),
        Value::Table(table) => table.iter_mut().try_for_each(|(key, item)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            resolve(item, &path, env)
        }),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => Ok(()),
    }
}

fn resolved(text: &str, path: &str, env: Lookup<'_>) -> Result<String, ConfigError> {
    let mut whole = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find("${") {
        whole.push_str(&rest[..begin]);
        let after = &rest[begin + 2..];
        let end = after.find('}').ok_or_else(|| ConfigError::new(path, "a ${…} is not closed"))?;
        whole.push_str(&referred(&after[..end], path, env)?);
        rest = &after[end + 1..];
    }
    whole.push_str(rest);
    Ok(whole)
}

fn referred(reference: &str, path: &str, env: Lookup<'_>) -> Result<String, ConfigError> {
    match reference.split_once(':') {
        Some(("env", name)) => env(name).ok_or_else(|| {
            ConfigError::new(path, format!("the environment variable {name} is not set"))
        }),
        Some(("file", file)) => std::fs::read_to_string(file)
            .map(|content| content.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|error| ConfigError::new(path, format!("{file} can't be read: {error}"))),
        Some(_) | None => Err(ConfigError::new(
            path,
            format!("${{{reference}}} is neither ${{env:NAME}} nor ${{file:PATH}}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, ConfigError> {
        let mut value = Value::String(text.to_owned());
        let env = |name: &str| (name == "KEY").then(|| "sesame".to_owned());
        resolve(&mut value, "provider[0].api_key", &env)?;
        Ok(value.as_str().unwrap().to_owned())
    }

    #[test]
    fn references_are_put_in_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from file\n").unwrap();
        assert_eq!(run("${env:KEY}").unwrap(), "sesame");
        assert_eq!(run("a-${env:KEY}-b").unwrap(), "a-sesame-b");
        assert_eq!(run(&format!("${{file:{}}}", file.path().display())).unwrap(), "from file");
    }

    #[test]
    fn a_missing_reference_names_the_key_and_what_is_missing() {
        let error = |text| run(text).unwrap_err().to_string();
        assert_eq!(
            error("${env:NOPE}"),
            "provider[0].api_key: the environment variable NOPE is not set"
        );
        assert!(error("${file:/nowhere}").contains("/nowhere can't be read"));
        assert!(error("${vault:x}").contains("neither"));
        assert!(error("${env:KEY").contains("not closed"));
    }
}
