//! A message in the API's shape, written the same way every time.

use std::{collections::BTreeMap, io::Read, path::Path};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::args::SendArgs;

/// A message; what is empty is left out.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Message {
    pub(super) from: Option<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) to: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) cc: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) bcc: Vec<Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reply_to: Vec<Address>,
    pub(super) subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) html: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) attachments: Vec<Attachment>,
}

/// An address: as the user typed it, or taken apart.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Address {
    Text(String),
    Parts {
        email: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}

/// An attachment.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Attachment {
    pub(super) filename: String,
    pub(super) content_type: String,
    #[serde(serialize_with = "as_base64")]
    pub(super) content: Vec<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_id: Option<String>,
}

fn as_base64<S: Serializer>(content: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(content))
}

impl Message {
    /// The message that the flags describe; reads the files they name.
    ///
    /// # Errors
    ///
    /// A file that can't be read, or a body that is no UTF-8.
    pub(super) fn from_args(args: &SendArgs) -> anyhow::Result<Self> {
        let typed = |list: &[String]| list.iter().cloned().map(Address::Text).collect();
        Ok(Self {
            from: args.from.clone().map(Address::Text),
            to: typed(&args.to),
            cc: typed(&args.cc),
            bcc: typed(&args.bcc),
            reply_to: typed(&args.reply_to),
            subject: args.subject.clone().unwrap_or_default(),
            text: body(args.text.as_deref(), args.text_file.as_deref())?,
            html: body(args.html.as_deref(), args.html_file.as_deref())?,
            headers: args.header.iter().cloned().collect(),
            attachments: args.attach.iter().map(|p| attachment(p)).collect::<Result<_, _>>()?,
        })
    }

    /// The message as a JSON object.
    pub(super) fn into_json(self) -> Map<String, Value> {
        let value = serde_json::to_value(self).expect("texts and lists are always JSON");
        let Value::Object(object) = value else {
            unreachable!("a struct with fields is an object")
        };
        object
    }
}

fn body(typed: Option<&str>, file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let Some(path) = file else { return Ok(typed.map(str::to_owned)) };
    let bytes = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("can't read stdin")?;
        bytes
    } else {
        read(path)?
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| anyhow::anyhow!("{} is not UTF-8 text", path.display()))?;
    Ok(Some(text))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("can't read {}", path.display()))
}

fn attachment(path: &Path) -> anyhow::Result<Attachment> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} has no name to attach it by", path.display()))?;
    Ok(Attachment {
        filename: name.to_owned(),
        content_type: content_type(name).to_owned(),
        content: read(path)?,
        content_id: None,
    })
}

/// The content type that a file's name tells.
fn content_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref().unwrap_or_default() {
        "pdf" => "application/pdf",
        "txt" | "log" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "htm" | "html" => "text/html",
        "ics" => "text/calendar",
        "vcf" => "text/vcard",
        "json" => "application/json",
        "xml" => "application/xml",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "odt" => "application/vnd.oasis.opendocument.text",
        "ods" => "application/vnd.oasis.opendocument.spreadsheet",
        "eml" => "message/rfc822",
        _ => "application/octet-stream",
    }
}

/// What the flags say of every message, whatever it comes from.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    tags: Vec<String>,
    metadata: Vec<(String, String)>,
    fields: Vec<(&'static str, Value)>,
}

impl Defaults {
    /// Those of the flags.
    pub(super) fn from_args(args: &SendArgs) -> Self {
        let on_doubt = args.on_doubt.map(|word| word.as_str().to_owned());
        let fields = [
            ("lane", args.lane.clone().map(Value::from)),
            ("send_at", args.send_at.clone().map(Value::from)),
            ("expires_at", args.expires_at.clone().map(Value::from)),
            ("on_doubt", on_doubt.map(Value::from)),
            ("providers", (!args.provider.is_empty()).then(|| Value::from(args.provider.clone()))),
        ];
        Self {
            tags: args.tag.clone(),
            metadata: args.metadata.clone(),
            fields: fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        }
    }

    /// Whether they say nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.metadata.is_empty() && self.fields.is_empty()
    }

    /// Puts them where the message says nothing itself; tags and metadata are added. A field of
    /// the wrong kind stays as it is, for the server to refuse by name.
    pub(super) fn apply(&self, message: &mut Map<String, Value>) {
        for (name, value) in &self.fields {
            let own = message.entry(*name).or_insert(Value::Null);
            if own.is_null() {
                *own = value.clone();
            }
        }
        if !self.tags.is_empty() {
            let own = message.entry("tags").or_insert(Value::Null);
            if own.is_null() {
                *own = Value::Array(Vec::new());
            }
            if let Value::Array(own) = own {
                for tag in self.tags.iter().map(|tag| Value::from(tag.as_str())) {
                    if !own.contains(&tag) {
                        own.push(tag);
                    }
                }
            }
        }
        if !self.metadata.is_empty() {
            let own = message.entry("metadata").or_insert(Value::Null);
            if own.is_null() {
                *own = Value::Object(Map::new());
            }
            if let Value::Object(own) = own {
                for (name, value) in &self.metadata {
                    own.entry(name).or_insert_with(|| Value::from(value.as_str()));
                }
            }
        }
    }
}

/// The bytes that are sent for a message.
pub(super) fn to_bytes(message: &Map<String, Value>) -> bytes::Bytes {
    serde_json::to_vec(message).expect("a JSON object can be written").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn flags_become_the_apis_fields_and_the_rest_is_left_out() {
        let args = SendArgs {
            from: Some("Asha <asha@example.com>".into()),
            to: vec!["b@example.org".into()],
            subject: Some("Hello".into()),
            text: Some("It works.".into()),
            header: vec![("X-Order".into(), "42".into())],
            ..SendArgs::default()
        };
        let expected = json!({ "from": "Asha <asha@example.com>", "to": ["b@example.org"],
            "subject": "Hello", "text": "It works.", "headers": { "X-Order": "42" } });
        assert_eq!(Message::from_args(&args).unwrap().into_json(), object(expected));
    }

    #[test]
    fn an_attached_file_carries_its_name_its_type_and_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Rechnung ü.PDF");
        std::fs::write(&path, [0, 255, 1]).unwrap();
        let args = SendArgs { attach: vec![path], ..SendArgs::default() };
        let json = Message::from_args(&args).unwrap().into_json();
        let expected = json!([{ "filename": "Rechnung ü.PDF", "content_type": "application/pdf",
            "content": "AP8B" }]);
        assert_eq!(json["attachments"], expected);
    }

    #[test]
    fn a_file_that_is_not_there_or_is_no_text_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("binary");
        std::fs::write(&binary, [0xff, 0xfe]).unwrap();
        let missing = SendArgs { attach: vec!["/nowhere/a.pdf".into()], ..SendArgs::default() };
        let binary = SendArgs { text_file: Some(binary), ..SendArgs::default() };
        let error = |args| format!("{:#}", Message::from_args(&args).unwrap_err());
        assert!(error(missing).contains("can't read /nowhere/a.pdf"));
        assert!(error(binary).contains("is not UTF-8 text"));
    }

    #[test]
    fn what_a_message_says_itself_goes_before_the_flags() {
        let args = SendArgs {
            lane: Some("bulk".into()),
            tag: vec!["spring".into(), "own".into()],
            metadata: vec![("order".into(), "1".into()), ("run".into(), "7".into())],
            ..SendArgs::default()
        };
        let defaults = Defaults::from_args(&args);
        let mut message = object(json!({ "lane": "critical", "tags": ["own"],
            "metadata": { "order": "42" } }));
        defaults.apply(&mut message);
        let expected = json!({ "lane": "critical", "tags": ["own", "spring"],
            "metadata": { "order": "42", "run": "7" } });
        assert_eq!(message, object(expected));
        let mut silent = object(json!({ "lane": null }));
        defaults.apply(&mut silent);
        assert_eq!(silent["lane"], "bulk");
    }

    #[test]
    fn a_field_of_the_wrong_kind_is_left_for_the_server_to_refuse() {
        let args = SendArgs { tag: vec!["a".into()], ..SendArgs::default() };
        let mut message = object(json!({ "tags": "oops" }));
        Defaults::from_args(&args).apply(&mut message);
        assert_eq!(message["tags"], "oops");
    }
}
