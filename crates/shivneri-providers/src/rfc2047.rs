//! Encoded words: text beyond ASCII in headers (RFC 2047).

use base64::{Engine, engine::general_purpose::STANDARD};

/// Octets of text in one word: with `=?utf-8?B?` and `?=` a word may have 75 characters.
const WORD: usize = 45;

/// Whether the text can't stand in a header as it is, or would be taken for an encoded word.
pub(crate) fn needs_encoding(text: &str) -> bool {
    !text.is_ascii() || text.contains("=?")
}

/// The text as encoded words, a space between each two, which readers drop.
pub(crate) fn encode(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.floor_char_boundary(WORD);
        let (word, later) = rest.split_at(end);
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = later;
    }
    words.join(" ")
}

/// A custom header's value in visible ASCII.
pub(crate) fn header_value(value: &str) -> String {
    let value = value.replace('\t', " ");
    if value.is_ascii() { value } else { encode(&value) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(words: &str) -> String {
        let words = words.split(' ').filter(|word| !word.is_empty());
        let bytes = words.flat_map(|word| {
            let inner = word.strip_prefix("=?utf-8?B?").and_then(|rest| rest.strip_suffix("?="));
            STANDARD.decode(inner.unwrap()).unwrap()
        });
        String::from_utf8(bytes.collect()).unwrap()
    }

    proptest! {
        #[test]
        fn encoded_words_are_short_whole_characters_and_give_the_text_back(text in "\\PC{0,200}") {
            let words = encode(&text);
            prop_assert!(words.is_ascii());
            prop_assert!(words.split(' ').all(|word| word.len() <= 75));
            let whole = words.split(' ').filter(|word| !word.is_empty()).all(|word| {
                let inner = word.trim_start_matches("=?utf-8?B?").trim_end_matches("?=");
                String::from_utf8(STANDARD.decode(inner).unwrap()).is_ok()
            });
            prop_assert!(whole);
            prop_assert_eq!(decode(&words), text);
        }
    }
}
