//! On which line of the file a key stands.

use toml::de::{DeTable, DeValue};

/// The line, from 1, of the key at `path` (as `provider[1].weigth`), or of the nearest part of
/// the path that is there.
pub(super) fn line_of(text: &str, path: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut place = None;
    descend(table.get_ref(), &segments(path), &mut place);
    place.map(|offset: usize| line_at(text, offset))
}

/// The line, from 1, of a byte offset.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

enum Segment<'a> {
    Key(&'a str),
    Index(usize),
}

fn segments(path: &str) -> Vec<Segment<'_>> {
    path.split(['.', '['])
        .filter(|part| !part.is_empty())
        .map(|part| match part.strip_suffix(']').and_then(|index| index.parse().ok()) {
            Some(index) => Segment::Index(index),
            None => Segment::Key(part),
        })
        .collect()
}

fn descend(table: &DeTable<'_>, path: &[Segment<'_>], place: &mut Option<usize>) {
    let Some((Segment::Key(wanted), rest)) = path.split_first() else { return };
    if let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == wanted) {
        *place = Some(key.span().start);
        descend_value(value.get_ref(), rest, place);
    }
}

fn descend_value(value: &DeValue<'_>, path: &[Segment<'_>], place: &mut Option<usize>) {
    match (value, path.split_first()) {
        (DeValue::Table(table), Some((Segment::Key(_), _))) => descend(table, path, place),
        (DeValue::Array(items), Some((Segment::Index(index), rest))) => {
            if let Some(item) = items.get(*index) {
                *place = Some(item.span().start);
                descend_value(item.get_ref(), rest, place);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn keys_are_found_where_they_stand() {
        let text = "[http]\nlisten = \"x\"\n\n[[provider]]\nid = \"a\"\n[[provider]]\nid = \"b\"\nweigth = 3\n";
        assert_eq!(line_of(text, "http.listen"), Some(2));
        assert_eq!(line_of(text, "provider[1].weigth"), Some(8));
        assert_eq!(line_of(text, "provider[0].missing"), Some(4));
        assert_eq!(line_of(text, "nowhere"), None);
    }
}
