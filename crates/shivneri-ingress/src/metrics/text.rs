//! The two text formats that scrapers read.

use prometheus_client::{encoding::text, registry::Registry};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format that an `Accept` header wishes for.
    pub fn wished(accept: &str) -> Self {
        let open = accept.split(',').any(|range| {
            let essence = range.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/openmetrics-text")
        });
        if open { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes these families.
pub(super) fn write(families: &[&Registry], format: Format) -> String {
    let mut text = String::new();
    for registry in families {
        text::encode_registry(&mut text, registry).expect("writing to a String never fails");
    }
    match format {
        Format::OpenMetrics => {
            text::encode_eof(&mut text).expect("writing to a String never fails");
            text
        }
        Format::Prometheus => counters_by_full_name(&text),
    }
}

/// OpenMetrics describes a counter without the `_total` of its samples, Prometheus with it.
fn counters_by_full_name(text: &str) -> String {
    let counter = |line: &str| {
        line.strip_prefix("# TYPE ")
            .and_then(|rest| rest.strip_suffix(" counter"))
            .map(str::to_owned)
    };
    let counters: Vec<String> = text.lines().filter_map(counter).collect();
    let mut out = String::with_capacity(text.len() + 256);
    for line in text.lines() {
        let described = ["# HELP ", "# TYPE "].iter().find_map(|start| {
            let (name, rest) = line.strip_prefix(start)?.split_once(' ')?;
            counters.iter().any(|one| one == name).then_some((start, name, rest))
        });
        match described {
            Some((start, name, rest)) => out.extend([start, name, "_total ", rest, "\n"]),
            None => out.extend([line, "\n"]),
        }
    }
    out
}
