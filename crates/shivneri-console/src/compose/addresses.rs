//! Taking a line of addresses apart.

/// The addresses of a line, which commas part, but not those within quotes or angle brackets.
/// White space around them and empty places are left out.
pub(crate) fn split(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut quoted, mut escaped, mut angled) = (0, false, false, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => angled = true,
            '>' if !quoted => angled = false,
            ',' if !quoted && !angled => {
                parts.push(&line[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&line[begin..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_part_addresses_but_not_within_quotes() {
        for (line, parts) in [
            ("", vec![]),
            (" , ,", vec![]),
            ("a@b", vec!["a@b"]),
            ("a@b,c@d , e@f,", vec!["a@b", "c@d", "e@f"]),
            (r#""Rao, Asha" <a@b>, c@d"#, vec![r#""Rao, Asha" <a@b>"#, "c@d"]),
            (r#""R\", x" <a@b>, c@d"#, vec![r#""R\", x" <a@b>"#, "c@d"]),
            (r#""odd,local"@b, c@d"#, vec![r#""odd,local"@b"#, "c@d"]),
            ("आशा <a@b>, c@d", vec!["आशा <a@b>", "c@d"]),
        ] {
            assert_eq!(split(line), parts, "{line}");
        }
    }

    #[test]
    fn what_does_not_close_is_kept_whole_for_the_check_to_refuse() {
        assert_eq!(split(r#""Rao, Asha <a@b>, c@d"#), [r#""Rao, Asha <a@b>, c@d"#]);
        assert_eq!(split("A <a@b, c@d"), ["A <a@b, c@d"]);
    }
}
