//! Where mail comes from: files and stdin, read one message at a time.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::Context;
use aws_lc_rs::digest;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    eml,
    jsonl::{self, Lines, MAX_LINE},
    message::{Defaults, to_bytes},
};
use crate::exit::usage;

/// One message to offer.
#[derive(Debug)]
pub(super) struct Mail {
    /// Where it stands, as `mails.jsonl:7`.
    pub(super) place: String,
    /// Its `Idempotency-Key`.
    pub(super) key: String,
    /// The request's body.
    pub(super) body: Bytes,
    /// Bytes it took in its file.
    pub(super) size: u64,
    /// What of it was left behind.
    pub(super) dropped: Vec<String>,
}

/// What a source gives.
#[derive(Debug)]
pub(super) enum Item {
    /// A message.
    Mail(Mail),
    /// Something that is none, and why.
    Unreadable { place: String, reason: String, size: u64 },
}

/// What to read, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// JSON lines on stdin.
    Stdin,
    /// JSON lines in a file.
    Lines(PathBuf),
    /// One message as RFC 5322 text.
    Eml(PathBuf),
}

impl Source {
    /// By the file's name.
    ///
    /// # Errors
    ///
    /// Usage errors: a form that can't be sent.
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::Stdin);
        }
        let lower = |text: &std::ffi::OsStr| text.to_string_lossy().to_ascii_lowercase();
        let extension = path.extension().map(lower).unwrap_or_default();
        let name = path.file_name().map(lower).unwrap_or_default();
        match extension.as_str() {
            "jsonl" | "ndjson" => Ok(Self::Lines(path.to_owned())),
            "eml" => Ok(Self::Eml(path.to_owned())),
            // A pipe that the shell made has no extension.
            "" if name != "mbox" => Ok(Self::Lines(path.to_owned())),
            other => {
                let form = if other.is_empty() { &name } else { other };
                Err(usage(format!(
                    "--file {}: {form} files can't be sent; *.jsonl, *.ndjson, *.eml and - \
                     (JSON lines on stdin) can",
                    path.display()
                )))
            }
        }
    }

    /// Its size, where it has one.
    ///
    /// # Errors
    ///
    /// A file that is not there or not for reading.
    pub(super) fn size(&self) -> anyhow::Result<Option<u64>> {
        let (Self::Lines(path) | Self::Eml(path)) = self else { return Ok(None) };
        let context = || format!("can't read {}", path.display());
        let about = std::fs::metadata(path).with_context(context)?;
        if !about.is_file() {
            anyhow::ensure!(!about.is_dir(), "can't read {}: it is a folder", path.display());
            // A pipe can be opened once only.
            return Ok(None);
        }
        File::open(path).with_context(context)?;
        Ok(Some(about.len()))
    }

    fn name(&self) -> String {
        match self {
            Self::Stdin => "stdin".into(),
            Self::Lines(path) | Self::Eml(path) => path.display().to_string(),
        }
    }
}

/// Gives each message its key.
#[derive(Debug)]
pub(super) enum Keys {
    /// From line number and content: the same in every run.
    Derived,
    /// The same for several files, which may hold the same line at the same place: counts how
    /// often each was seen.
    Counted(HashMap<[u8; 32], u32>),
    /// Another in every run.
    Fresh,
}

impl Keys {
    /// Those of a run over so many sources.
    pub(super) fn derived(sources: usize) -> Self {
        if sources > 1 { Self::Counted(HashMap::new()) } else { Self::Derived }
    }

    fn next(&mut self, line: u64, content: &[u8]) -> String {
        let digest_of = |parts: &[&[u8]]| -> [u8; 32] {
            let mut context = digest::Context::new(&digest::SHA256);
            parts.iter().for_each(|part| context.update(part));
            context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
        };
        let first = digest_of(&[&line.to_be_bytes(), content]);
        let digest = match self {
            Self::Fresh => return fresh_key(),
            Self::Derived => first,
            Self::Counted(seen) => {
                let seen = seen.entry(first).and_modify(|count| *count += 1).or_insert(1);
                if *seen == 1 { first } else { digest_of(&[&first, &seen.to_be_bytes()]) }
            }
        };
        digest.iter().fold("send-".to_owned(), |key, byte| key + &format!("{byte:02x}"))
    }
}

/// A key that no other message has.
pub(super) fn fresh_key() -> String {
    format!("send-{}", uuid::Uuid::new_v4().simple())
}

/// Reads every source to its end, or until nobody takes more. Blocks.
pub(super) fn read_all(
    sources: &[Source],
    defaults: &Defaults,
    mut keys: Keys,
    mails: &mpsc::Sender<Item>,
) {
    for source in sources {
        let mut give = |item| mails.blocking_send(item).is_ok();
        let goes_on = match source {
            Source::Stdin => lines(source, std::io::stdin().lock(), defaults, &mut keys, &mut give),
            Source::Lines(path) => match File::open(path) {
                Ok(file) => lines(source, BufReader::new(file), defaults, &mut keys, &mut give),
                Err(error) => give(unreadable(source.name(), error, 0)),
            },
            Source::Eml(path) => give(eml(source.name(), path, defaults, &mut keys)),
        };
        if !goes_on {
            return;
        }
    }
}

fn unreadable(place: String, reason: impl ToString, size: u64) -> Item {
    Item::Unreadable { place, reason: reason.to_string(), size }
}

/// Whether more is wanted after it.
fn lines(
    source: &Source,
    reader: impl BufRead,
    defaults: &Defaults,
    keys: &mut Keys,
    give: &mut impl FnMut(Item) -> bool,
) -> bool {
    let mut lines = Lines::new(reader);
    loop {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return true,
            Err(error) => return give(unreadable(source.name(), error, 0)),
        };
        let place = format!("{}:{}", source.name(), line.number);
        let key = keys.next(line.number, &line.text);
        let size = line.size;
        let item = match jsonl::body(&line.text, defaults) {
            Ok(body) => Item::Mail(Mail { place, key, body, size, dropped: Vec::new() }),
            Err(reason) => unreadable(place, reason, size),
        };
        if !give(item) {
            return false;
        }
    }
}

fn eml(place: String, path: &Path, defaults: &Defaults, keys: &mut Keys) -> Item {
    match std::fs::metadata(path).map(|about| about.len()) {
        Ok(size) if size > MAX_LINE => {
            return unreadable(place, format!("it is over {} MiB", MAX_LINE >> 20), size);
        }
        Ok(_) | Err(_) => {}
    }
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return unreadable(place, error, 0),
    };
    let size = bytes.len() as u64;
    match eml::read(&bytes) {
        Ok(eml) => {
            let mut message = eml.message.into_json();
            defaults.apply(&mut message);
            let (key, body) = (keys.next(1, &bytes), to_bytes(&message));
            Item::Mail(Mail { place, key, body, size, dropped: eml.dropped })
        }
        Err(reason) => unreadable(place, reason, size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_of(lines: &[(u64, &str)]) -> Vec<String> {
        let mut keys = Keys::derived(2);
        lines.iter().map(|(number, text)| keys.next(*number, text.as_bytes())).collect()
    }

    #[test]
    fn the_form_is_told_by_the_name_and_what_can_not_be_sent_is_refused_by_name() {
        for (name, source) in [
            ("-", Source::Stdin),
            ("a.jsonl", Source::Lines("a.jsonl".into())),
            ("A.NDJSON", Source::Lines("A.NDJSON".into())),
            ("/dev/fd/63", Source::Lines("/dev/fd/63".into())),
            ("x/b.EML", Source::Eml("x/b.EML".into())),
        ] {
            assert_eq!(Source::of(Path::new(name)).unwrap(), source, "{name}");
        }
        for (name, form) in
            [("a.csv", "csv"), ("in.mbox", "mbox"), ("mbox", "mbox"), ("a.json", "json")]
        {
            let error = Source::of(Path::new(name)).unwrap_err();
            assert_eq!(crate::exit::of(&error).code(), 2);
            let text = error.to_string();
            assert!(text.contains(&format!("{form} files")) && text.contains("*.jsonl"), "{text}");
        }
    }

    #[test]
    fn the_same_line_at_the_same_place_has_the_same_key_in_every_run() {
        let lines = [(1, "{}"), (2, "{}"), (3, "{\"a\":1}")];
        assert_eq!(keys_of(&lines), keys_of(&lines));
    }

    #[test]
    fn another_place_another_content_or_a_second_file_makes_another_key() {
        let mut keys = keys_of(&[(1, "{}"), (2, "{}"), (1, "{\"a\":1}"), (1, "{}"), (1, "{}")]);
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 5);
    }

    #[test]
    fn a_line_keeps_its_key_when_another_file_joins_the_run() {
        let (mut alone, mut joined) = (Keys::derived(1), Keys::derived(2));
        assert_eq!(alone.next(7, b"{}"), joined.next(7, b"{}"));
    }

    #[test]
    fn fresh_keys_are_never_the_same() {
        let mut keys = Keys::Fresh;
        assert_ne!(keys.next(1, b"{}"), keys.next(1, b"{}"));
    }

    #[tokio::test]
    async fn files_are_read_in_order_and_what_is_no_message_is_named_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (lines, mail) = (folder.path().join("a.jsonl"), folder.path().join("b.eml"));
        std::fs::write(&lines, "{}\n\noops\n").unwrap();
        std::fs::write(&mail, "From: a@example.com\r\n\r\nHi").unwrap();
        let (sender, mut items) = mpsc::channel(8);
        let sources = [Source::Lines(lines), Source::Eml(mail)];
        let reading = tokio::task::spawn_blocking(move || {
            read_all(&sources, &Defaults::default(), Keys::Fresh, &sender);
        });
        let mut places = Vec::new();
        while let Some(item) = items.recv().await {
            places.push(match item {
                Item::Mail(mail) => format!("{} mail", mail.place),
                Item::Unreadable { place, .. } => format!("{place} none"),
            });
        }
        reading.await.unwrap();
        let ends = ["a.jsonl:1 mail", "a.jsonl:3 none", "b.eml mail"];
        assert!(places.iter().zip(ends).all(|(place, end)| place.ends_with(end)), "{places:?}");
        assert_eq!(places.len(), 3);
    }
}
