//! Values that live elsewhere: `${env:NAME}` and `${file:/path}`.

use serde_json::Value;

/// A reference that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct ReferenceError {
    /// The path of the value that holds it, as `provider[0].api_key`.
    pub key: String,
    /// Why: lower case, no full stop, without the value.
    pub reason: String,
}

/// Where a variable's value comes from; the environment in production.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Puts values in place of their references, everywhere within `value`: `${env:NAME}` is that
/// variable, `${file:PATH}` that file's content without its last line break. Both may stand
/// within other text.
///
/// # Errors
///
/// [`ReferenceError`] where a variable is not set, a file can't be read, or the form is another.
///
/// ```
/// let env = |name: &str| (name == "KEY").then(|| "sesame".to_owned());
/// let mut settings = serde_json::json!({ "api_key": "${env:KEY}" });
/// shivneri_providers::resolve(&mut settings, "", &env)?;
/// assert_eq!(settings["api_key"], "sesame");
/// # Ok::<(), shivneri_providers::ReferenceError>(())
/// ```
pub fn resolve(value: &mut Value, path: &str, env: Lookup<'_>) -> Result<(), ReferenceError> {
    match value {
        Value::String(text) => {
            if text.contains("${") {
                *text = resolved(text, env)
                    .map_err(|reason| ReferenceError { key: path.to_owned(), reason })?;
            }
            Ok(())
        }
        Value::Array(items) => items
            .iter_mut()
            .enumerate()
            .try_for_each(|(index, item)| resolve(item, &format!("{path}[{index}]"), env)),
        Value::Object(object) => object.iter_mut().try_for_each(|(key, item)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            resolve(item, &path, env)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn resolved(text: &str, env: Lookup<'_>) -> Result<String, String> {
    let mut whole = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find("${") {
        whole.push_str(&rest[..begin]);
        let after = &rest[begin + 2..];
        let end = after.find('}').ok_or("a ${…} is not closed")?;
        whole.push_str(&referred(&after[..end], env)?);
        rest = &after[end + 1..];
    }
    whole.push_str(rest);
    Ok(whole)
}

fn referred(reference: &str, env: Lookup<'_>) -> Result<String, String> {
    match reference.split_once(':') {
        Some(("env", name)) => {
            env(name).ok_or_else(|| format!("the environment variable {name} is not set"))
        }
        Some(("file", file)) => std::fs::read_to_string(file)
            .map(|content| content.trim_end_matches(['\r', '\n']).to_owned())
            .map_err(|error| format!("{file} can't be read: {error}")),
        Some(_) | None => {
            Err(format!("${{{reference}}} is neither ${{env:NAME}} nor ${{file:PATH}}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, String> {
        let mut value = serde_json::json!({ "provider": [{ "api_key": text }] });
        let env = |name: &str| (name == "KEY").then(|| "sesame".to_owned());
        resolve(&mut value, "", &env).map_err(|error| error.to_string())?;
        Ok(value["provider"][0]["api_key"].as_str().unwrap().to_owned())
    }

    #[test]
    fn references_are_put_in_place() {
        let file = std::env::temp_dir().join(format!("reference-{}", std::process::id()));
        std::fs::write(&file, "from file\n").unwrap();
        let read = run(&format!("${{file:{}}}", file.display()));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(read.unwrap(), "from file");
        assert_eq!(run("${env:KEY}").unwrap(), "sesame");
        assert_eq!(run("a-${env:KEY}-b").unwrap(), "a-sesame-b");
    }

    #[test]
    fn a_missing_reference_names_the_key_and_what_is_missing() {
        let error = |text| run(text).unwrap_err();
        let unset = "provider[0].api_key: the environment variable NOPE is not set";
        assert_eq!(error("${env:NOPE}"), unset);
        assert!(error("${file:/nowhere}").contains("/nowhere can't be read"));
        assert!(error("${vault:x}").contains("neither"));
        assert!(error("${env:KEY").contains("not closed"));
    }
}
