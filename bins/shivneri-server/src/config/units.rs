//! Durations and sizes as people write them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// `"250ms"`, `"60s"`, `"10m"`, `"24h"`, `"3d"`.
pub(super) fn duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    shivneri_providers::parse_duration(&text)
        .map(Some)
        .map_err(|error| D::Error::custom(format!("{text:?} {error}")))
}

/// A whole number of bytes, or `"64KiB"`, `"40MiB"`, `"1GiB"`.
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Bytes(u64),
        Text(String),
    }
    match Size::deserialize(deserializer)? {
        Size::Bytes(bytes) => Ok(Some(bytes)),
        Size::Text(text) => parse_size(&text).map(Some).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is not a size such as \"64KiB\", \"40MiB\" or \"1GiB\""
            ))
        }),
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(at);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_are_read_in_their_units() {
        assert_eq!(parse_size("40MiB"), Some(40 << 20));
        assert_eq!(parse_size("1 GiB"), Some(1 << 30));
        assert_eq!(parse_size("512"), Some(512));
        for bad in ["", "MiB", "1MB", "-1", "99999999999GiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
